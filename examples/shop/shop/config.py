"""Configuration: safe defaults here, everything else from the environment (FLASK_…), nothing from files.

`from_prefixed_env` reads a value as JSON where it can and as text where it cannot, so that
FLASK_SESSION_COOKIE_SECURE=False (not JSON) would be the text "False", which is true. A value of the
wrong type therefore stops the start instead of meaning its opposite.
"""

import os
from pathlib import Path
from typing import Any

from flask import Flask

MINIMUM_KEY_LENGTH = 32

DEFAULTS: dict[str, Any] = {
    # The prefix __Host- makes browsers accept the cookie only over HTTPS and for this host alone.
    "SESSION_COOKIE_NAME": "__Host-shop",
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "PERMANENT_SESSION_LIFETIME": 12 * 3600,
    # The largest request body in bytes, the same as the web server's in front.
    "MAX_CONTENT_LENGTH": 1024 * 1024,
    "MAX_FORM_MEMORY_SIZE": 64 * 1024,
    "MAX_FORM_PARTS": 50,
    # A JSON list of the names to answer to. The web server in front refuses all others already.
    "TRUSTED_HOSTS": None,
    # A token is valid as long as its session.
    "WTF_CSRF_TIME_LIMIT": None,
    # Where sessions and counters are, such as unix:///run/session-stores/shop/session-store.sock; without it
    # sessions are signed cookies.
    "SESSION_STORE_URL": "",
    # Reviews and changes of the cart that one address may make.
    "CHANGES_LIMIT": "60 per minute",
    # The SQLite file; by default shop.sqlite3 in the state directory.
    "DATABASE": "",
}


class ConfigurationError(Exception):
    """The application must not start like this. The message names settings, never their values."""


def load(app: Flask, settings: dict | None = None) -> None:
    """Fill `app.config` and refuse what is missing, weak or of the wrong type."""
    app.config.from_mapping(DEFAULTS)
    app.config.from_prefixed_env("FLASK")
    app.config.from_mapping(settings or {})
    app.config["DATABASE"] = app.config["DATABASE"] or str(_state_directory(app) / "shop.sqlite3")
    problems = _problems(app.config)
    if problems:
        raise ConfigurationError("; ".join(problems))


def _state_directory(app: Flask) -> Path:
    """The one place to write: the directory systemd gives the service, else the instance folder."""
    return Path(os.environ.get("STATE_DIRECTORY") or app.instance_path)


def _problems(config: dict[str, Any]) -> list[str]:
    found = []
    keys = [("FLASK_SECRET_KEY", config.get("SECRET_KEY"))]
    keys += [("FLASK_SECRET_KEY_FALLBACKS", key) for key in config.get("SECRET_KEY_FALLBACKS") or []]
    for name, key in keys:
        if not isinstance(key, str) or len(key) < MINIMUM_KEY_LENGTH:
            found.append(f"{name} must be text of {MINIMUM_KEY_LENGTH} characters or more")
    for name, default in DEFAULTS.items():
        value = config[name]
        if default is not None and type(value) is not type(default) and name != "PERMANENT_SESSION_LIFETIME":
            found.append(f"FLASK_{name} must be of type {type(default).__name__}, written as JSON")
    hosts = config["TRUSTED_HOSTS"]
    if hosts is not None and not (isinstance(hosts, list) and all(isinstance(host, str) for host in hosts)):
        found.append('FLASK_TRUSTED_HOSTS must be a JSON list, such as ["shop.example.com"]')
    return found
