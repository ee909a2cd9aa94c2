"""The gunicorn of an application: its workers, and one JSON line per log record, with the id of its request.

gunicorn's settings load this file. It needs only the standard library until a worker is asked for.
"""

from __future__ import annotations

import contextvars
import faulthandler
import fcntl
import gc
import io
import json
import logging
import os
import re
import runpy
import sys
import threading
import traceback
from collections.abc import Callable, Set
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

REQUEST_ID: contextvars.ContextVar[str | None] = contextvars.ContextVar("request_id", default=None)
WELL_FORMED = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ADDRESS = re.compile(r"[0-9a-fA-F.:]{2,45}")
PRIORITY = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
# gunicorn's messages quote query strings and invalid parts of requests, which must not be logged.
QUOTED = re.compile(r"\?\S*|\bb?(['\"]).*\1", re.DOTALL)
# journald splits a line over 48 KiB, which is then not JSON. The sum of these is less.
LONGEST_NAME, LONGEST_MESSAGE, LONGEST_EXCEPTION = 1000, 16000, 24000


# --- log -------------------------------------------------------------------------------------


def bounded(text: str, longest: int) -> str:
    """`text` as UTF-8 of at most `longest` bytes as JSON. Characters in the middle are left out and counted."""
    text = text.encode("utf-8", "backslashreplace").decode()
    half = (min(len(text), longest) + 1) // 2
    while len(json.dumps(text[:half])) + len(json.dumps(text[-half:])) > longest + 4:
        half = half * 3 // 4
    left_out = len(text) - 2 * half
    return text if left_out <= 0 else f"{text[:half]} [... {left_out} characters left out ...] {text[-half:]}"


class JsonLines(logging.Formatter):
    """One line of JSON per record of an application. The number in front becomes the priority in the journal."""

    def __init__(self, application: str) -> None:
        super().__init__()
        self.application = application

    def format(self, record: logging.LogRecord) -> str:
        source = "gunicorn" if record.name.startswith("gunicorn.") else "app"
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001 - the arguments of an application's record
            message = f"{record.msg} [its arguments do not match: {type(error).__name__}]"
        entry = {
            "time": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "source": source,
            "application": self.application,
            "request_id": REQUEST_ID.get(),
            "message": bounded(QUOTED.sub("[hidden]", message) if source == "gunicorn" else message, LONGEST_MESSAGE),
            "logger": bounded(record.name, LONGEST_NAME),
            "pid": record.process,
        }
        if record.exc_info:
            entry["exception"] = bounded("".join(traceback.format_exception(*record.exc_info)), LONGEST_EXCEPTION)
        return f"<{PRIORITY.get(record.levelname, 5)}>" + json.dumps(entry)


class Printed(io.RawIOBase):
    """A stream that makes a log record of each line, for output that does not use the logging module."""

    def __init__(self, name: str, level: int, journal: logging.Handler) -> None:
        self.name, self.level, self.journal, self.begun = name, level, journal, threading.local()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return sys.__stderr__.fileno()  # type: ignore[union-attr]

    def write(self, data: Any) -> int:
        *lines, self.begun.line = (getattr(self.begun, "line", b"") + bytes(data)).split(b"\n")
        for line in lines:
            self.say(line)
        return len(data)

    def flush(self) -> None:
        rest, self.begun.line = getattr(self.begun, "line", b""), b""
        self.say(rest)

    def say(self, line: bytes) -> None:
        """Log a line."""
        if line:
            text = line.decode("utf-8", "backslashreplace")
            self.journal.handle(logging.LogRecord(self.name, self.level, "", 0, text, None, None))


def uncaught(kind: type[BaseException], value: BaseException | None, trace: TracebackType | None, thread: threading.Thread | None = None) -> None:
    """Log an uncaught exception as one record."""
    where = f" in thread {thread.name}" if thread else ""
    logging.getLogger("uncaught").critical("Uncaught exception%s", where, exc_info=(kind, value, trace))  # type: ignore[arg-type]


def journal(application: str, level: str) -> dict[str, Any]:
    """Make log records of all that this process writes.

    :param application: its name, a field of each line
    :param level: the lowest level that is logged, such as `INFO`
    :returns: gunicorn's `logconfig_dict`
    """
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(JsonLines(application))
    sys.stdout = io.TextIOWrapper(Printed("stdout", logging.INFO, handler), "utf-8", "backslashreplace", write_through=True)
    sys.stderr = io.TextIOWrapper(Printed("stderr", logging.WARNING, handler), "utf-8", "backslashreplace", write_through=True)
    sys.excepthook = uncaught
    threading.excepthook = lambda failed: uncaught(*failed)
    logging.captureWarnings(True)
    faulthandler.enable(sys.__stderr__)  # plain lines when the interpreter crashes
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"journal": {"()": lambda: handler}},
        "root": {"level": level, "handlers": ["journal"]},
        "loggers": {
            "gunicorn.error": {"level": level, "handlers": ["journal"], "propagate": False},
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }


# --- workers ---------------------------------------------------------------------------------

