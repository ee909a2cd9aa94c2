from flask import Flask, jsonify, request

app = Flask(__name__, static_folder="frontend/dist", static_url_path="/assets")
TASKS = []


@app.get("/")
def index():
    return app.send_static_file("index.html")


@app.get("/api/tasks")
def tasks():
    return jsonify(TASKS)


@app.post("/api/tasks")
def add():
    TASKS.append({"title": str(request.get_json()["title"])})
    return jsonify(TASKS[-1]), 201
