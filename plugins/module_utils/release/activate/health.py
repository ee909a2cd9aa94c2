"""Ask an application over its unix socket whether it can serve."""

from __future__ import annotations

import http.client
import socket


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def get(path: str, url_path: str, host: str, timeout: float) -> tuple[int, str]:
    """GET `url_path` as the proxy would ask for it; returns the status and the start of the body.

    Raises OSError when nothing answers and http.client.HTTPException when the answer is not HTTP.
    """
    connection = _UnixConnection(path, timeout)
    try:
        headers = {"Host": host, "X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1",
                   "User-Agent": "bulwark-health", "Connection": "close"}
        connection.request("GET", url_path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(2000).decode("utf-8", "replace")
    finally:
        connection.close()


def is_good(status: int, expected: int) -> bool:
    """Whether a status passes: `expected` itself, or any status below 500 when it is 0."""
    return status == expected if expected else status < 500
