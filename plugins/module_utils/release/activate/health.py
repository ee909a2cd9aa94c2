"""Request pages of an application over its unix socket, and check whether it can serve."""

from __future__ import annotations

import http.client
import re
import socket
import time
from collections.abc import Callable, Mapping
from urllib.parse import urljoin, urlsplit

from ansible_collections.bulwark.flask.plugins.module_utils.release.options import Options

MOST_REDIRECTS = 5
WARM_UP_ROUNDS = 8  # so that each worker gets a request
# As a browser asks for a page: some applications respond with JSON otherwise.
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
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


def get(path: str, url_path: str, host: str, timeout: float, longest: int = 2000, method: str = "GET",
        more: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], str]:
    """Request `url_path` as the proxy does; returns the status, the headers in lower case and the start of the body.

    Raises OSError when nothing responds and http.client.HTTPException when the response is not HTTP.
    """
    connection = _UnixConnection(path, timeout)
    try:
        headers = {"Host": host, "X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1",
                   "User-Agent": "bulwark-health", "Connection": "close", **(more or {})}
        connection.request(method, url_path, headers=headers)
        response = connection.getresponse()
        body = response.read(longest).decode("utf-8", "replace")
        return response.status, {name.lower(): value for name, value in response.getheaders()}, body
    finally:
        connection.close()


def follow(fetch: Fetch, path: str, host: str) -> tuple[str, int, dict[str, str], str]:
    """Follow redirects on the same host; returns the final path, and the result of `fetch`."""
    for _unused in range(MOST_REDIRECTS):
        status, headers, body = fetch(path)
        target = urlsplit(urljoin(f"https://{host}{path}", headers.get("location", "")))
        if not 300 <= status < 400 or target.hostname != host.partition(":")[0]:
            break
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    return path, status, headers, body


def is_good(status: int, expected: int) -> bool:
    """Whether a status passes: `expected` itself, or any status below 500 when it is 0."""
    return status == expected if expected else status < 500


class HealthCheck:
    """The health check of one new instance.

    `ended` returns why its process has ended more often than a number of times, or nothing. `loaded` returns the number of
    workers that have loaded the application, and that of all.

    Workers that make tables when they import the application can be in each other's way, once. So systemd may restart the
    process a single time after one of them has responded; `restarted` is then true.
    """

    def __init__(self, options: Options, socket_path: str, ended: Callable[[int], str], loaded: Callable[[], tuple[int, int]]) -> None:
        self.options = options
        self.socket_path = socket_path
        self.ended = ended
        self.loaded = loaded
        self.restarted = False

    def fetch(self, seconds: float, longest: int = 2000, more: Mapping[str, str] | None = None) -> Fetch:
        """Fetches paths with a time limit each, a limit on the characters of a body, and further headers."""
        return lambda path: get(self.socket_path, path, self.options.domains[0], seconds, longest, more=more)

    def methods(self, seconds: float) -> list[str]:
        """The methods that the application says it serves at its front page; empty where it says nothing."""
        try:
            headers = get(self.socket_path, "/", self.options.domains[0], seconds, method="OPTIONS")[1]
        except (OSError, http.client.HTTPException):
            return []
        return list(dict.fromkeys(re.findall(r"[A-Z]+", headers.get("allow", ""))))

    def wait(self) -> str:
        """Empty when the instance responds as expected in time, otherwise the problem."""
        path, allowed, last = self.options.health_path, self.options.health_timeout_seconds, "no response"
        end = time.monotonic() + allowed
        while time.monotonic() < end:
            ended = self.ended(int(self.restarted))
            if ended:
                return f"the process ended while it started ({ended})"
            wrong = self._request(path, self.options.health_status, end - time.monotonic())
            if not wrong:
                return self._all_workers() or self._warm_up()
            # The last request has little time: that it got no response says less than the response to an earlier one.
            last = wrong if wrong.startswith("status") or not last.startswith("status") else last
            time.sleep(0.05)
        return f"GET {path} gave {last} for {allowed} s"

    def _all_workers(self) -> str:
        """Wait for the workers that are slower than the one that responded. One that cannot load the application ends the process."""
        end, workers = time.monotonic() + self.options.health_timeout_seconds, 0
        while True:
            loaded, of = self.loaded()
            workers = max(workers, of)  # none is left of a server that ends
            ended = self.ended(int(self.restarted))
            if ended and not self.restarted:
                self.restarted = True
                return self.wait()
            if ended:
                return f"one of its workers could not load the application, although another one responds ({ended})"
            if loaded >= workers:
                return ""
            if time.monotonic() > end:
                return f"{loaded} of {workers} workers have loaded the application after {self.options.health_timeout_seconds} s"
            time.sleep(0.05)

    def _request(self, path: str, status: int, seconds: float) -> str:
        """Empty when the response is as expected, otherwise the response."""
        try:
            _path, actual, _headers, body = follow(self.fetch(max(0.1, min(5, seconds))), path, self.options.domains[0])
        except (OSError, http.client.HTTPException) as error:
            return f"no response ({type(error).__name__})"
        return "" if is_good(actual, status) else f"status {actual}: {body[:300].strip()}"

    def _warm_up(self) -> str:
        for path in self.options.warm_up * WARM_UP_ROUNDS:
            wrong = self._request(path, 0, self.options.health_timeout_seconds)
            if wrong:
                return f"the warm-up request {path} gave {wrong}"
        return ""
