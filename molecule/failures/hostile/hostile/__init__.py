"""An application; the results of its build's attacks are in tries.json beside it."""

from flask import Flask

app = Flask(__name__)
app.config.update(SESSION_COOKIE_SECURE=True, SESSION_COOKIE_HTTPONLY=True, SESSION_COOKIE_SAMESITE="Lax", MAX_CONTENT_LENGTH=65536)


@app.get("/")
def hello() -> str:
    """Be well."""
    return "<!doctype html><title>Hello</title><p>Hello."
