"""Every response has every header once, and the application's own take precedence."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from host.headers import assert_hardened
from requests_sent import new_client, sent

TWO_HOSTS = b"GET / HTTP/1.1\r\nHost: DOMAIN\r\nHost: DOMAIN\r\n\r\n"
NO_HOST = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
NOT_HTTP = b"GET / HTTP/x\r\nHost: DOMAIN\r\n\r\n"
ANSWERS = {
    "200": (200, {"path": "/heard"}),
    "200 of a file": (200, {"path": "/static/page.css"}),
    "301": (301, {"path": "/moved"}),
    "304": (304, {"path": "/tagged", "headers": {"If-None-Match": '"same"'}}),
    "400 for a path": (400, {"path": "/a/../b"}),
    "401": (401, {"path": "/private"}),
    "403": (403, {"path": "/office/x"}),
    "403 of a file": (403, {"path": "/office/static/page.css"}),
    "403 without a certificate": (403, {"path": "/vault/x"}),
    "404": (404, {"path": "/no/such/page"}),
    "404 of a file": (404, {"path": "/static/no-such-file"}),
    "404 of a hidden file": (404, {"path": "/.env"}),
    "405": (405, {"path": "/login", "method": "PUT"}),
    "405 of a file": (405, {"path": "/static/page.css", "method": "DELETE"}),
    "413": (413, {"path": "/heard", "method": "POST", "headers": {"Content-Length": str(2 << 20)}}),
    "414": (414, {"path": "/" + "x" * 9000}),
    "501": (501, {"path": "/heard", "method": "PROPFIND"}),
    "502": (502, {"path": "/broken"}),
}


def assert_complete(site: Any, answer: Any) -> None:
    """The usual set, and what this site adds to it."""
    assert_hardened(site, answer)
    assert answer["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert "script-src 'self' https://cdn.example.com" in answer["Content-Security-Policy"]
    assert "require-trusted-types-for 'script'" in answer["Content-Security-Policy-Report-Only"]
    assert answer["Content-Security-Policy"].endswith("report-to csp") and answer["Reporting-Endpoints"] == 'csp="/.well-known/csp-reports"'
    assert "require-trusted-types-for" not in answer["Content-Security-Policy"]


@pytest.mark.parametrize("case", ANSWERS)
def test_every_response_has_the_headers(proxied: Any, case: str) -> None:
    status, request = ANSWERS[case]
    answer = proxied.get(**{**request, "headers": new_client() | request.get("headers", {})})
    assert answer.status == status
    assert_complete(proxied, answer)


def test_a_file_that_is_known_carries_the_headers(proxied: Any) -> None:
    first = proxied.get("/static/page.css")
    answer = proxied.get("/static/page.css", headers={"If-None-Match": first["ETag"]})
    assert answer.status == 304
    assert_complete(proxied, answer)


@pytest.mark.parametrize("request_", [TWO_HOSTS, NOT_HTTP], ids=["two hosts", "not HTTP"])
def test_a_malformed_request_is_refused_with_the_headers(proxied: Any, request_: bytes) -> None:
    answer = sent(proxied, request_.replace(b"DOMAIN", proxied.domain.encode()))
    assert answer.status == 400
    assert_complete(proxied, answer)


def test_a_request_without_a_host_is_refused_with_headers(proxied: Any) -> None:
    answer = sent(proxied, NO_HOST)
    assert answer.status == 400
    assert answer["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_maintenance_carries_the_headers(maintained: Any) -> None:
    answer = maintained.get("/heard")
    assert answer.status == 503
    assert_complete(maintained, answer)


def test_a_limit_carries_the_headers(proxied: Any) -> None:
    client = new_client()
    answers = [proxied.get("/login", headers=client) for _ in range(5)]
    assert answers[-1].status == 429
    assert_complete(proxied, answers[-1])


def test_an_application_gives_nginx_no_commands(proxied: Any) -> None:
    answer = proxied.get("/accelerated", headers=new_client())
    assert (answer.status, answer.body) == (200, b"a page of the application")
    assert "utf-7" not in answer["Content-Type"]


def test_a_policy_of_the_applications_own_wins_with_its_nonce(proxied: Any) -> None:
    answer = proxied.get("/nonce", headers=new_client())
    nonce = re.search(rb'nonce="([^"]+)"', answer.body)
    assert nonce and answer["Content-Security-Policy"] == f"script-src 'nonce-{nonce[1].decode()}'"
    assert answer["Content-Security-Policy-Report-Only"]


def test_a_browsers_report_is_kept_and_its_size_and_rate_are_limited(proxied: Any) -> None:
    client, name = new_client(), f"https://cdn.example/{uuid.uuid4()}.js"
    report = json.dumps([{"type": "csp-violation", "body": {"effectiveDirective": "script-src-elem", "blockedURL": name, "sample": 'a "quote"\u00e9'}}])
    path, headers = "/.well-known/csp-reports", client | {"Content-Type": "application/reports+json"}
    answer = proxied.get(path, method="POST", headers=headers, body=report.encode())
    assert answer.status == 204
    assert_complete(proxied, answer)
    log = proxied.server.host.check_output("cat /var/log/nginx/proxied/csp.log")
    (kept,) = [json.loads(line)["report"] for line in log.splitlines() if name in line]
    assert kept == report
    assert proxied.get(path, method="POST", headers=headers, body=b"x" * 20000).status == 413
    assert 429 in {proxied.get(path, method="POST", headers=headers, body=b"{}").status for _ in range(40)}


def test_a_report_only_policy_is_sent_only_where_it_is_set(plain: Any) -> None:
    answer = plain.get("/heard")
    assert_hardened(plain, answer)
    assert answer.all("Content-Security-Policy-Report-Only") == []
    assert answer.all("Cross-Origin-Embedder-Policy") == []
