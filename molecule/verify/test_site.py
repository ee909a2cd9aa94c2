"""The site as seen from the internet."""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import re
import secrets
import ssl
import struct
from collections.abc import Callable
from typing import Any

import pytest
from host.headers import STATIC, assert_hardened, refused_with

# Headers that only nginx may set for the application.
FORGED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix",
          "X-Forwarded-Ssl", "X-Forwarded-Protocol", "Forwarded", "X-Real-IP", "X-Request-ID", "Script-Name",
          "Script_Name", "Path_Info", "Proxy")


# Which of these byte strings a process of the live unit has in its memory.
MEMORY = r'''
found = set()
for pid in processes(live(GIVEN["app"])[1]):
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for line in maps:
            fields = line.split()
            if "rw" not in fields[1] or fields[-1] in ("[vvar]", "[vsyscall]"):
                continue
            start, end = (int(part, 16) for part in fields[0].split("-"))
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except (OSError, OverflowError, ValueError):
                continue
            found.update(mark for mark in GIVEN["marks"] if mark.encode() in content)
print(json.dumps(sorted(found)))
'''

# The journal's and the access log's lines that hold one of these.
LINES = r'''
app = GIVEN["app"]
lines = open("/var/log/nginx/%s/access.log" % app, errors="replace").read().splitlines()
print(json.dumps([line for line in lines if any(mark in line for mark in GIVEN["marks"])]))
'''


def closed_without_a_word(server: Any, data: bytes) -> bool:
    """Whether the connection is closed with no answer at all."""
    return server.outside.raw(data) == b""


# --- the application -----------------------------------------------------------------------------
def test_the_application_responds(site: Any) -> None:
    answer = site.get(site.app.health_path)
    assert answer.status == 200


def test_http_redirects_to_https_for_good(site: Any) -> None:
    port = "" if site.app.redirect_port == 443 else f":{site.app.redirect_port}"
    for domain in site.app.names:
        for method in ("GET", "POST"):
            answer = site.server.outside.http(domain, "/some/path?with=query", method)
            assert answer.status == 308
            assert answer["Location"] == f"https://{domain}{port}/some/path?with=query"


@pytest.mark.where(lambda site: len(site.app.names) > 1)
def test_other_names_redirect_to_the_canonical_one(site: Any) -> None:
    port = "" if site.app.redirect_port == 443 else f":{site.app.redirect_port}"
    for domain in site.app.names[1:]:
        answer = site.server.outside.https(domain, "/some/path?with=query")
        assert answer.status == 308
        assert answer["Location"] == f"https://{site.domain}{port}/some/path?with=query"
        assert_hardened(site, answer)


# --- headers -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("{health}", "GET", 200),
        ("/no/such/page", "GET", 404),
        ("/.git/config", "GET", 404),
        ("/", "TRACE", 405),
        ("/" + "x" * 9000, "GET", 414),
    ],
    ids=["200", "404", "404-by-nginx", "405", "414"],
)
def test_every_response_has_the_security_headers(site: Any, path: str, method: str, status: int) -> None:
    answer = site.get(path.format(health=site.app.health_path), method=method)
    assert answer.status == status
    assert_hardened(site, answer)


@pytest.mark.where(lambda site: site.app.static)
def test_static_files_have_the_security_headers(site: Any, remember: Callable[..., Any]) -> None:
    for path in [*remember(site, STATIC), next(iter(site.app.static)) + "no-such-file"]:
        assert_hardened(site, site.get(path))


@pytest.mark.where(lambda site: site.example)
def test_pages_are_not_compressed_so_that_their_length_reveals_nothing(site: Any) -> None:
    answer = site.get(site.example.long_page, headers={"Accept-Encoding": "gzip, br"})
    assert answer.status == 200
    assert answer.all("Content-Encoding") == []
    assert len(answer.body) > 1000, "too short to be worth compressing: nothing is proved"


def test_every_cookie_is_secure_and_out_of_reach_of_scripts(site: Any) -> None:
    for path in ("/", "/api/token"):
        for cookie in site.get(path).all("Set-Cookie"):
            attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
            assert {"secure", "httponly"} <= attributes, cookie.split("=")[0]
            assert attributes & {"samesite=lax", "samesite=strict"}, cookie.split("=")[0]


# --- static files --------------------------------------------------------------------------------
@pytest.mark.where(lambda site: site.app.static)
def test_static_files_come_from_the_web_server(site: Any, remember: Callable[..., Any]) -> None:
    files = remember(site, STATIC)
    assert files, "the release has no static files"
    for path, digest in files.items():
        answer = site.get(path)
        assert answer.status == 200
        assert hashlib.sha256(answer.body).hexdigest() == digest
        assert answer["Cache-Control"].startswith("max-age=")
        lines = site.ask(LINES, marks=[answer["X-Request-ID"]])
        assert len(lines) == 1
        assert '"app_seconds":""' in lines[0], "the application was asked"


@pytest.mark.parametrize("path", ["../manifest.json", "..%2fmanifest.json", "%2e%2e/manifest.json", "..//src/", ""])
@pytest.mark.where(lambda site: site.app.static)
def test_nothing_beside_the_static_files_is_served(site: Any, path: str) -> None:
    for prefix in site.app.static:
        for start in (prefix, prefix.rstrip("/")):
            if start + path in ("", "/"):
                continue
            assert site.get(start + path).status in (400, 403, 404), start + path


# --- limits --------------------------------------------------------------------------------------
def test_a_body_over_the_limit_is_refused_before_it_is_sent(site: Any) -> None:
    size = site.app.body_max_mb * 1024 * 1024 + 1
    answer = site.get("/", method="POST", headers={"Content-Length": str(size)})
    assert answer.status == 413
    assert_hardened(site, answer)


