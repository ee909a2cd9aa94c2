"""Requests of sites by name, against a real TLS server."""

from __future__ import annotations

import http.server
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils import site_check
from ansible_collections.bulwark.flask.plugins.module_utils.site_check import Site, Web

STATUS = {"https": 200, "http": 308}


def make_certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate; its key is beside it."""
    path = folder / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                    "-keyout", str(path.with_suffix(".key")), "-out", str(path)], check=True, capture_output=True)
    return path


def listen(kind: str, certificate: Path | None = None) -> http.server.ThreadingHTTPServer:
    """A server that gives every request the status of its kind."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(STATUS[kind])
            self.end_headers()

        def log_message(self, *_unused: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sites")
    for name in ("shop", "other"):
        certificate = make_certificate(folder, name)
        (folder / f"{name}.conf").write_text(f"server {{ ssl_certificate {certificate}; # the first\n server_name {name}; }}\n")
    return folder


@pytest.fixture(scope="module", name="web")
def _web(folder: Path) -> Iterator[Web]:
    servers = [listen("https", folder / "shop.pem"), listen("http")]
    yield Web(servers[0].server_port, servers[1].server_port, {socket.AF_INET: "127.0.0.1"})
    for server in servers:
        server.shutdown()


def problems(folder: Path, web: Web, file: str = "shop") -> str:
    site = Site("shop", ["shop.example.com", "*.shop.example.com"], "/healthz", str(folder / f"{file}.conf"))
    return "\n".join(site_check.problems_of(site, web))


def test_a_site_that_is_served_has_no_problem(folder: Path, web: Web) -> None:
    assert problems(folder, web) == ""


def test_another_certificate_than_that_of_the_site_is_another_server_block(folder: Path, web: Web) -> None:
    assert "shop.example.com is served with another certificate" in problems(folder, web, "other")


@pytest.mark.parametrize(("kind", "status", "expected"), [
    ("https", 502, "https://shop.example.com/healthz has status 502"), ("https", 503, "status 503"), ("https", 401, ""), ("https", 404, ""),
    ("http", 200, "is not redirected to HTTPS"), ("http", 301, ""), ("http", 403, ""),
])
def test_a_status_is_a_problem_when_nginx_has_no_response_or_serves_plain_http(
        folder: Path, web: Web, monkeypatch: pytest.MonkeyPatch, kind: str, status: int, expected: str) -> None:
    monkeypatch.setitem(STATUS, kind, status)
    found = problems(folder, web)
    assert expected in found and bool(found) == bool(expected)


def test_a_port_without_a_server_is_named_with_its_address(folder: Path, web: Web) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        found = problems(folder, Web(unused.getsockname()[1], web.http, web.addresses))
    assert "shop.example.com gives no response on 127.0.0.1" in found


def test_a_site_without_a_file_is_a_problem(folder: Path, web: Web) -> None:
    assert "does not exist" in problems(folder, web, "absent")


def test_clients_of_an_address_send_no_server_name(folder: Path, web: Web) -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "shop.pem", folder / "shop.key")
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = Web(listener.getsockname()[1], web.http, web.addresses)

        def serve() -> None:
            for _unused in range(2):
                with context.wrap_socket(listener.accept()[0], server_side=True):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        for domain in ("shop.example.com", "192.0.2.7"):
            with site_check.connection(here, domain):
                pass
        thread.join()
    assert names == ["shop.example.com", None]
