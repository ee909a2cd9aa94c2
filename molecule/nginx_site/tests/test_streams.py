"""WebSockets, event streams and unbuffered request bodies, on paths that set them."""

from __future__ import annotations

import base64
import json
import os
import secrets
import ssl
import struct
import time
from typing import Any

import pytest
from requests_sent import new_client, parsed

PATIENCE_SECONDS = 15


def head(site: Any, method: str, path: str, **headers: str) -> bytes:
    """The beginning of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {site.domain}", *(f"{k.replace('_', '-')}: {v}" for k, v in {**new_client(), **headers}.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def until(connection: ssl.SSLSocket, mark: bytes) -> bytes:
    """The input up to a mark or the end."""
    received = b""
    while mark not in received and (part := connection.recv(65536)):
        received += part
    return received


# --- WebSockets ----------------------------------------------------------------------------------
def shake_hands(site: Any, path: str) -> tuple[ssl.SSLSocket, bytes]:
    """A connection that asked to become a WebSocket, and the answer's head."""
    connection = site.server.outside.tls(site.domain)
    connection.sendall(head(site, "GET", path, Upgrade="websocket", Connection="Upgrade", Sec_WebSocket_Version="13",
                            Sec_WebSocket_Key=base64.b64encode(os.urandom(16)).decode()))
    return connection, until(connection, b"\r\n\r\n")


def test_a_websocket_talks_where_it_is_switched_on(proxied: Any) -> None:
    connection, answer = shake_hands(proxied, "/ws")
    with connection:
        assert answer.startswith(b"HTTP/1.1 101 ")
        for word in (b"first", b"second"):
            mask = os.urandom(4)
            connection.sendall(struct.pack(">BB", 0x81, 0x80 | len(word)) + mask + bytes(b ^ mask[n % 4] for n, b in enumerate(word)))
            assert until(connection, word).endswith(struct.pack(">BB", 0x81, len(word)) + word)


def test_no_other_path_becomes_a_websocket(proxied: Any) -> None:
    connection, answer = shake_hands(proxied, "/plain-ws")
    with connection:
        assert not answer.startswith(b"HTTP/1.1 101 ")


def test_no_other_protocol_is_upgraded_to(proxied: Any) -> None:
    answer = proxied.get("/ws/heard", headers=new_client() | {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAMAAABkAAQAAP__"})
    heard = json.loads(answer.body)["headers"]
    assert "Upgrade" not in heard and heard["Connection"] == "close"


# --- event streams -------------------------------------------------------------------------------
def second_event(site: Any, path: str) -> bytes:
    """The rest of a stream whose second event waits for the confirmation of the first."""
    with site.server.outside.tls(site.domain) as connection:
        connection.sendall(head(site, "GET", path, Connection="close"))
        received = until(connection, b"\n\n")
        name = received.partition(b"data: ")[2].split(b"\n")[0].decode()
        if b"no confirmation" not in received:
            assert site.get(f"/seen/{name}", method="POST", headers=new_client()).status == 200
            received += until(connection, b"data: seen")
    return received


def test_events_arrive_when_they_happen(proxied: Any) -> None:
    assert b"data: seen" in second_event(proxied, "/events")


# --- bodies --------------------------------------------------------------------------------------
def begun_early(site: Any, path: str) -> bool:
    """Whether the application has the beginning of a body whose end is not sent yet."""
    name, body = secrets.token_hex(8), b"x" * 20000
    with site.server.outside.tls(site.domain) as connection:
        connection.sendall(head(site, "POST", f"{path}/{name}", Content_Length=str(len(body)), Connection="close") + body[:10000])
        end, begun = time.monotonic() + 3, False
        while not begun and time.monotonic() < end:
            begun = json.loads(site.get(f"/begun/{name}", headers=new_client()).body)["begun"]
        connection.sendall(body[10000:])
        assert json.loads(parsed(until(connection, b"\0")).body) == {"length": len(body)}
    return begun


@pytest.mark.parametrize(("path", "early"), [("/streamed", True), ("/upload", False)])
def test_bodies_are_streamed_only_where_a_path_sets_it(proxied: Any, path: str, early: bool) -> None:
    assert begun_early(proxied, path) is early
