"""gunicorn with the worker of this role: which connections it keeps, and that no request is lost or overtaken."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.instances import Instances
from ansible_collections.bulwark.flask.tests.unit import support
from ansible_collections.bulwark.flask.tests.unit.roles.gunicorn_app.waiting import until

APPLICATION = '''
import os
import time
from collections import Counter

running, met = set(), Counter()

def application(environ, start_response):
    path, body, length = environ["PATH_INFO"], b"hello", "5"
    if path == "/raises":
        raise ValueError("no")
    if path == "/exits":
        raise SystemExit(1)
    if path == "/raw":
        environ["gunicorn.socket"].sendall(b"HTTP/1.1 101 Mine\\r\\n\\r\\n" + environ["gunicorn.socket"].recv(5))
        raise StopIteration
    if path == "/slow":
        time.sleep(float(environ["QUERY_STRING"]))
    if path in ("/waits", "/computes"):
        me = object()
        running.add(me)
        met[len(running)] += 1
        if path == "/waits":
            time.sleep(0.003)
        for _unused in range(20):
            os.stat(__file__)  # releases Python's lock
            sum(range(1000))
        running.discard(me)
    if path == "/met":
        body = " ".join(f"{together}:{count}" for together, count in met.items()).encode()
        length = str(len(body))
    if path == "/read":
        body = environ["wsgi.input"].read()
        length = str(len(body))
    if path == "/large":
        body, length = b"x" * 1000000, "1000000"
    if path == "/file":
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    if path == "/pid":
        body = str(os.getpid()).encode()
        length = str(len(body))
    if path == "/empty":
        start_response("204 No Content", [])
        return []
    if path == "/unframed":
        start_response("200 OK", [])
        return [b"he", b"llo"]
    start_response("200 OK", [("Content-Length", length)])
    return After(body, 1 if path == "/after" else 0, environ["gunicorn.socket"] if path == "/closes" else None)

class After:
    def __init__(self, body, seconds, closed):
        self.body, self.seconds, self.closed = body, seconds, closed

    def __iter__(self):
        yield self.body
        if self.closed:
            self.closed.close()

    def close(self):
        if self.seconds:
            time.sleep(self.seconds)
            open("done", "w").close()
'''
SETTINGS = '''
import runpy
workers, threads, max_requests, graceful_timeout = {workers}, {threads}, {max_requests}, 10
control_socket_disable, keepalive, bind, worker_tmp_dir = True, 0, "unix:{folder}/gunicorn.sock", "/dev/shm"
worker_class = runpy.run_path("{worker}")["ThreadsWorker"]
'''
LATE = '''
import time

class Late:
    """A poller whose threads continue half a second after they were woken, as on a host with too much to do."""

    def __init__(self, poller):
        self.poller = poller

    def __getattr__(self, name):
        return getattr(self.poller, name)

    def poll(self, *arguments):
        events = self.poller.poll(*arguments)
        time.sleep(0.5)
        return events

class LateWorker(worker_class):
    def run(self):
        self.poller = Late(self.poller)
        super().run()

worker_class = LateWorker

def worker_exit(server, worker):
    time.sleep(1)
'''

CROWDED = '''
class CrowdedWorker(worker_class):
    """New connections always wait."""

    crowded_until = property(lambda self: float("inf"), lambda self, value: None)

worker_class = CrowdedWorker
'''


class Server:
    """A gunicorn in the directory of an instance."""

    def __init__(self, python: Path, base: Path, workers: int, threads: int, max_requests: int, settings: str) -> None:
        (base / "releases" / "r1").mkdir(parents=True)
        self.instances = Instances(base, os.getgid())
        self.instances.create("r1", "r1")
        self.folder = self.instances.folder / "r1"
        (self.folder / "app.py").write_text(APPLICATION)
        worker = support.ROOT / "roles/gunicorn_app/files/worker.py"
        settings = SETTINGS.format(workers=workers, threads=threads, max_requests=max_requests, worker=worker, folder=self.folder) + settings
        (self.folder / "conf.py").write_text(settings)
        self.process = subprocess.Popen([python, "-m", "gunicorn", "--config", "conf.py", "app:application"], cwd=self.folder)
        until(lambda: self.get("/")[0] == 200)
        time.sleep(0.1)  # until no thread is busy with that request

    def connect(self) -> http.client.HTTPConnection:
        """A connection."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(20)
        connection.sock.connect(str(self.folder / "gunicorn.sock"))
        return connection

    def get(self, path: str) -> tuple[int, bytes]:
        """A request over a connection of its own."""
        connection = self.connect()
        try:
            return ask(connection, path, headers={"Connection": "close"})[::2]
        finally:
            connection.close()

    def kept(self) -> http.client.HTTPConnection:
        """A connection that is kept. A thread that has just responded may still count as busy, so that one is not."""
        for _unused in range(100):
            connection = self.connect()
            if ask(connection, "/")[1] == "keep-alive":
                return connection
            time.sleep(0.05)
        raise AssertionError("none is kept")

    def stop(self) -> int:
        """Let it end; returns its status."""
        self.process.terminate()
        return self.process.wait(15)


