"""An application that writes a text in every way a program can."""

import base64
import logging
import os
import sys
import threading
import warnings

from flask import Flask, request

app = Flask(__name__)
app.config.from_mapping(MAX_CONTENT_LENGTH=4 << 20, SESSION_COOKIE_SECURE=True)
app.config.from_prefixed_env()


def text() -> str:
    """The text to say: UTF-8 with lone surrogates for bytes that are none."""
    return base64.b64decode(request.get_data()).decode("utf-8", "surrogateescape")


@app.get("/healthz")
def healthz() -> dict:
    """It is always well."""
    return {"status": "ok"}


@app.post("/log")
def log() -> dict:
    """By the logging module."""
    app.logger.warning("told: %s", text())
    return {}


@app.post("/logger")
def named() -> dict:
    """As the name of a logger, with an exception that has it as its text."""
    try:
        raise ValueError(text())
    except ValueError:
        logging.getLogger(text()).exception("failed")
    return {}


@app.post("/print")
def printed() -> dict:
    """Past the logging module."""
    print(text())
    print(text(), file=sys.stderr)
    sys.stdout.write("no newline")
    request.environ["wsgi.errors"].write(text() + "\n")
    return {}


@app.post("/misuse")
def misuse() -> dict:
    """A message whose arguments do not fit, a warning, a thread that fails."""
    app.logger.warning("%d of %s", text())
    warnings.warn(text(), stacklevel=1)
    thread = threading.Thread(target=int, args=(text(),))
    thread.start()
    thread.join()
    return {}


@app.post("/descriptor")
def descriptor() -> dict:
    """Past Python altogether."""
    os.write(2, base64.b64decode(request.get_data()) + b"\n")
    return {}


@app.post("/flood/<int:lines>/<int:size>")
def flood(lines: int, size: int) -> dict:
    """Many lines that cannot be compressed."""
    for number in range(lines):
        app.logger.info("flood %s %d %s", text(), number, os.urandom(size // 2).hex())
    return {}


class Broken:
    """Fails where Flask cannot see it."""

    def __init__(self, application):
        self.application = application

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/broken":
            raise RuntimeError("outside of Flask")
        return self.application(environ, start_response)


app.wsgi_app = Broken(app.wsgi_app)
