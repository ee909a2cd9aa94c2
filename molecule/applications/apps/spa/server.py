import sqlite3
from pathlib import Path

from flask import Flask, jsonify, request

app = Flask(__name__, static_folder="frontend/dist", static_url_path="/assets")
Path(app.instance_path).mkdir(exist_ok=True)


def database():
    connection = sqlite3.connect(Path(app.instance_path) / "tasks.db")
    connection.execute("CREATE TABLE IF NOT EXISTS task (title TEXT)")
    return connection


@app.get("/")
def index():
    return app.send_static_file("index.html")


@app.get("/api/tasks")
def tasks():
    with database() as connection:
        return jsonify([{"title": title} for (title,) in connection.execute("SELECT title FROM task")])


@app.post("/api/tasks")
def add():
    title = str(request.get_json()["title"])
    with database() as connection:
        connection.execute("INSERT INTO task VALUES (?)", [title])
    return jsonify({"title": title}), 201