def ask(connection: http.client.HTTPConnection, path: str, method: str = "GET", body: bytes | None = None,
        headers: dict[str, str] | None = None) -> tuple[int, str, bytes]:
    """Status, the header Connection and the body of a response."""
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, str(answer.getheader("Connection")), answer.read()


@pytest.fixture
def serve(python: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers."""
    started = []

    def start(workers: int = 1, threads: int = 2, max_requests: int = 0, settings: str = "") -> Server:
        started.append(Server(python, tmp_path / str(len(started)), workers, threads, max_requests, settings))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop()


@pytest.mark.parametrize(("path", "method", "body", "kept"), [
    ("/", "GET", None, "keep-alive"), ("/", "HEAD", None, "keep-alive"), ("/empty", "GET", None, "keep-alive"),
    ("/read", "POST", b"x" * 200_000, "close"), ("/read", "POST", b"x" * 60_000, "keep-alive"), ("/read", "POST", b"", "keep-alive"),
    ("/", "POST", b"x" * 60_000, "close"),
    ("/unframed", "GET", None, "close"), ("/large", "GET", None, "close"), ("/file", "GET", None, "close"), ("/raises", "GET", None, "close"),
    ("/exits", "GET", None, "close")])
def test_a_connection_is_kept_after_what_was_read_and_written_whole(
    serve: Callable[..., Server], path: str, method: str, body: bytes | None, kept: str,
) -> None:
    connection = serve().connect()
    status, said, _body = ask(connection, path, method, body)
    assert (said, status) == (kept, {"/raises": 500, "/exits": 500, "/empty": 204}.get(path, 200))
    if kept == "keep-alive":
        assert ask(connection, "/")[::2] == (200, b"hello")


def test_the_end_of_a_kept_connection_is_the_clients(serve: Callable[..., Server]) -> None:
    connection = serve().connect()
    for _unused in range(2):
        assert ask(connection, "/")[1] == "keep-alive"
        time.sleep(3)


def test_what_is_no_request_gets_status_400_and_what_follows_a_request_is_not_read(serve: Callable[..., Server]) -> None:
    server = serve()
    for sent, wanted in ((b"nonsense\r\n\r\n", [b"400"]), (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", [b"400"]),
                         (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /pid HTTP/1.1\r\nHost: a\r\n\r\n", [b"200"])):
        raw = server.connect().sock
        raw.sendall(sent)
        received = b""
        while part := raw.recv(65536):
            received += part
        assert [line.split()[1] for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")] == wanted


def test_a_body_that_came_with_its_header_need_not_be_read_by_the_application(serve: Callable[..., Server]) -> None:
    raw = serve().connect().sock
    for _unused in range(2):
        raw.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nshort")
        assert b"\r\nConnection: keep-alive\r\n" in raw.recv(1000)
        time.sleep(0.1)


def test_an_application_may_take_the_connection_over(serve: Callable[..., Server]) -> None:
    raw = serve().connect().sock
    raw.sendall(b"GET /raw HTTP/1.1\r\nHost: a\r\n\r\n")
    time.sleep(0.2)
    raw.sendall(b"12345")
    received = b""
    while part := raw.recv(100):
        received += part
    assert received.endswith(b"12345")


def test_a_connection_that_the_application_closes_is_not_waited_for(serve: Callable[..., Server]) -> None:
    server = serve()
    assert ask(server.connect(), "/closes")[::2] == (200, b"hello")
    began = time.monotonic()
    assert server.get("/")[0] == 200 and server.stop() == 0
    assert time.monotonic() - began < 5


def test_work_after_a_response_does_not_hold_up_the_next_request_of_the_connection(serve: Callable[..., Server]) -> None:
    connection = serve().connect()
    assert ask(connection, "/after")[1] == "keep-alive"
    began = time.monotonic()
    assert ask(connection, "/")[0] == 200
    assert time.monotonic() - began < 0.5


def test_none_is_kept_while_the_instance_may_not(serve: Callable[..., Server]) -> None:
    server = serve()
    assert server.instances.end_kept_connections("r1", 0)
    assert ask(server.connect(), "/")[1] == "close"
    server.instances.keep_connections("r1")
    assert ask(server.connect(), "/")[1] == "keep-alive"


def test_the_end_of_kept_connections_is_waited_for(serve: Callable[..., Server]) -> None:
    server = serve()
    kept, used = server.kept(), server.kept()
    assert not server.instances.end_kept_connections("r1", 0.3)
    assert ask(used, "/")[1] == "close"
    threading.Timer(0.3, kept.close).start()
    assert server.instances.end_kept_connections("r1", 5)


def test_no_more_are_kept_than_there_are_threads_for(serve: Callable[..., Server]) -> None:
    server = serve(threads=2)
    connections = [server.kept(), server.kept()]
    assert ask(server.connect(), "/")[1] == "close"
    assert [ask(connection, "/")[0] for connection in connections] == [200, 200]


def test_half_as_many_are_kept_while_new_connections_wait(serve: Callable[..., Server]) -> None:
    server = serve(threads=4, settings=CROWDED)
    connections = [server.kept(), server.kept()]
    assert ask(server.connect(), "/")[1] == "close"
    assert [ask(connection, "/")[0] for connection in connections] == [200, 200]


def test_a_worker_that_ends_answers_on_what_it_has_kept(serve: Callable[..., Server]) -> None:
    server = serve()
    used, slow = server.kept(), server.connect()
    slow.request("GET", "/slow?2")
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert ask(used, "/") == (200, "close", b"hello")
    assert slow.getresponse().read() == b"hello"
    assert server.process.wait(5) == 0


def test_a_worker_ends_after_what_an_application_does_when_it_has_responded(serve: Callable[..., Server]) -> None:
    server = serve()
    connection = server.connect()
    assert ask(connection, "/after")[1] == "keep-alive"
    connection.close()
    assert server.stop() == 0
    assert (server.folder / "done").exists()


def test_a_connection_that_a_thread_was_woken_for_is_answered_when_the_worker_ends(serve: Callable[..., Server]) -> None:
    server = serve(workers=1, settings=LATE)
    pid, late = int(server.get("/pid")[1]), server.connect()
    late.request("GET", "/slow?2")
    time.sleep(0.2)
    os.kill(pid, signal.SIGTERM)
    assert late.getresponse().read() == b"hello"


@pytest.mark.parametrize(("path", "together"), [("/waits", True), ("/computes", False)])
def test_threads_take_requests_together_where_these_wait(serve: Callable[..., Server], path: str, together: bool) -> None:
    server = serve(workers=1, threads=4)
    clients = [Proxy(server, path, 0, 3) for _unused in range(6)]
    for client in clients:
        client.join()
    met = {int(number): int(count) for number, count in (pair.split(":") for pair in server.get("/met")[1].decode().split())}
    assert [client.failures for client in clients] == [[]] * len(clients)
    # On a busy machine, a thread that computes can be away for longer than another one waits, so that some meet here too.
    assert (met.get(3, 0) + met.get(4, 0) > sum(met.values()) / 2) is together, met


def test_a_worker_at_rest_is_not_woken_again_and_again(serve: Callable[..., Server]) -> None:
    server = serve(workers=1, threads=4)
    clients = [Proxy(server, "/waits", 0, 2) for _unused in range(6)]
    for client in clients:
        client.join()
    status = Path("/proc", server.get("/pid")[1].decode(), "status")
    time.sleep(1.5)
    before = switches(status)
    time.sleep(2)
    assert switches(status) - before < 20


def switches(status: Path) -> int:
    """How often the main thread of a process has waited."""
    return int(next(line for line in status.read_text().splitlines() if line.startswith("voluntary_")).split()[1])


class Proxy(threading.Thread):
    """A client as nginx is: it uses a connection again, and closes it half a second after its last request."""

    def __init__(self, server: Server, path: str, pause: float, seconds: float) -> None:
        super().__init__()
        self.server, self.path, self.pause, self.end = server, path, pause, time.monotonic() + seconds
        self.took: list[float] = []
        self.failures: list[str] = []
        self.start()

    def run(self) -> None:
        """Ask until the end."""
        connection = None
        while time.monotonic() < self.end:
            began = time.monotonic()
            try:
                connection = connection or self.server.connect()
                status, kept, _body = ask(connection, self.path, "POST", b"x")
                assert status == 200
            except (OSError, AssertionError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                kept = "close"
            self.took.append(time.monotonic() - began)
            if kept == "close" or self.pause > 0.5:
                connection.close()
                connection = None
            time.sleep(self.pause)


def test_restarts_of_workers_lose_no_request(serve: Callable[..., Server]) -> None:
    server = serve(workers=2, threads=2, max_requests=150)
    pid = server.get("/pid")[1]
    clients = [Proxy(server, "/", pause, 4) for pause in (0, 0, 0.01, 0.1, 0.4)]
    for client in clients:
        client.join()
    assert [client.failures for client in clients] == [[]] * 5
    assert sum(len(client.took) for client in clients) > 500
    assert server.get("/pid")[1] != pid


def test_no_request_waits_for_long_when_there_is_too_much_to_do(serve: Callable[..., Server]) -> None:
    server = serve(workers=1, threads=2)
    clients = [Proxy(server, "/slow?0.02", 0, 3) for _unused in range(20)] + [Proxy(server, "/slow?0.2", 0, 3) for _unused in range(2)]
    for client in clients:
        client.join()
    took = [seconds for client in clients for seconds in client.took]
    assert [client.failures for client in clients] == [[]] * len(clients)
    assert max(took) < 4 * sum(took) / len(took)
