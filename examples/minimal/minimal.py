"""The smallest application worth deploying: one file, its settings from the environment (FLASK_…)."""

from flask import Flask
from markupsafe import escape
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
app.config.from_mapping(
    SESSION_COOKIE_NAME="__Host-notes",
    SESSION_COOKIE_SECURE=True,
    SESSION_COOKIE_HTTPONLY=True,
    SESSION_COOKIE_SAMESITE="Lax",
    MAX_CONTENT_LENGTH=1024 * 1024,
)
app.config.from_prefixed_env()
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=0)


@app.get("/")
def hello() -> str:
    """Greet the user."""
    return "<!doctype html><title>Hello</title><p>Hello from a Flask application."


@app.get("/hello/<name>")
def hello_name(name: str) -> str:
    """Greet the user by name, escaped: the name comes from the URL."""
    app.logger.info("greeting a client")
    return f"<!doctype html><title>Hello</title><p>Hello, {escape(name)}."


@app.get("/healthz")
def healthz() -> dict:
    """This application needs nothing else: when it answers, it is well."""
    return {"status": "ok"}
