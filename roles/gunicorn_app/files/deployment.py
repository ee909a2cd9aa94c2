"""Settings of Flask that the deployment adds to an application, and the refusal of cross-site requests.

gunicorn and the inspection both load this file, so the inspection sees the settings of the server. It needs only the
standard library. The JSON file of one application has these keys:

- `defaults`: settings that the application does not set. They are in its configuration when Flask creates it, so
  extensions read them, and the application's own settings replace them.
- `config`: settings of the operator. They replace what the application sets, once it is loaded.
- `refuse_cross_site` (bool) and `trusted_origins` (list of origins such as `https://www.example.com`).
- `worker_class`: `auto`, `gthread` for WSGI applications, or `asgi`. `workers` (0 is several) and `threads`: their numbers.

A setting `{"env": "NAME"}` is the text of an environment variable; `{"env_json": "NAME"}` is its JSON.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

MISSING = object()
SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
# Credentials that a browser attaches by itself; only a script attaches a bearer token.
BROWSERS_CREDENTIALS = re.compile(r"(basic|digest|negotiate|ntlm)\b", re.IGNORECASE)
PORT = re.compile(r":\d+$")
REFUSAL = b"This request comes from another site and carries your credentials. It was refused.\n"
REFUSAL_HEADERS = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(REFUSAL)).encode())]


def resolve(value: Any) -> Any:
    """The value of a setting, read from its environment variable; MISSING where that is not set or empty."""
    if isinstance(value, dict) and len(value) == 1:
        (kind, name), = value.items()
        if kind in ("env", "env_json"):
            text = os.environ.get(name) or MISSING
            return json.loads(text) if kind == "env_json" and text is not MISSING else text
    return value


class Deployment:
    """The settings of one application's JSON file."""

    def __init__(self, path: str) -> None:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
        defaults = {key: resolve(value) for key, value in given["defaults"].items()}
        self.defaults = {key: value for key, value in defaults.items() if value is not MISSING}
        self.config = {key: resolve(value) for key, value in given["config"].items()}
        missing = [f"config.{key} reads {', '.join(given['config'][key].values())} from the environment, which does not have it; add it to env"
                   for key, value in self.config.items() if value is MISSING]
        if missing:
            raise SystemExit("\n".join(missing))
        self.refuse_cross_site = given["refuse_cross_site"]
        self.trusted_origins = {origin.lower() for origin in given["trusted_origins"]}
        self.worker_class = given["worker_class"]
        self.workers, self.threads = given.get("workers"), given.get("threads")
        self.configs: list[Any] = []

    def install(self) -> None:
        """Call before the application is imported. Does nothing where Flask is not installed."""
        try:
            from flask import Flask
        except ImportError:
            return
        owner = next(kind for kind in Flask.__mro__ if "make_config" in vars(kind))
        original = owner.make_config

        @functools.wraps(original)
        def make_config(app: Any, *arguments: Any, **options: Any) -> Any:
            config = original(app, *arguments, **options)
            config.update({key: value for key, value in self.defaults.items() if config.get(key) == Flask.default_config.get(key)})
            config.update(self.config)
            self.configs.append(config)
            return config

        owner.make_config = make_config  # type: ignore[method-assign]

    def finish(self) -> None:
        """Call when the application is loaded."""
        for config in self.configs:
            config.update(self.config)

    def source_of(self, key: str, value: Any) -> str:
        """The origin of a value: `config` or `defaults` of the deployment, or an empty string for the application."""
        for part in ("config", "defaults"):
            if getattr(self, part).get(key, MISSING) == value:
                return part
        return ""

    def guarded(self, application: Callable[..., Any]) -> Callable[..., Any]:
        """The WSGI application, which refuses cross-site requests where `refuse_cross_site` is set."""
        if not self.refuse_cross_site:
            return application

        def guard(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            if not self.refuses(environ):
                return application(environ, start_response)
            start_response("403 Forbidden", [(name.decode(), value.decode()) for name, value in REFUSAL_HEADERS])
            return [REFUSAL]

        return guard

    def guarded_asgi(self, application: Callable[..., Any]) -> Callable[..., Any]:
        """The ASGI application, with the same requests refused."""
        if not self.refuse_cross_site:
            return application

        async def guard(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
            if scope["type"] == "lifespan" or not self.refuses(environ_of(scope)):
                await application(scope, receive, send)
            elif scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008})  # before it is accepted: status 403
            else:
                await send({"type": "http.response.start", "status": 403, "headers": REFUSAL_HEADERS})
                await send({"type": "http.response.body", "body": REFUSAL})

        return guard

    def refuses(self, environ: dict[str, Any]) -> bool:
        """Whether a request is refused, which is logged. The handshake of a WebSocket is a GET that opens a way to act."""
        if environ["REQUEST_METHOD"] in SAFE_METHODS and not is_websocket(environ) or not self.is_cross_site(environ):
            return False
        logging.getLogger("deployment").warning("Refused a cross-site request from the origin %s, see trusted_origins",
                                                environ.get("HTTP_ORIGIN") or "unknown")
        return True

    def is_cross_site(self, environ: dict[str, Any]) -> bool:
        """Whether another site makes this request with the browser's credentials. Only browsers do."""
        if not environ.get("HTTP_COOKIE") and not BROWSERS_CREDENTIALS.match(environ.get("HTTP_AUTHORIZATION", "")):
            return False
        origin = environ.get("HTTP_ORIGIN", "").lower()
        if origin in self.trusted_origins:
            return False
        fetched = environ.get("HTTP_SEC_FETCH_SITE", "")
        # Browsers differ in what they call wss: and https: of one host, and all send the origin of a WebSocket.
        if fetched and not (origin and is_websocket(environ)):
            return fetched not in ("same-origin", "none")
        host = PORT.sub("", environ.get("HTTP_HOST", "").lower())
        return bool(origin) and PORT.sub("", origin) != f"{environ.get('wsgi.url_scheme')}://{host}"


def is_websocket(environ: dict[str, Any]) -> bool:
    """Whether a request is the handshake of a WebSocket."""
    return environ.get("HTTP_UPGRADE", "").lower() == "websocket"


def environ_of(scope: dict[str, Any]) -> dict[str, Any]:
    """What the refusal reads of a request, as WSGI names it, from the scope of ASGI."""
    environ = {"REQUEST_METHOD": scope.get("method", "GET"), "wsgi.url_scheme": {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])}
    for name, value in scope["headers"]:
        key, text = f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}", value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    if scope["type"] == "websocket":
        environ["HTTP_UPGRADE"] = "websocket"
    return environ