# Headers by which proxies state who the client is, what it asked for and which method it meant. A client can send them too.
# nginx removes the usual ones; these are the kinds. Names are as in WSGI.
STATED_BY_PROXIES = re.compile(
    r"HTTP_(?:FORWARDED$|X_FORWARDED(?!_FOR$|_PROTO$)|X_(?:HOST|SCHEME|URL_SCHEME)$|X_(?:HTTP_)?METHOD|FRONT_END_"
    r"|(?:X_)?(?:SSL|TLS|REMOTE|ORIGINAL|REAL|REWRITE|AUTH_REQUEST|AUTHENTICATED|WEBAUTH|CLUSTER_CLIENT|TRUE_CLIENT|FASTLY|ENVOY|ARR)_"
    r"|(?:X_)?(?:CLIENT_IP|SCRIPT_NAME|PATH_INFO|PROXY)|X_CLIENT_(?:CERT|DN|SSL|VERIFY)|CF_(?:CONNECTING|PSEUDO)_"
    r"|X_(?:AMZN_(?:OIDC|MTLS|TLS)|AZURE|GOOG_(?:AUTHENTICATED|IAP)|MS_CLIENT_PRINCIPAL))")
# Names that were compared already, so that a request costs one difference of sets. Those of gunicorn_app_proxy_headers are added.
PASSED: set[str] = set()


def stated_by_proxies(names: Set[str]) -> list[str]:
    """The names that a proxy states and a client must not: keys of WSGI, or names of headers in lower case."""
    stated = []
    for name in names - PASSED:
        if STATED_BY_PROXIES.match(name if "_" in name else "HTTP_" + name.upper().replace("-", "_")):
            stated.append(name)
        elif len(PASSED) < 10000:
            PASSED.add(name)
    return stated


class FromWebServer:
    """Set the client's address for the application, and the request id for log records of this request."""

    def __init__(self, application: Callable[..., Any]) -> None:
        self.application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        sent = environ.get("HTTP_X_REQUEST_ID", "")
        REQUEST_ID.set(sent if WELL_FORMED.fullmatch(sent) else None)
        # A unix socket has no address. nginx sets the header to the client's address, so ProxyFix gives the same.
        client = environ.get("HTTP_X_FORWARDED_FOR", "")
        if not environ.get("REMOTE_ADDR") and ADDRESS.fullmatch(client):
            environ["REMOTE_ADDR"] = client
        for name in stated_by_proxies(environ.keys()):
            del environ[name]
        return self.application(environ, start_response)


class FromWebServerAsgi:
    """The same for an ASGI application."""

    def __init__(self, application: Callable[..., Any]) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> Any:
        if scope["type"] == "lifespan":
            return await self.application(scope, receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        sent, client = headers.get("x-request-id", ""), headers.get("x-forwarded-for", "")
        if removed := [name.encode("latin-1") for name in stated_by_proxies(headers.keys())]:
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] not in removed]}
        token = REQUEST_ID.set(sent if WELL_FORMED.fullmatch(sent) else None)
        try:
            # A unix socket has no port either; gunicorn takes the first characters of its path for host and port.
            scope = {**scope, "server": None, "client": (client, 0) if ADDRESS.fullmatch(client) else None}
            return await self.application(scope, receive, send)
        finally:
            REQUEST_ID.reset(token)


def prepare(deployment: Any) -> None:
    """Call before the application is imported."""
    del sys.argv[1:]  # gunicorn's; an application may parse the command line
    deployment.install()


def freeze(_arbiter: Any) -> None:
    """Exempt what the application has made so far from garbage collection, which would copy its memory into each worker."""
    gc.collect()
    gc.freeze()


def load(worker: Any, deployment: Any, preloaded: bool, load_wsgi: Callable[[], None]) -> None:
    """Import the application with the settings of a deployment, unless it was imported before the fork."""
    if not preloaded:
        prepare(deployment)
    load_wsgi()
    deployment.finish()
    # The master can be as large as a worker. Beyond the limit of memory, the kernel is to end a worker.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("300", encoding="ascii")
    report_loaded(worker)


def report_loaded(worker: Any) -> None:
    """Hold a lock on the file `loaded` of the instance as long as this worker runs.

    The deploy counts these locks. Their position in the file is the number of workers to wait for.
    """
    with suppress(OSError):  # an instance without that file
        worker.loaded = os.open(Path(str(worker.sockets[0].getsockname())).with_name("loaded"), os.O_RDONLY)
        fcntl.lockf(worker.loaded, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, worker.cfg.workers)


def wsgi_worker(deployment: Any, preloaded: bool) -> type[Any]:
    """gunicorn's worker for WSGI applications, with the settings of a deployment.

    :param deployment: a `Deployment` of deployment.py
    :param preloaded: whether the application is imported before the workers are forked
    """
    threads_worker = runpy.run_path(str(Path(__file__).with_name("worker.py")))["ThreadsWorker"]

    class Wsgi(threads_worker):  # type: ignore[misc,valid-type]
        """Records of a thread before it has read a request have no request id."""

        def load_wsgi(self) -> None:
            load(self, deployment, preloaded, super().load_wsgi)
            self.wsgi = FromWebServer(deployment.guarded(self.wsgi))

        def handle(self, connection: Any) -> None:
            REQUEST_ID.set(None)
            super().handle(connection)

    return Wsgi


def asgi_worker(deployment: Any, preloaded: bool) -> type[Any]:
    """The same for ASGI applications. The settings also apply to Quart."""
    from gunicorn.workers.gasgi import ASGIWorker

    class Asgi(ASGIWorker):  # type: ignore[misc]
        """gunicorn's worker."""

        def load_wsgi(self) -> None:
            load(self, deployment, preloaded, super().load_wsgi)
            self.asgi = FromWebServerAsgi(deployment.guarded_asgi(self.asgi))

    return Asgi
