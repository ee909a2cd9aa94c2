"""A client during maintenance: no request reaches the application, but the health check."""

from __future__ import annotations

from host.playbooks import Playbooks
from host.plugin import Server

# Spellings that nginx and an application could read differently.
SPELLED = (
    "/hello/x", "/hello/x?/healthz", "/hello/x%3f/healthz", "/hello/x/../../healthz", "/hello/..%2f..%2fhealthz", "/hello/%2e%2e/%2e%2e/healthz",
    "/healthz/..", "/healthz/../", "/healthz%2f..%2f", "/healthz%2f..%2fhello%2fx", "/healthz;/../hello/x", "//hello//x", "/./hello/x",
    "/HEALTHZ/../hello/x", "/healthz%00", "/healthz%0a/hello/x", "/.maintenance", "/.maintenance/../hello/x", "/hello/.maintenance",
)
# Headers by which a proxy would state another path, method or address.
STATED = {
    "X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Original-URL": "/healthz", "X-Rewrite-URL": "/healthz",
    "X-Accel-Redirect": "/healthz", "X-HTTP-Method-Override": "GET", "X-Forwarded-Host": "localhost",
}
TWO_REQUESTS = ("GET https://DOMAIN/healthz HTTP/1.1\r\nHost: DOMAIN\r\n\r\n"
                "GET /hello/x HTTP/1.1\r\nHost: DOMAIN\r\nConnection: close\r\n\r\n")
OF_THE_APPLICATION = (b"Hello", b'"status"', b"<h1>Not Found</h1>")


def test_no_request_passes_the_maintenance_page(server: Server, playbooks: Playbooks) -> None:
    site = server.site("notes")
    playbooks.good("maintenance", "--limit", server.name, app="notes", state="on")
    try:
        answers = {path: site.get(path) for path in SPELLED}
        answers |= {name: site.get("/hello/x", headers={name: value}) for name, value in STATED.items()}
        answers |= {method: site.get("/hello/x", method=method) for method in ("POST", "PUT", "OPTIONS", "PROPFIND")}
        pipelined = server.outside.raw(TWO_REQUESTS.replace("DOMAIN", site.domain).encode(), site.domain)
        assert site.get("/healthz").status == 200, "the health check does not reach the application"
    finally:
        playbooks.good("maintenance", "--limit", server.name, app="notes", state="off")
    assert site.get("/hello/x").status == 200
    passed = {what: answer.status for what, answer in answers.items()
              if answer.status < 400 or any(text in answer.body for text in OF_THE_APPLICATION)}
    assert passed == {}
    assert b"Hello" not in pipelined and pipelined.count(b"HTTP/1.1 503") == 1
