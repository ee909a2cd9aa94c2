"""A client: HTTP and TLS from the controller to a host, with the standard library only.

Connections go to the host's address; names are given in SNI and in the Host header, so that a
domain need not resolve.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

TIMEOUT = 15


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        values = self.all(name)
        assert len(values) == 1, f"the header {name} is there {len(values)} times in a {self.status}: {values}"
        return values[0]


class _Connection(http.client.HTTPConnection):
    """A connection whose socket a function creates."""

    def __init__(self, host: str, open_socket: Callable[[], socket.socket]) -> None:
        super().__init__(host, timeout=TIMEOUT)
        self._open_socket = open_socket

    def connect(self) -> None:
        self.sock = self._open_socket()


@dataclass(frozen=True)
class Outside:
    """The address of one host, and requests to it."""

    address: str
    https_port: int
    http_port: int
    ca: str | None

    def context(self, verify: bool = True) -> ssl.SSLContext:
        """The trusted CA certificates: those given to the suite, or the system's."""
        if not verify:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        return ssl.create_default_context(cafile=self.ca)

    def tcp(self, port: int) -> socket.socket:
        """A plain connection."""
        return socket.create_connection((self.address, port), timeout=TIMEOUT)

    def tls(self, name: str | None, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """A TLS connection with the server name `name`."""
        return (context or self.context()).wrap_socket(self.tcp(self.https_port), server_hostname=name)

    def https(self, domain: str, path: str = "/", method: str = "GET", headers: dict[str, str] | None = None,
              body: bytes | None = None, host: str | None = None) -> Answer:
        """One verified HTTPS request; `host` is a Host header that differs from the server name."""
        return self._ask(lambda: self.tls(domain), host or self._named(domain, self.https_port, 443), path, method,
                         headers, body)

    def http(self, domain: str, path: str = "/", method: str = "GET") -> Answer:
        """One request without TLS."""
        return self._ask(lambda: self.tcp(self.http_port), domain, path, method, None, None)

    @staticmethod
    def _named(domain: str, port: int, usual: int) -> str:
        return domain if port == usual else f"{domain}:{port}"

    @staticmethod
    def _ask(open_socket: Callable[[], socket.socket], host: str, path: str, method: str,
             headers: dict[str, str] | None, body: bytes | None) -> Answer:
        connection = _Connection(host, open_socket)
        try:
            connection.request(method, path, body=body, headers={"Connection": "close"} | (headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def raw(self, data: bytes, name: str | None = None) -> bytes:
        """The response to raw bytes, until the server closes the connection; without TLS if `name` is empty."""
        with self.tls(name) if name else self.tcp(self.http_port) as connection:
            connection.sendall(data)
            received = b""
            try:
                while part := connection.recv(65536):
                    received += part
            except (ConnectionResetError, ssl.SSLEOFError):
                pass
            return received
