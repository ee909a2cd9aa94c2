"""Raw requests to a site, and headers of clients."""

from __future__ import annotations

import http.client
import io
import itertools
from typing import Any

from host.outside import Answer
from testhosts import scenario

STATE = scenario().folder


class _Bytes:
    """A socket that has received all it will."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, *_: Any, **__: Any) -> io.BytesIO:
        return io.BytesIO(self.data)


def parsed(data: bytes) -> Answer:
    """Raw bytes as an answer."""
    answer = http.client.HTTPResponse(_Bytes(data))  # type: ignore[arg-type]
    answer.begin()
    return Answer(answer.status, answer.getheaders(), answer.read())


def sent(site: Any, request: bytes, context: Any = None) -> Answer:
    """The response to raw bytes, over TLS."""
    with site.server.outside.tls(site.domain, context) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65536):
            received += part
    return parsed(received)


SEEN = itertools.count()


def new_client(network: str = "203.0.113") -> dict[str, str]:
    """Headers of a new client address, as the proxy in front sends them."""
    number = next(SEEN) % 254 + 1
    return {"X-Forwarded-For": f"{network}.{number}" if network.count(".") == 2 else f"{network}:{number:x}"}
