import datetime
import os
from functools import wraps

import jwt
from flask import Flask, jsonify, request

app = Flask(__name__)
app.config["JWT_KEY"] = os.environ["JWT_KEY"]
ITEMS = []


def token_required(view):
    @wraps(view)
    def decorated(*args, **kwargs):
        try:
            token = request.headers["Authorization"].removeprefix("Bearer ")
            user = jwt.decode(token, app.config["JWT_KEY"], algorithms=["HS256"])["sub"]
        except (KeyError, jwt.PyJWTError):
            return jsonify(message="Token is missing or invalid"), 401
        return view(user, *args, **kwargs)

    return decorated


@app.get("/")
def index():
    return jsonify(name="items", version=1)


@app.post("/token")
def token():
    data = request.get_json()
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=30)
    return jsonify(token=jwt.encode({"sub": str(data["user"]), "exp": until}, app.config["JWT_KEY"], algorithm="HS256"))


@app.post("/items")
@token_required
def add(user):
    ITEMS.append({"user": user, "name": str(request.get_json()["name"])})
    return jsonify(ITEMS[-1]), 201


@app.delete("/items")
@token_required
def clear(user):
    ITEMS.clear()
    return "", 204
