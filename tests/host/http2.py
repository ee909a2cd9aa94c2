"""Many parallel HTTP/2 requests over one connection, with the standard library only."""

from __future__ import annotations

import ssl
import struct
from typing import Any

HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
# Indexes of HPACK's static table (RFC 7541, appendix A).
AUTHORITY, METHOD_GET, METHOD_POST, PATH, SCHEME_HTTPS, CONTENT_LENGTH = 1, 2, 3, 4, 7, 28
STATUS_200 = 0x88


def _literal(index: int, value: str) -> bytes:
    """A header of the static table with a new value, in HPACK without indexing."""
    name = bytes([index]) if index < 15 else bytes([15, index - 15])
    assert len(value) < 127
    return name + bytes([len(value)]) + value.encode()


class Client:
    """One connection. Requests are sent together; each response is 200 or not."""

    def __init__(self, site: Any) -> None:
        context = site.server.outside.context()
        context.set_alpn_protocols(["h2"])
        self.authority = site.domain
        self.connection: ssl.SSLSocket = site.server.outside.tls(site.domain, context)
        self.stream = -1
        self.received = b""
        self.connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self._frame(SETTINGS, 0, 0, b"")
                                + self._frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    @staticmethod
    def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    def send(self, path: str, count: int = 1, unfinished: bool = False) -> list[int]:
        """Send `count` requests at once; unfinished requests announce a body and send none of it."""
        method = [METHOD_POST] if unfinished else [METHOD_GET]
        block = bytes(0x80 | index for index in [*method, SCHEME_HTTPS])
        block += _literal(PATH, path) + _literal(AUTHORITY, self.authority)
        if unfinished:
            block += _literal(CONTENT_LENGTH, "10")
        streams = []
        for _ in range(count):
            self.stream += 2
            streams.append(self.stream)
        flags = END_HEADERS | (0 if unfinished else END_STREAM)
        self.connection.sendall(b"".join(self._frame(HEADERS, flags, stream, block) for stream in streams))
        return streams

    def _read(self, count: int) -> bytes:
        while len(self.received) < count:
            part = self.connection.recv(65536)
            assert part, "the server closed the connection"
            self.received += part
        taken, self.received = self.received[:count], self.received[count:]
        return taken

    def answers(self, streams: list[int]) -> list[bool]:
        """Whether each of these responses had status 200, in their order."""
        found: dict[int, bool] = {}
        while set(streams) - found.keys():
            head = self._read(9)
            kind, flags, stream = head[3], head[4], struct.unpack(">I", head[5:])[0]
            payload = self._read(int.from_bytes(head[:3], "big"))
            assert kind not in (RST_STREAM, GOAWAY), f"the server gave up with frame {kind}"
            if kind == HEADERS and stream not in found:
                # A change of the table's size may come first.
                while payload[0] & 0xE0 == 0x20:
                    payload = payload[1:]
                found[stream] = payload[0] == STATUS_200
            elif kind in (SETTINGS, PING) and not flags & ACK:
                self.connection.sendall(self._frame(kind, ACK, 0, payload if kind == PING else b""))
        return [found[stream] for stream in streams]
