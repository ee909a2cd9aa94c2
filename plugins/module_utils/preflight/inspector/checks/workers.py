"""What an application needs of the processes that run it."""

from __future__ import annotations

import importlib.util
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import Seen, check

MANY_THREADS = 20


@check("one process has all clients of Socket.IO", "error",
       "a client's requests go to any process, and the one that does not know it answers 400; an open WebSocket keeps a thread",
       "gunicorn_app: {workers: 1, threads: 100}; nginx_site: {paths: {/socket.io: {websocket: true}}}")
def socketio_workers(subject: Any) -> Seen:
    extension = subject.app.extensions.get("socketio")
    if extension is None:
        return
    mode = getattr(extension, "async_mode", None) or "threading"
    if mode != "threading":
        yield "error", f"Socket.IO uses {mode}, and workers are threads", 'SocketIO(app, async_mode="threading")'
    if subject.workers is not None and subject.workers != 1:
        yield "error", f"Socket.IO runs in {subject.workers or 'several'} workers"
    elif subject.threads is not None and subject.threads < MANY_THREADS:
        yield "warning", f"Socket.IO has {subject.threads} threads, and each open WebSocket keeps one"
    if importlib.util.find_spec("simple_websocket") is None:
        yield "warning", "Socket.IO has no WebSocket and polls", "simple-websocket in the requirements"
