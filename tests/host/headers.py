"""The security headers of a response, the files a site serves, and why a handshake is refused."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest

HEADERS = {
    "Content-Security-Policy": "default-src",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "",
    "Referrer-Policy": "origin",
    "Permissions-Policy": "camera=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "",
    "X-Request-ID": "",
}

# The first few files the web server serves itself, with their digests.
STATIC = r'''
import hashlib
top = "/srv/%s/current/release/static" % GIVEN["app"]
found = {}
for folder, folders, files in os.walk(top, followlinks=True):
    for name in files:
        path = os.path.join(folder, name)
        found[path[len(top):]] = hashlib.sha256(open(path, "rb").read()).hexdigest()
print(json.dumps(dict(list(found.items())[:3])))
'''


def assert_hardened(site: Any, answer: Any) -> None:
    """Every security header is there, once."""
    for name, part in HEADERS.items():
        assert part in answer[name], f"{name}: {answer[name]}"
    assert answer["Strict-Transport-Security"].startswith(f"max-age={site.app.hsts_seconds}")
    assert answer.all("Server") in ([], ["nginx"]), "it tells its version"
    assert answer.all("X-Powered-By") == []


def refused_with(open_connection: Callable[[], ssl.SSLSocket]) -> str:
    """The reason a handshake was refused for; fails when it was not."""
    try:
        with open_connection() as connection:
            pytest.fail(f"the handshake succeeded with {connection.version()}, {connection.cipher()}")
    except ssl.SSLError as error:
        return str(error.reason)
