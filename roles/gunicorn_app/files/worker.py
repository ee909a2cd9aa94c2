"""gunicorn's worker for WSGI applications: threads that take requests themselves, and keep the web server's connections.

A thread takes a connection, answers one request on it and waits again, so no request passes from thread to thread.
gunicorn's own parser and response are used. `Turns` has the rule by which one thread or all of them take requests.

The web server may send its next request over a connection at any time until it closes it, so the worker never closes a
connection that it has announced to keep: nginx does, half a second after the last request. A connection is kept only
where a next request would find a free thread, and after a response that is written whole at once. Every other one is
closed after its response; a new connection goes to whichever worker is free. While new connections wait, only half as
many are kept, so that both get a fair share.

Before another release is activated, nothing may be kept of this one. `Promises` holds a lock while anything is.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import resource
import select
import socket
import stat
import threading
import time
from collections.abc import Callable, Container
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from gunicorn import util
from gunicorn.http import get_parser, wsgi
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import NoMoreData
from gunicorn.workers import base

KEEPALIVE = "keepalive"  # the name of the file beside the socket
# nginx closes an idle connection after half a second. These limits are for a peer that does not.
LONGEST_IDLE_SECONDS, LONGEST_IDLE_SECONDS_AT_END = 60, 5
# nginx reads as much without waiting for its client, so a thread that writes it is not blocked.
LARGEST_WHOLE_BYTES = 64 * 1024
READ_BYTES = 8192
# A new connection wakes one waiting process.
LISTENER = select.EPOLLIN | select.EPOLLET | select.EPOLLEXCLUSIVE
# A thread that takes no further event for so long is thought to wait for something.
PATIENCE_SECONDS = 0.005
GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)


class Promises:
    """The connections that the web server may use again, by this process.

    The file belongs to the instance. While there is such a connection, the process holds a shared lock on it. Where the
    file's group may not read it, or there is none, no connection is kept.
    """

    def __init__(self, path: Path) -> None:
        self.count, self.lock = 0, threading.Lock()
        try:
            self.file = os.open(path, os.O_RDONLY)
        except OSError:
            self.file = -1

    def add(self) -> bool:
        """Whether one more may be kept, which then counts."""
        with self.lock:
            if self.file < 0:
                return False
            if not self.count:
                try:
                    fcntl.flock(self.file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:
                    return False
            # Looked at while the lock is held: who has changed the mode and got the lock for itself knows that none is kept.
            if os.fstat(self.file).st_mode & stat.S_IRGRP:
                self.count += 1
                return True
            if not self.count:
                fcntl.flock(self.file, fcntl.LOCK_UN)
            return False

    def remove(self) -> None:
        """One was used, or closed by the web server."""
        with self.lock:
            self.count -= 1
            if not self.count:
                fcntl.flock(self.file, fcntl.LOCK_UN)


class Turns:
    """Which threads take events.

    As long as one thread keeps up, it takes them all: several would compete for Python's lock at each system call. Where it
    stays away while events wait, another one takes its place. Where a request that was measured gave up the processor, as
    requests to a database do, all threads take events until the next tick.
    """

    def __init__(self) -> None:
        self.leader = 0  # the thread that takes events; 0 where the next free one becomes it
        self.together, self.changed = False, threading.Condition()
        self.since = 0.0  # when the last event was taken
        self.measures = self.waited = False

    def wait(self, thread: int) -> None:
        """Return when this thread may take an event."""
        if self.leader != thread and not self.together:
            with self.changed:
                self.changed.wait_for(lambda: self.together or not self.leader)
                self.leader = thread

    def give(self, together: bool) -> None:
        """Let another thread take events, or all of them together."""
        with self.changed:
            self.leader, self.together = 0, together
            (self.changed.notify_all if together else self.changed.notify)()

    def restart(self) -> None:
        """Find out anew whether requests wait."""
        self.waited = False
        if self.together:
            self.give(together=False)

    def look(self, busy: Container[int]) -> None:
        """Call while events wait: see whether the leader keeps up, and measure a request. `busy` are the threads that serve one."""
        since, self.measures = self.since, True
        away = time.monotonic() - since if self.leader in busy else 0.0
        time.sleep(max(0.0, PATIENCE_SECONDS - away))
        if self.waited:
            self.give(together=True)
        elif self.since == since:
            self.give(together=False)

    def measured(self, application: Callable[..., Any], *arguments: Any) -> Any:
        """Call the application, and keep whether it gave up the processor."""
        self.measures, before = False, resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        try:
            return application(*arguments)
        finally:
            self.waited |= resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw > before


class Settings:
    """gunicorn's settings as attributes. gunicorn searches for each by its name, twenty times in a request."""

    def __init__(self, cfg: Any) -> None:
        self.cfg = cfg
        for name in cfg.settings:
            setattr(self, name, getattr(cfg, name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cfg, name)


class Connection:
    """A connection of the web server. `promised` is whether it may send another request over it."""

    __slots__ = ("known", "promised", "server", "since", "sock")

    def __init__(self, sock: socket.socket, server: Any) -> None:
        self.sock, self.server = sock, server
        self.promised = self.known = False
        self.since = 0.0


class Gathered:
    """Takes what a response writes, in the place of its socket."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        """Keep it."""
        self.parts.append(data)


class Response(wsgi.Response):  # type: ignore[misc]
    """Sends the header with the first part of the body. `promise` is asked where the response is written whole with it."""

    def __init__(self, request: Any, sock: Any, cfg: Any, promise: Callable[[], bool]) -> None:
        super().__init__(request, sock, cfg)
        self.promise = promise
        self.whole = self.kept = False

    def default_headers(self) -> list[str]:
        """The lines of the header that the application does not set, without Server and Date, which nginx writes."""
        connection = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
        lines = [f"HTTP/{self.req.version[0]}.{self.req.version[1]} {self.status}\r\n", f"Connection: {connection}\r\n"]
        return [*lines, "Transfer-Encoding: chunked\r\n"] if self.chunked else lines

    def send_headers(self) -> None:
        """Write the header, once."""
        if not self.headers_sent:
            self.must_close = not (self.status_code >= 200 and self.whole and not self.upgrade and self.promise())
            super().send_headers()

    def write(self, data: Any) -> None:
        """Write a part of the body."""
        if self.headers_sent or len(data) > LARGEST_WHOLE_BYTES:
            super().write(data)
            return
        self.whole = self._omits_body or self.response_length == len(data)
        sock, self.sock = self.sock, Gathered()
        try:
            super().write(data)
        except BaseException:
            self.headers_sent = False
            raise
        finally:
            gathered, self.sock = self.sock, sock
        self.sock.sendall(b"".join(gathered.parts))
        self.kept = not self.must_close

    def close(self) -> None:
        """End the response."""
        if self.headers_sent:
            super().close()
            return
        self.whole = self._omits_body or self.response_length == 0
        super().close()
        self.kept = not self.must_close


class ThreadsWorker(base.Worker):  # type: ignore[misc]
    """One epoll object for all threads; each takes one event at a time, in the order in which they came."""

    def init_process(self) -> None:
        """Runs in the process of the worker, after the fork."""
        self.poller, self.lock = select.epoll(), threading.Lock()
        self.listeners: dict[int, tuple[Any, Any]] = {}  # with their addresses
        self.idle: dict[int, Connection] = {}  # those in which nothing has come yet
        self.open, self.accepts = 0, True
        self.busy: set[int] = set()  # threads
        self.turns = Turns()
        # What the main thread waits for: signals; signals and events that no thread has taken; new connections.
        self.signals, self.news, self.queue = select.poll(), select.poll(), select.poll()
        self.crowded_until = 0.0  # new connections waited at a look that was not long ago
        self.promises = Promises(Path(str(self.sockets[0].getsockname())).with_name(KEEPALIVE))
        self.cfg = Settings(self.cfg)
        self.writes_access_log = self.log.access_log.isEnabledFor(20)
        super().init_process()

    # --- the main thread: it serves no request, so the arbiter hears from it whatever they do -------

    def run(self) -> None:
        """Serve until told to end, then end without dropping a request."""
        for listener in self.sockets:
            listener.setblocking(False)
            self.listeners[listener.fileno()] = listener, listener.getsockname()
            self.poller.register(listener.fileno(), LISTENER)
            self.queue.register(listener.fileno(), select.POLLIN)
        for poll in (self.signals, self.news):
            poll.register(self.PIPE[0], select.POLLIN)
        self.news.register(self.poller.fileno(), select.POLLIN)
        for number in range(self.cfg.threads):
            threading.Thread(target=self.serve, name=f"request-{number}", daemon=True).start()
        while self.alive:
            self.tick(1.0, LONGEST_IDLE_SECONDS)
            if self.ppid != os.getppid():
                self.log.info("Parent changed, shutting down: %s", self)
                break
        self.alive = False
        end = time.monotonic() + self.cfg.graceful_timeout
        # Each response ends its connection from now on. New ones are accepted until the web server has closed the kept ones.
        while self.promises.count and time.monotonic() < end:
            self.tick(0.05, LONGEST_IDLE_SECONDS_AT_END)
        self.end_accepting()
        while (self.open or self.busy) and time.monotonic() < end:
            self.tick(0.05, LONGEST_IDLE_SECONDS_AT_END)

    def end_accepting(self) -> None:
        """Take no further connection, but those that a thread was woken for: no other process is woken for these."""
        with self.lock:
            self.accepts = False
            connections = []
            for number in self.listeners:
                self.poller.unregister(number)
                with suppress(OSError):  # without a descriptor for it, it waits for the next process that is woken
                    for _thread in range(self.cfg.threads):
                        connections.append(self.take(number))
        for connection in filter(None, connections):
            self.wait(connection)

    def tick(self, seconds: float, longest_idle: float) -> None:
        """Wait, at most until a signal, and see meanwhile that events are taken."""
        self.notify()
        self.turns.restart()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.signalled(left):
            pass
        before = time.monotonic() - longest_idle
        for number, connection in list(self.idle.items()):
            if connection.since < before and self.idle.pop(number, None):
                with suppress(OSError):  # the application may have closed it
                    self.poller.unregister(number)
                self.close(connection)

    def signalled(self, seconds: float) -> bool:
        """Wait for a signal or for something to do; returns whether there was a signal."""
        if self.turns.together:
            ready = self.signals.poll(seconds * 1000)
        elif len(self.busy) < self.cfg.threads:
            ready = self.news.poll(seconds * 1000)
        else:
            ready = self.signals.poll(min(seconds, PATIENCE_SECONDS) * 1000)
        if any(number == self.PIPE[0] for number, _event in ready):
            os.read(self.PIPE[0], 4096)
            return True
        if ready:
            self.turns.look(self.busy)
            if self.queue.poll(0):
                self.crowded_until = time.monotonic() + 2 * PATIENCE_SECONDS
        return False

    # --- the threads ----------------------------------------------------------------------------

    def serve(self) -> None:
        """Take an event, serve it, for ever."""
        poll, me, turns = self.poller.poll, threading.get_ident(), self.turns
        while True:
            try:
                turns.wait(me)
                for number, _event in poll(-1, 1):
                    turns.since = time.monotonic()
                    self.busy.add(me)
                    connection = self.accept(number) if number in self.listeners else self.idle.pop(number, None)
                    if connection:
                        self.handle(connection)
            except BaseException:  # noqa: BLE001 - a thread that ends serves no further request
                self.log.exception("Error in a thread of the worker")
                time.sleep(0.1)
            finally:
                self.busy.discard(me)

    def accept(self, number: int) -> Connection | None:
        """Take one new connection, unless the process ends, which would not wait for it."""
        with self.lock:
            if not self.accepts:
                return None
            try:
                return self.take(number)
            finally:
                # Registered anew, this process is the last of the waiting ones, and hears of connections that wait still.
                self.poller.unregister(number)
                self.poller.register(number, LISTENER)

    def take(self, number: int) -> Connection | None:
        """A new connection, if there is one. The lock is held."""
        listener, name = self.listeners[number]
        try:
            sock = listener.accept()[0]
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return None
        self.open += 1
        return Connection(sock, name)

    def wait(self, connection: Connection) -> None:
        """Wait for a request on a connection. Any thread takes it when it has come."""
        connection.since = time.monotonic()
        number = connection.sock.fileno()
        self.idle[number] = connection
        # Another thread may have it before this one returns, so nothing is set afterwards.
        change, connection.known = self.poller.modify if connection.known else self.poller.register, True
        try:
            change(number, select.EPOLLIN | select.EPOLLONESHOT)
        except (OSError, ValueError):  # the application has closed it
            self.idle.pop(number, None)
            self.close(connection)

    def close(self, connection: Connection, graceful: bool = False) -> None:
        """Close a connection; `graceful` where bytes of the request may not have been read, which would reset it."""
        (util.close_graceful if graceful else util.close)(connection.sock)
        if connection.promised:
            connection.promised = False
            self.promises.remove()
        with self.lock:
            self.open -= 1

    def handle(self, connection: Connection) -> None:
        """Answer the request that has come in a connection."""
        try:
            data = connection.sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self.wait(connection)
            return
        except OSError:
            data = b""
        if not data:
            self.close(connection)
            return
        if connection.promised:
            connection.promised = False
            self.promises.remove()
        request, kept, graceful = None, False, True
        # A parser of its own for each request: nothing of the one before is left in it.
        parser = get_parser(self.cfg, connection.sock, "")
        parser.unreader.unread(data)
        try:
            request = next(parser)
            kept = self.answer(request, parser, connection)
            graceful = unread(request, parser) > 0
        except (NoMoreData, StopIteration) as error:
            self.log.debug("Closing connection. %s", error)
        except OSError as error:
            if error.errno not in GONE:
                self.log.exception("Socket error processing request.")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the application raises
            self.handle_error(request, connection.sock, "", error)
        finally:
            if not kept:
                self.close(connection, graceful)

    def answer(self, request: Any, parser: Any, connection: Connection) -> bool:
        """Let the application answer a request; returns whether the connection is kept, on which this thread then waits no more."""
        def promise() -> bool:
            connection.promised = (self.alive and not request.should_close() and not unread(request, parser)
                                   and self.has_room() and self.promises.add())
            return connection.promised

        response, environ, began = None, {}, datetime.now()
        try:
            self.cfg.pre_request(self, request)
            response, environ = wsgi.create(request, connection.sock, "", connection.server, self.cfg,
                                            response_class=Response, response_args=(promise,))
            environ["wsgi.multithread"] = True
            self.nr += 1
            if self.nr >= self.max_requests and self.alive:
                self.log.info("Autorestarting worker after current request.")
                self.alive = False
                os.write(self.PIPE[1], b"1")
            call = partial(self.turns.measured, self.wsgi) if self.turns.measures else self.wsgi
            parts = call(environ, response.start_response)
            try:
                if isinstance(parts, environ["wsgi.file_wrapper"]):
                    response.write_file(parts)
                else:
                    for part in parts:
                        response.write(part)
                response.close()
            finally:
                # What the application does after its response must not hold up the next request of this connection.
                if response.kept:
                    self.wait(connection)
                if self.writes_access_log:
                    self.log.access(response, request, environ, datetime.now() - began)
                if hasattr(parts, "close"):
                    parts.close()
        except BaseException as error:
            if not (response and response.headers_sent) or isinstance(error, OSError) and not response.kept:
                raise
            # The response has begun, so an error page would corrupt it.
            self.log.exception("Error handling request")
        finally:
            try:
                self.cfg.post_request(self, request, environ, response)
            except Exception:
                self.log.exception("Exception in post_request hook")
        return bool(response and response.kept)

    def has_room(self) -> bool:
        """Whether a next request would find a free thread, and nothing waits for one now. While new connections wait, half of the threads are theirs."""
        busy = len(self.busy)
        crowded = time.monotonic() < self.crowded_until
        if busy + self.promises.count > (self.cfg.threads // 2 if crowded else self.cfg.threads):
            return False
        if busy < self.cfg.threads:
            return True
        waiting = select.poll()
        waiting.register(self.poller.fileno(), select.POLLIN)
        return not waiting.poll(0)


def unread(request: Any, parser: Any) -> float:
    """The number of bytes of a request that are still in its socket. It is negative where bytes behind it were read."""
    reader, buffered = request.body.reader, len(parser.unreader.buf.getvalue())
    if isinstance(reader, ChunkedReader):
        return math.inf if reader.parser else -buffered
    return int(reader.length) - buffered
