"""Ask an application over its unix socket whether it can serve."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

MOST_REDIRECTS = 5
# Fetches a path: status, headers in lower case, text of the body.
Fetch = Callable[[str], "tuple[int, dict[str, str], str]"]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def get(path: str, url_path: str, host: str, timeout: float, longest: int = 2000) -> tuple[int, dict[str, str], str]:
    """GET `url_path` as the proxy would ask for it; returns the status, the headers in lower case and the start of the body.

    Raises OSError when nothing responds and http.client.HTTPException when the response is not HTTP.
    """
    connection = _UnixConnection(path, timeout)
    try:
        headers = {"Host": host, "X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1",
                   "User-Agent": "bulwark-health", "Connection": "close"}
        connection.request("GET", url_path, headers=headers)
        response = connection.getresponse()
        body = response.read(longest).decode("utf-8", "replace")
        return response.status, {name.lower(): value for name, value in response.getheaders()}, body
    finally:
        connection.close()


def follow(fetch: Fetch, path: str, host: str) -> tuple[str, int, dict[str, str], str]:
    """A page past redirects on the same host: where it is in the end, and what `fetch` returns of it."""
    for _ in range(MOST_REDIRECTS):
        status, headers, body = fetch(path)
        target = urlsplit(urljoin(f"https://{host}{path}", headers.get("location", "")))
        if not 300 <= status < 400 or target.hostname != host.partition(":")[0]:
            break
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    return path, status, headers, body


def is_good(status: int, expected: int) -> bool:
    """Whether a status passes: `expected` itself, or any status below 500 when it is 0."""
    return status == expected if expected else status < 500