def test_a_header_over_the_limit_is_refused(site: Any) -> None:
    assert site.get("/", headers={"X-Long": "x" * 40000}).status in (400, 431)


# --- names ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("host", [b"unknown.example", b"127.0.0.1", b"_"])
def test_a_name_that_is_not_served_gets_no_response(server: Any, host: bytes) -> None:
    assert closed_without_a_word(server, b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("name", ["unknown.example", None])
def test_tls_for_a_name_that_is_not_served_is_refused(server: Any, name: str | None) -> None:
    context = server.outside.context(verify=False)
    if any(re.fullmatch(r"[0-9.]+", domain) for app in server.target.apps for domain in app.domains):
        # A site with an address gets handshakes without a server name, and serves only its own names.
        with server.outside.tls(name, context) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: unknown.example\r\nConnection: close\r\n\r\n")
            assert connection.recv(64) == b""
        return
    assert refused_with(lambda: server.outside.tls(name, context)) == "TLSV1_UNRECOGNIZED_NAME"


@pytest.mark.parametrize(
    "request_line",
    [b"GET / HTTP/1.1\r\nHost: evil.example", b"GET https://evil.example/ HTTP/1.1\r\nHost: {domain}"],
    ids=["host", "absolute-uri"],
)
def test_a_foreign_host_behind_a_right_handshake_is_not_served(site: Any, request_line: bytes) -> None:
    request = request_line.replace(b"{domain}", site.domain.encode()) + b"\r\nConnection: close\r\n\r\n"
    received = site.server.outside.raw(request, site.domain)
    assert received.split(b" ", 2)[1:2] in ([], [b"400"], [b"421"]), received[:200]


# --- what a client claims ------------------------------------------------------------------------
def test_no_forged_header_reaches_the_application(site: Any) -> None:
    """Looked for in the memory of the application's processes, beside a header that must be there."""
    for _ in range(5):
        passed = f"mark{secrets.token_hex(12)}"
        forged = {f"mark{secrets.token_hex(12)}": name for name in FORGED}
        headers = {"X-Bulwark-Passed": passed} | {name: mark for mark, name in forged.items()}
        answer = site.get(site.app.health_path, headers=headers)
        assert answer.status == 200
        found = site.ask(MEMORY, marks=[passed, *forged])
        assert [forged[mark] for mark in found if mark in forged] == []
        if passed in found:
            return
    pytest.fail("the header that is passed on was not found either: nothing was proved")


def test_a_forged_request_id_is_replaced(site: Any) -> None:
    forged = secrets.token_hex(16)
    answer = site.get(site.app.health_path, headers={"X-Request-ID": forged})
    assert answer["X-Request-ID"] != forged
    assert len(answer["X-Request-ID"]) == 32


# --- ACME challenges -----------------------------------------------------------------------------
def test_the_challenge_is_served_without_tls_for_every_name(site: Any) -> None:
    path = "/.well-known/acme-challenge/bulwark-verify-no-such-token"
    for domain in [*site.app.names, "unknown.example"]:
        assert site.server.outside.http(domain, path).status == 404


# --- TLS -----------------------------------------------------------------------------------------
def test_the_certificate_chains_to_the_root_and_names_exactly_the_domains(site: Any) -> None:
    for domain in site.app.names:
        with site.server.outside.tls(domain) as connection:
            names = {value if kind == "DNS" else str(ipaddress.ip_address(value.strip())) for kind, value in connection.getpeercert()["subjectAltName"]}
            assert names == set(site.app.domains)


@pytest.mark.where(lambda site: site.app.tls_profile == "intermediate")
def test_the_certificate_has_an_elliptic_curve_key(site: Any) -> None:
    context = site.server.outside.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with site.server.outside.tls(site.domain, context) as connection:
        assert "-ECDSA-" in connection.cipher()[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_current_tls_is_spoken(site: Any, version: ssl.TLSVersion) -> None:
    context = site.server.outside.context()
    context.minimum_version = context.maximum_version = version
    if site.app.tls_profile == "modern" and version == ssl.TLSVersion.TLSv1_2:
        # By the host for every site, or by this one for want of a cipher.
        assert refused_with(lambda: site.server.outside.tls(site.domain, context)) in (
            "TLSV1_ALERT_PROTOCOL_VERSION", "SSLV3_ALERT_HANDSHAKE_FAILURE")
        return
    with site.server.outside.tls(site.domain, context) as connection:
        assert connection.version() == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["1.0", "1.1"])
def test_old_tls_is_refused_by_the_server(site: Any, version: ssl.TLSVersion) -> None:
    context = site.server.outside.context(verify=False)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    assert refused_with(lambda: site.server.outside.tls(site.domain, context)) == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.where(lambda site: site.app.tls_profile == "intermediate")
@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-CAMELLIA128-SHA256"])
def test_weak_ciphers_are_refused_by_the_server(site: Any, cipher: str) -> None:
    context = site.server.outside.context(verify=False)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    assert "HANDSHAKE_FAILURE" in refused_with(lambda: site.server.outside.tls(site.domain, context))


def test_http_2_is_spoken(site: Any) -> None:
    context = site.server.outside.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with site.server.outside.tls(site.domain, context) as connection:
        assert connection.selected_alpn_protocol() == "h2"
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">HBBBI", 0, 0, 4, 0, 0))
        assert connection.recv(9)[3] == 4, "the first frame is not SETTINGS"


def test_plain_http_on_the_tls_port_shows_nothing_of_the_application(site: Any) -> None:
    with site.server.outside.tcp(site.server.outside.https_port) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {site.domain}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        try:
            answer.begin()
        except (http.client.HTTPException, ConnectionError):
            return
        assert answer.status == 400
