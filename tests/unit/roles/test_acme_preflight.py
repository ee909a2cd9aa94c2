"""Problems that the preflight finds in DNS, on port 80 and on the clock, and their remedies."""

from __future__ import annotations

import email.utils
import functools
import http.server
import importlib.util
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.bulwark.flask.tests.unit import support

SPEC = importlib.util.spec_from_file_location("preflight", support.ROLES / "acme_cert/files/acme_preflight.py")
preflight = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(preflight)

OWN = ["203.0.113.5", "2001:db8::5"]


class Zone:
    """Answers like a name server: records, none, no such name, or no answer at all."""

    def __init__(self, **records: Any) -> None:
        self.records = {name.replace("_", "."): kinds for name, kinds in records.items()}

    def __call__(self, name: str, kind: str) -> Optional[list[str]]:
        found = self.records.get(name)
        if found == "broken":
            raise preflight.NoResponse("SERVFAIL")
        return None if found is None else found.get(kind, [])


def responds(status: int = 200, body: bytes = b"token") -> Any:
    return lambda address, domain, path: (status, body)


def refuses(address: str, domain: str, path: str) -> Any:
    raise ConnectionRefusedError("Connection refused")


def test_a_name_that_resolves_to_this_host_is_no_problem() -> None:
    assert preflight.http_problems("a.example", Zone(a_example={"A": OWN[:1], "AAAA": OWN[1:]}), "token", OWN, responds()) == []


def test_an_address_behind_a_router_is_no_problem_if_it_serves_the_token() -> None:
    assert preflight.http_problems("a.example", Zone(a_example={"A": ["198.51.100.1"]}), "token", OWN, responds()) == []


@pytest.mark.parametrize(("zone", "fetch", "words"), [
    (Zone(), responds(), ["a.example does not exist in DNS", "203.0.113.5"]),
    (Zone(a_example={}), responds(), ["a.example has no address in DNS"]),
    (Zone(a_example="broken"), responds(), ["DNS does not respond: SERVFAIL"]),
    (Zone(a_example={"A": OWN[:1]}), refuses, ["port 80 of 203.0.113.5 does not respond", "start nginx"]),
    (Zone(a_example={"A": ["198.51.100.1"]}), refuses, ["port 80 of 198.51.100.1 does not respond", "point the record to this host"]),
    (Zone(a_example={"A": OWN[:1]}), responds(404, b""), ["this host's own web server responds to a challenge with 404", "/var/lib/acme-cert/webroot"]),
    (Zone(a_example={"A": ["198.51.100.1"]}), responds(200, b"hello"), ["another web server, at 198.51.100.1, responds", "proxy /.well-known"]),
])
def test_a_name_that_does_not_serve_the_token_is_named_with_the_cure(zone: Zone, fetch: Any, words: list[str]) -> None:
    found = preflight.http_problems("a.example", zone, "token", OWN, fetch)
    assert len(found) == 1
    for word in words:
        assert word in found[0]


def test_each_address_is_tried() -> None:
    found = preflight.http_problems("a.example", Zone(a_example={"A": OWN[:1], "AAAA": ["2001:db8::bad"]}), "token", OWN,
                              lambda address, domain, path: (200, b"token" if address == OWN[0] else b"other"))
    assert len(found) == 1 and "2001:db8::bad" in found[0]


@pytest.mark.parametrize(("records", "domain", "good"), [
    ({}, "a.example", True),
    (['0 issue "ours.example"'], "a.example", True),
    (['0 issue "ours.example; accounturi=x; validationmethods=dns-01"'], "a.example", False),
    (['0 issue "ours.example; validationmethods=http-01,dns-01"'], "a.example", True),
    (['0 issue "other.example"'], "a.example", False),
    (['0 issue ";"'], "a.example", False),
    (['0 issue "other.example"', '0 issue "OURS.example"'], "a.example", True),
    (['0 iodef "mailto:a@example"'], "a.example", True),
    (['0 issue "other.example"', '0 issuewild "ours.example"'], "*.a.example", True),
    (['0 issue "ours.example"', '0 issuewild ";"'], "*.a.example", False),
    (['0 issue "ours.example"'], "*.a.example", True),
])
@pytest.mark.parametrize("at", ["a.example", "example"])
def test_the_nearest_caa_record_decides(records: list[str], domain: str, good: bool, at: str) -> None:
    zone = Zone(**{"a_example": {}, at.replace(".", "_"): {"CAA": records}})
    found = preflight.caa(domain, zone, ["ours.example"], "http-01")
    assert (found == []) is good
    if not good:
        assert f"the CAA record of {at} allows" in found[0] and f"add: {at}. CAA 0 issue" in found[0] and '"ours.example"' in found[0]


