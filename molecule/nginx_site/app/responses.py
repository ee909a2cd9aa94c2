"""An application that returns its request, and uses WebSockets, streams and uploads."""

import os
import secrets
import socket
import tempfile
import time
from pathlib import Path

from flask import Flask, Response, make_response, redirect, request
from flask_sock import Sock

LONGEST_WAIT_SECONDS = 20
app = Flask(__name__)
app.config.from_mapping(MAX_CONTENT_LENGTH=64 << 20, SESSION_COOKIE_SECURE=True)
app.config.from_prefixed_env()
sock = Sock(app)


def flag(name: str) -> Path:
    """A message from one request to another, across processes."""
    return Path(tempfile.gettempdir(), f"responses-{name}")


def waited(path: Path) -> bool:
    """Whether the message comes within the longest wait."""
    end = time.monotonic() + LONGEST_WAIT_SECONDS
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    return path.exists()


@app.get("/healthz")
def healthz() -> dict:
    """It is always well."""
    return {"status": "ok"}


@app.route("/heard", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@app.route("/login", methods=["GET", "POST", "PUT"])
@app.route("/office/", methods=["GET", "POST"])
@app.route("/office/<path:rest>", methods=["GET", "POST"])
@app.route("/private", methods=["GET", "POST"])
@app.route("/private/<path:rest>", methods=["GET", "POST"])
@app.route("/vault/<path:rest>")
@app.route("/wiki/<path:rest>")
@app.route("/ws/<path:rest>")
@app.route("/open/<path:rest>")
def heard(rest: str = "") -> dict:
    """Method, path and headers as they came here."""
    return {"method": request.method, "path": request.path, "rest": rest, "headers": dict(request.headers), "length": len(request.get_data())}


@app.get("/moved")
def moved() -> Response:
    """A redirect of its own."""
    return redirect("/heard", 301)


@app.get("/tagged")
def tagged() -> Response:
    """A page that a browser may have already."""
    answer = make_response("tagged")
    answer.set_etag("same")
    return answer.make_conditional(request)


@app.get("/nonce")
def nonce() -> Response:
    """A page with a policy of its own, as flask-talisman sends it."""
    value = secrets.token_urlsafe(16)
    answer = make_response(f'<!doctype html><title>x</title><script nonce="{value}"></script>')
    answer.headers["Content-Security-Policy"] = f"script-src 'nonce-{value}'"
    return answer


@app.get("/accelerated")
def accelerated() -> Response:
    """A page with commands for nginx."""
    answer = make_response("a page of the application")
    answer.headers.update({"X-Accel-Redirect": "/.maintenance", "X-Accel-Expires": "3600", "X-Accel-Charset": "utf-7"})
    return answer


@app.get("/broken")
def broken() -> Response:
    """No response at all."""
    request.environ["gunicorn.socket"].shutdown(socket.SHUT_RDWR)
    return make_response("")


@app.get("/news/<kind>")
def news(kind: str) -> Response:
    """A page that differs each time."""
    if flag(f"fails-{kind}").exists():
        return make_response("out of order", 500)
    answer = make_response(secrets.token_hex(16))
    if kind == "personal":
        answer.set_cookie("a", "b", secure=True)
    if kind == "translated":
        answer.vary.add("Accept-Language")
    if kind in ("private", "no-store", "max-age=0", "s-maxage=0", "must-revalidate"):
        answer.headers["Cache-Control"] = kind
    if kind == "expires":
        answer.headers["Expires"] = "0"
    return answer


@app.get("/events")
@app.get("/waits/events")
def events() -> Response:
    """A second event after a client has confirmed the first."""
    name = secrets.token_hex(8)

    def stream():
        yield f"data: {name}\n\n"
        yield "data: seen\n\n" if waited(flag(name)) else "data: no confirmation\n\n"

    return Response(stream(), mimetype="text/event-stream")


@app.post("/seen/<name>")
def seen(name: str) -> dict:
    """Confirm the event."""
    flag(name).touch()
    return {}


@app.post("/streamed/<name>")
@app.post("/upload/<name>")
def upload(name: str) -> dict:
    """A body, and word of its first byte."""
    length = len(request.stream.read(1))
    flag(name).touch()
    while part := request.stream.read(1 << 16):
        length += len(part)
    return {"length": length}


@app.get("/begun/<name>")
def begun(name: str) -> dict:
    """Whether that body has begun to arrive."""
    return {"begun": os.path.exists(flag(name))}


def echo(ws) -> None:
    """Say what is said."""
    while True:
        ws.send(ws.receive())


sock.route("/ws", endpoint="ws")(echo)
sock.route("/plain-ws", endpoint="plain-ws")(echo)
