"""Errors that the sandbox causes are named with the line that allows them."""

from __future__ import annotations

import re

import pytest
from ansible_collections.bulwark.flask.plugins.filter.status_table import status_table
from ansible_collections.bulwark.flask.plugins.module_utils.release.symptoms import SYMPTOMS, advice
from ansible_collections.bulwark.flask.tests.unit.checkout import ROOT

TRACE = 'Traceback (most recent call last):\n  File "/srv/shop/releases/r/src/app.py", line 3, in <module>\n    {call}\n{error}'
EPERM, EAFNOSUPPORT = "PermissionError: [Errno 1] Operation not permitted", "OSError: [Errno 97] Address family not supported by protocol"


@pytest.mark.parametrize(("text", "line"), [
    ("OSError: [Errno 30] Read-only file system: '/mnt/media/a.png'", "gunicorn_app: {writable_paths: [/mnt/media]}"),
    ("OSError: [Errno 30] Read-only file system: '/mnt/media'", "gunicorn_app: {writable_paths: [/mnt/media]}"),
    (TRACE.format(call="memory = mmap.mmap(-1, 4096, prot=7)", error=EPERM), "gunicorn_app: {deny_write_execute: false}"),
    (TRACE.format(call="listener.bind(('', 9000))", error=EPERM), "run the listener as a unit of its own"),
    ("PermissionError: [Errno 1] Operation not permitted: ('localhost', 0)", "run the listener as a unit of its own"),
    (TRACE.format(call="fcntl.flock(file.fileno(), flags)", error="BlockingIOError: [Errno 11] Resource temporarily unavailable"),
     "gunicorn_app: {workers: 1}"),
    (TRACE.format(call="os.nice(-5)", error=EPERM), 'gunicorn_app: {sandbox: {SystemCallFilter: ["@system-service", "~@privileged"]}}'),
    (TRACE.format(call="os.chown(path, user, group)", error=EPERM),
     'gunicorn_app: {sandbox: {SystemCallFilter: ["@system-service", "~@privileged @resources", "@chown"]}}'),
    ("Worker (pid:7) was sent SIGSYS!", 'gunicorn_app: {sandbox: {SystemCallFilter: ["@system-service", "~@privileged"]}}'),
    (TRACE.format(call="socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", error=EAFNOSUPPORT),
     "gunicorn_app: {sandbox: {RestrictAddressFamilies: AF_UNIX AF_INET AF_INET6 AF_NETLINK}}"),
    # Python's own frames come between the call and the error.
    (TRACE.format(call="netlink = socket.socket(socket.AF_NETLINK)" + '\n  File "/usr/lib/python3.13/socket.py", line 233, in __init__' * 9,
                  error=EAFNOSUPPORT), "gunicorn_app: {sandbox: {RestrictAddressFamilies: AF_UNIX AF_INET AF_INET6 AF_NETLINK}}"),
    (TRACE.format(call="socket.create_connection(address)", error=EAFNOSUPPORT), "gunicorn_app: {profile: default}"),
    (TRACE.format(call="db = connect(path)", error="sqlite3.OperationalError: unable to open database file"),
     "let its setting lead below /var/lib/<name>, or name its path in shared"),
    ("RuntimeError: can't start new thread", "gunicorn_app: {tasks_max: 1024}"),
    ("Worker (pid:7) was sent SIGKILL! Perhaps out of memory?", "gunicorn_app: {memory_max_mb: 1024}"),
    (TRACE.format(call="self.asgi(environ, start)", error="TypeError: App.__call__() missing 1 required positional argument: 'send'"),
     "gunicorn_app: {worker_class: asgi}"),
    ("PermissionError: [Errno 1] Operation not permitted: 'x'", "see the table in docs/sandbox.md"),
])
def test_an_error_of_the_sandbox_has_its_line(text: str, line: str) -> None:
    (found,) = advice([text])
    assert found.endswith(f"): {line}")
    assert found.startswith(text.splitlines()[-1][:40])


@pytest.mark.parametrize("text", [
    "OSError: [Errno 30] Read-only file system: '/srv/shop/releases/r/src/uploads'", "PermissionError: [Errno 13] Permission denied: '/root'",
    "sqlalchemy.exc.OperationalError: connection refused", "GET /bind was slow",
])
def test_other_errors_have_none(text: str) -> None:
    assert advice([text]) == []


def test_each_line_appears_once() -> None:
    assert len(advice(["RuntimeError: can't start new thread"] * 3)) == 1


def test_every_line_is_in_the_documentation() -> None:
    documented = (ROOT / "docs/sandbox.md").read_text() + (ROOT / "docs/applications.md").read_text()
    for symptom in SYMPTOMS:
        line = symptom.line.format(folder="/mnt/media")
        assert line in documented or line.startswith("see "), line


def test_the_status_shows_them() -> None:
    app = {"name": "shop", "release": "r", "unit": {"state": "active", "restarts": 0}, "maintenance": False, "preflight": None, "previous": [],
           "certificate": None, "audit": None, "deploying": False, "history": [], "sandbox": ["error (reason): line"]}
    lines = status_table({"web1": [app]})
    assert re.search("web1 shop: its sandbox or its limits denied", lines[2]) and lines[3] == "  error (reason): line"
