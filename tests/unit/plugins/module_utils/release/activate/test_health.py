"""A new instance serves after its health check has passed; otherwise the message has its response."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.health import BROWSER, WARM_UP_ROUNDS, HealthCheck
from ansible_collections.bulwark.flask.plugins.module_utils.release.options import Options

Make = Callable[..., Options]


class Server(socketserver.ThreadingUnixStreamServer):
    """Responds on a unix socket with the statuses it is given, the last one again and again."""

    statuses: list[int]
    requests: list[tuple[str, str]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers["Host"]))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Content-Type", "text/html" if "text/html" in self.headers.get("Accept", "") else "application/json")
        self.end_headers()
        self.wfile.write(b"body of the application")

    def do_OPTIONS(self) -> None:
        self.send_response(204)
        self.send_header("Allow", "GET, MKCOL,PROPFIND, GET")
        self.end_headers()

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[Server]:
    with Server(str(tmp_path / "sock"), Handler) as server:
        server.statuses, server.requests = [200], []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def none() -> tuple[int, int]:
    """A server that does not report how many of its workers have loaded the application."""
    return 0, 0


def check(server: Server, options: Options, ended: str = "") -> str:
    return HealthCheck(options, str(server.server_address), lambda _restarts: ended, none).wait()


def test_a_request_names_the_first_domain_and_errors_at_first_are_waited_out(server: Server, make_options: Make) -> None:
    server.statuses = [503, 500, 200]
    assert check(server, make_options(domains=["shop.example.com", "x"], health_path="/healthz")) == ""
    assert server.requests == [("/healthz", "shop.example.com")] * 3


def test_every_path_is_warmed_up_before_the_instance_serves(server: Server, make_options: Make) -> None:
    assert check(server, make_options(warm_up=["/a", "/b"])) == ""
    assert [path for path, _ in server.requests] == ["/", *["/a", "/b"] * WARM_UP_ROUNDS]


def test_a_persistent_error_is_reported_with_its_body(server: Server, make_options: Make) -> None:
    server.statuses = [500]
    assert check(server, make_options(health_timeout_seconds=1)) == "GET / gave status 500: body of the application for 1 s"


def test_another_status_than_the_expected_one_does_not_pass(server: Server, make_options: Make) -> None:
    server.statuses = [404]
    assert check(server, make_options()) == ""
    assert "status 404" in check(server, make_options(health_status=200, health_timeout_seconds=1))


def test_a_process_that_has_ended_is_not_waited_for(server: Server, make_options: Make) -> None:
    assert check(server, make_options(health_timeout_seconds=60), ended="exit-code") == "the process ended while it started (exit-code)"


def test_a_health_check_without_a_response_is_reported(make_options: Make, tmp_path: Path) -> None:
    found = HealthCheck(make_options(health_timeout_seconds=0.1), str(tmp_path / "none"), lambda _restarts: "", none).wait()
    assert found == "GET / gave no response (FileNotFoundError) for 0.1 s"


def test_the_methods_of_an_application_are_those_that_it_names(server: Server, make_options: Make, tmp_path: Path) -> None:
    assert HealthCheck(make_options(), str(server.server_address), lambda _restarts: "", none).methods(5) == ["GET", "MKCOL", "PROPFIND"]
    assert HealthCheck(make_options(), str(tmp_path / "missing"), lambda _restarts: "", none).methods(5) == []


def test_pages_are_fetched_as_a_browser_asks_for_them(server: Server, make_options: Make) -> None:
    health = HealthCheck(make_options(), str(server.server_address), lambda _restarts: "", none)
    assert health.fetch(5, more=BROWSER)("/")[1]["content-type"] == "text/html"
    assert health.fetch(5)("/")[1]["content-type"] == "application/json"


def test_every_worker_is_waited_for(server: Server, make_options: Make) -> None:
    loaded = iter([(1, 3), (2, 3), (3, 3)])
    assert HealthCheck(make_options(), str(server.server_address), lambda _restarts: "", lambda: next(loaded)).wait() == ""
    assert next(loaded, None) is None
    wrong = HealthCheck(make_options(health_timeout_seconds=0.2), str(server.server_address), lambda _restarts: "", lambda: (2, 3)).wait()
    assert wrong == "2 of 3 workers have loaded the application after 0.2 s"


class Process:
    """A server whose workers load the application, or end it; `ends` is the number of times."""

    def __init__(self, ends: int) -> None:
        self.ends, self.looks, self.ended_times = ends, 0, 0

    def loaded(self) -> tuple[int, int]:
        """One of two has loaded it. None is left when the others end with it."""
        self.looks += 1
        if self.looks % 3 == 0 and self.ended_times < self.ends:
            self.ended_times += 1
        return (0, 0) if self.looks % 3 == 2 and self.ended_times < self.ends else (1 if self.ended_times < self.ends else 2, 2)

    def ended(self, restarts: int) -> str:
        """As systemd counts."""
        return "exit-code" if self.ended_times > restarts else ""


def test_a_worker_that_cannot_load_the_application_is_reported(server: Server, make_options: Make) -> None:
    process = Process(ends=2)
    wrong = HealthCheck(make_options(), str(server.server_address), process.ended, process.loaded).wait()
    assert wrong == "one of its workers could not load the application, although another one responds (exit-code)"
    assert process.ended_times == 2


def test_a_worker_may_fail_once(server: Server, make_options: Make) -> None:
    process = Process(ends=1)
    check = HealthCheck(make_options(), str(server.server_address), process.ended, process.loaded)
    assert (check.wait(), check.restarted) == ("", True)


def test_a_response_says_more_than_a_request_that_had_no_time(server: Server, make_options: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    check = HealthCheck(make_options(health_timeout_seconds=0.2), str(server.server_address), lambda _restarts: "", none)
    results = iter(["no response (FileNotFoundError)", "status 503: starting"])
    monkeypatch.setattr(check, "_request", lambda *_arguments: next(results, "no response (TimeoutError)"))
    assert check.wait() == "GET / gave status 503: starting for 0.2 s"
