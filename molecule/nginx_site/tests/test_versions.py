"""A site with TLS 1.3 only, beside one that also allows TLS 1.2."""

from __future__ import annotations

import ssl
from typing import Any

from host.headers import refused_with


def old(site: Any) -> ssl.SSLContext:
    """A client that knows no TLS 1.3."""
    context = site.server.outside.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def test_a_modern_site_refuses_tls_1_2_beside_a_site_that_allows_it(proxied: Any, plain: Any) -> None:
    with proxied.server.outside.tls(proxied.domain, old(proxied)) as connection:
        assert connection.version() == "TLSv1.2"
    assert refused_with(lambda: plain.server.outside.tls(plain.domain, old(plain))) == "SSLV3_ALERT_HANDSHAKE_FAILURE"
    assert plain.get("/heard").status == 200


def test_a_request_over_the_handshake_of_another_site_is_refused(proxied: Any, plain: Any) -> None:
    request = f"GET /heard HTTP/1.1\r\nHost: {plain.domain}\r\nConnection: close\r\n\r\n".encode()
    for context in (old(proxied), proxied.server.outside.context()):
        with proxied.server.outside.tls(proxied.domain, context) as connection:
            connection.sendall(request)
            assert connection.recv(64).split(b" ")[1] == b"421"