def test_caa_records_are_ignored_for_a_ca_without_identities() -> None:
    assert preflight.caa("a.example", Zone(a_example={"CAA": ['0 issue ";"']}), [], "http-01") == []


def test_a_failed_caa_query_is_a_problem() -> None:
    assert "CAs refuse then" in preflight.caa("a.example", Zone(a_example="broken"), ["ours.example"], "http-01")[0]


@pytest.mark.parametrize(("ahead", "words"), [(0, ""), (250, ""), (3600, "60 minutes ahead of"), (-7200, "120 minutes behind")])
def test_a_clock_that_differs_from_the_cas_is_a_problem(ahead: int, words: str) -> None:
    found = preflight.clock(email.utils.formatdate(1_000_000, usegmt=True), 1_000_000 + ahead, "https://ca.example/dir")
    assert (found == []) is (words == "")
    assert words in "".join(found)


def test_without_a_date_the_clock_is_not_checked() -> None:
    assert preflight.clock("", 1_000_000, "https://ca.example/dir") == []


class Server(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(308)
            self.send_header("Location", "/dir.json")
            self.end_headers()
        elif self.path == "/round":
            self.send_response(302)
            self.send_header("Location", "/round")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    meta = {"meta": {"profiles": {"classic": "", "tlsserver": ""}, "caaIdentities": ["ours.example"]}}
    (tmp_path / "dir.json").write_text(json.dumps(meta))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_redirects_are_followed_as_by_a_ca(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Connection(preflight.http.client.HTTPConnection):
        def __init__(self, address: str, port: Optional[int] = None, **more: Any) -> None:
            super().__init__(server, **more)
    monkeypatch.setattr(preflight.http.client, "HTTPConnection", Connection)
    assert preflight.get("192.0.2.1", server, "/moved")[0] == 200
    assert preflight.get("192.0.2.1", server, "/round")[0] == 310


def test_all_problems_are_named_at_once_and_the_token_is_removed(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "WEBROOT", tmp_path / "webroot")
    asked = {"domains": ["gone.example", "shut.example"], "server": f"http://{server}/dir.json", "ca_bundle": "/etc/ssl/certs/ca-certificates.crt",
             "profile": "typo", "challenge": "http-01", "resolvers": [], "dns_credentials": ""}
    found = "\n".join(preflight.examine(asked, Zone(shut_example={"CAA": ['0 issue ";"']}), OWN))
    for words in ("no profile typo; choose one of classic, tlsserver", "gone.example does not exist", "shut.example has no address", "shut.example: the CAA"):
        assert words in found
    assert list((tmp_path / "webroot/.well-known/acme-challenge").iterdir()) == []


def test_the_key_of_the_name_server_is_read_from_certbots_file(tmp_path: Path) -> None:
    path = tmp_path / "dns.ini"
    path.write_text(support.render("acme_cert", "dns.ini.j2", {**support.SHOP, "acme_cert": {"dns": {"plugin": "rfc2136", "credentials": {
        "server": "192.0.2.53", "secret": "a+b/c=="}}}}))
    assert preflight.credentials_of(str(path)) == {"server": "192.0.2.53", "secret": "a+b/c=="}
    assert preflight.credentials_of("") == {}


def test_a_ca_that_is_down_is_reported_only_with_other_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "WEBROOT", tmp_path)
    asked = {"domains": ["gone.example"], "server": "https://127.0.0.1:1/dir", "ca_bundle": "/etc/ssl/certs/ca-certificates.crt",
             "profile": "", "challenge": "dns-01", "resolvers": [], "dns_credentials": ""}
    assert preflight.examine(asked, Zone(), OWN) == []
    found = preflight.examine({**asked, "challenge": "http-01"}, Zone(), OWN)
    assert len(found) == 2 and "https://127.0.0.1:1/dir cannot be reached" in found[1]


@pytest.mark.parametrize(("fetch", "words"), [
    (responds(), ""),
    (refuses, "2001:db8::5: port 80 does not respond: Connection refused; use an address of this host (203.0.113.5, 2001:db8::5)"),
    (responds(404, b""), "2001:db8::5: the response to a challenge is 404; use an address of this host"),
])
def test_an_address_is_requested_without_dns(fetch: Any, words: str) -> None:
    found = preflight.address_problems("2001:db8::5", "token", OWN, fetch)
    assert len(found) == bool(words) and words in "".join(found)
