"""Access, methods and limits of paths, in every spelling of a path."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from requests_sent import STATE, new_client, sent

LINES = r'''
lines = open("/var/log/nginx/%s/access.log" % GIVEN["app"], errors="replace").read().splitlines()
print(json.dumps([json.loads(line) for line in lines if GIVEN["mark"] in line]))
'''
# Every way to write /office/x that one of nginx, gunicorn and Werkzeug might read as another.
SPELLINGS = ["/office/x", "/office", "/OFFICE/x", "//office/x", "/office//x", "/office/x/", "/%6fffice/x", "/%4Fffice/x", "/office%2Fx",
             "/office;x", "/office/;x", "/office.json", "/office%20", "/office%09/x", "/office%0a", "/office/x?y", "/office/x#y",
             "/open/../office/x", "/office/../open/x", "/office/..%2fopen/x", "/office/%2e%2e/open/x", "/./office/x",
             "/office/.%2e%2Fopen", "/open/x/..%2f..%2foffice/x", "/office/x/..", "/%2foffice/x", "/office/static/page.css",
             "/OFFICE/static/page.css", "/office/upload", "/office/upload/x"]
PASSWORDS = {"alice": hashlib.sha256((STATE / "canary").read_bytes()).hexdigest(), "bob": "another-password-of-bob"}


def raw(path: str, site: Any, client: dict[str, str]) -> bytes:
    """A request whose path is sent as it is."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {site.domain}", "Connection: close", *(f"{k}: {v}" for k, v in client.items()), "", ""]
    return "\r\n".join(lines).encode()


def basic(name: str, password: str) -> dict[str, str]:
    """The Authorization header for these credentials."""
    import base64

    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


# --- addresses -----------------------------------------------------------------------------------
@pytest.mark.parametrize("path", [*SPELLINGS, "https://{domain}/office/x"])
def test_no_spelling_of_a_path_evades_its_access_rules(proxied: Any, path: str) -> None:
    answer = sent(proxied, raw(path.format(domain=proxied.domain), proxied, new_client()))
    assert answer.status in (400, 403), answer.body


@pytest.mark.parametrize("client", ["198.51.100", "2001:db8:1:"])
def test_allowed_clients_have_access(proxied: Any, client: str) -> None:
    for path in ("/office/x", "/office/x/y", "/office/static/page.css"):
        assert proxied.get(path, headers=new_client(client)).status == 200


@pytest.mark.parametrize("path", ["/officer", "/office-hours", "/open/office/x"])
def test_another_path_that_begins_alike_is_open(proxied: Any, path: str) -> None:
    assert proxied.get(path, headers=new_client()).status in (200, 404)


def test_an_inner_path_has_its_own_and_keeps_the_outer_ones(proxied: Any) -> None:
    body = {"method": "POST", "body": b"x" * (2 << 20)}
    assert proxied.get("/office/upload", headers=new_client("198.51.100"), **body).status == 200
    assert proxied.get("/office/other", headers=new_client("198.51.100"), **body).status == 413
    assert proxied.get("/office/upload", headers=new_client()).status == 403


# --- passwords -----------------------------------------------------------------------------------
def test_a_path_requires_a_password(proxied: Any) -> None:
    answer = proxied.get("/private", headers=new_client())
    assert answer.status == 401
    assert answer["WWW-Authenticate"] == 'Basic realm="proxied"'


@pytest.mark.parametrize("path", ["/private", "/private/x", "/private/upload"])
def test_the_right_password_opens_and_is_not_passed_on(proxied: Any, path: str) -> None:
    answer = proxied.get(path, headers=new_client() | basic("alice", PASSWORDS["alice"]))
    assert answer.status == 200
    assert "Authorization" not in json.loads(answer.body)["headers"]


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong"), ("alice", PASSWORDS["bob"]), ("bob", PASSWORDS["bob"]), ("", "")])
def test_others_and_wrong_passwords_are_refused(proxied: Any, name: str, password: str) -> None:
    assert proxied.get("/private", headers=new_client() | basic(name, password)).status == 401


def test_other_paths_pass_the_applications_own_authorization(proxied: Any) -> None:
    answer = proxied.get("/heard", headers=new_client() | {"Authorization": "Bearer x"})
    assert json.loads(answer.body)["headers"]["Authorization"] == "Bearer x"


def test_passwords_are_hashed_and_shown_nowhere(proxied: Any, converge_log: bytes) -> None:
    file = proxied.server.host.file("/etc/nginx/users/proxied/alice")
    assert (file.user, file.group, file.mode) == ("root", "www-data", 0o640)
    assert file.content_string.startswith("alice:$6$")
    assert proxied.server.host.check_output("ls /etc/nginx/users/proxied") == "alice"
    for password in PASSWORDS.values():
        assert password.encode() not in converge_log
    assert file.content_string.split(":")[1].strip().encode() not in converge_log
    # The words to look for are not in an argument: the journal has those.
    found = proxied.ask(r'''
digests, found = set(GIVEN["digests"]), []
for top in ("/etc", "/var/log", "/var/lib/file_set", "/run", "/tmp"):
    for folder, _, names in os.walk(top):
        for path in (os.path.join(folder, name) for name in names):
            if os.path.isfile(path) and not os.path.islink(path) and "proxied.env" not in path:
                with open(path, "rb") as stream:
                    words = set(re.findall(rb"[A-Za-z0-9-]{20,64}", stream.read()))
                if any(hashlib.sha256(word).hexdigest() in digests for word in words):
                    found.append(path)
print(json.dumps(found))
'''.replace("digests, found", "import hashlib\ndigests, found", 1), digests=[hashlib.sha256(p.encode()).hexdigest() for p in PASSWORDS.values()])
    assert found == []


# --- certificates --------------------------------------------------------------------------------
def shown(site: Any, path: str, client: str | None) -> int:
    """The status for a client with a certificate."""
    context = site.server.outside.context()
    if client:
        context.load_cert_chain(STATE / f"client-of-{client}.pem", STATE / f"client-of-{client}.key")
    return sent(site, raw(path, site, new_client()), context).status


@pytest.mark.parametrize(("client", "status"), [(None, 403), ("people", 200), ("others", 400)])
def test_a_path_demands_a_certificate(proxied: Any, client: str | None, status: int) -> None:
    assert shown(proxied, "/vault/x", client) == status


@pytest.mark.parametrize("path", ["/VAULT/x", "//vault/x", "/%76ault/x", "/vault;/x", "/open/..%2fvault/x", "/vault/..%2fopen/x"])
def test_no_spelling_of_a_path_gets_past_a_certificate(proxied: Any, path: str) -> None:
    assert shown(proxied, path, None) in (400, 403)


def test_other_paths_require_no_certificate(proxied: Any) -> None:
    assert shown(proxied, "/heard", None) == 200


# --- methods -------------------------------------------------------------------------------------
@pytest.mark.parametrize(("path", "method", "status", "allow"), [
    ("/login", "GET", 200, None), ("/login", "HEAD", 200, None), ("/login", "POST", 200, None),
    ("/login", "PUT", 405, "GET, POST, HEAD"), ("/LOGIN/", "DELETE", 405, "GET, POST, HEAD"),
    ("/heard", "DELETE", 200, None), ("/heard", "OPTIONS", 200, None), ("/heard", "PROPFIND", 501, None), ("/heard", "get", 400, None),
    ("/static/page.css", "POST", 405, "GET, HEAD"), ("/tagged", "POST", 405, "OPTIONS, HEAD, GET")])
def test_methods_are_served_refused_or_unknown(proxied: Any, path: str, method: str, status: int, allow: str | None) -> None:
    answer = proxied.get(path, method=method, headers=new_client())
    assert answer.status == status
    if allow:
        assert sorted(answer["Allow"].split(", ")) == sorted(allow.split(", "))
    elif status != 200:
        assert answer.all("Allow") == []


# --- hidden files and backups --------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/.env", "/.git/config", "/open/.git/config", "/open/settings.py~", "/open/a.BAK", "/open/.htpasswd",
                                  "/open/a.php.old", "/%2egit/config", "/open/x.swp", "/static/.hidden", "/static/page.css~"])
def test_hidden_files_and_backups_are_not_there(proxied: Any, path: str) -> None:
    answer = proxied.get(path, headers=new_client())
    assert answer.status == 404
    lines = proxied.ask(LINES, mark=answer["X-Request-ID"])
    assert [line["app_seconds"] for line in lines] == [""], "the application was asked"


@pytest.mark.parametrize("path", ["/wiki/.NET", "/open/.well-known/x", "/open/a.b", "/open/a~b"])
def test_paths_that_resemble_hidden_files_are_served(proxied: Any, path: str) -> None:
    assert proxied.get(path, headers=new_client()).status == 200


# --- limits --------------------------------------------------------------------------------------
def test_a_path_is_limited_harder_whatever_its_spelling_and_the_rest_is_not(proxied: Any) -> None:
    client = new_client()
    paths = ["/login", "//login", "/LOGIN", "/login/", "/%6cogin", "/login"]
    statuses = [proxied.get(path, method="POST", headers=client).status for path in paths]
    assert 429 not in statuses[:3] and set(statuses[3:]) == {429}
    assert proxied.get("/heard", headers=client).status == 200
    assert proxied.get("/login", headers=new_client("198.51.100")).status == 200


def test_addresses_that_no_limit_meets(proxied: Any) -> None:
    assert {proxied.get("/login", headers=new_client("198.18.0")).status for _ in range(8)} == {200}
    office = {"X-Forwarded-For": "198.18.0.7"}
    assert {proxied.get("/login", headers=office).status for _ in range(8)} == {200}


def test_a_subscriber_of_ipv6_is_one_client(proxied: Any) -> None:
    network = new_client("2001:db8:7")["X-Forwarded-For"]
    statuses = [proxied.get("/login", headers={"X-Forwarded-For": f"{network}:{n:x}::1"}).status for n in range(5)]
    assert statuses[:3] == [200] * 3 and set(statuses[3:]) == {429}
    assert proxied.get("/login", headers=new_client("2001:db8:8")).status == 200


# --- who asks ------------------------------------------------------------------------------------
def told(site: Any, headers: dict[str, str]) -> tuple[dict[str, str], str]:
    """The request headers that the application got, and the address in the log."""
    answer = site.get("/heard", headers=headers)
    return json.loads(answer.body)["headers"], site.ask(LINES, mark=answer["X-Request-ID"])[0]["client"]


@pytest.mark.parametrize(("claimed", "client"), [("203.0.113.7", "203.0.113.7"), ("192.0.2.66, 203.0.113.8", "203.0.113.8"),
                                                 ("203.0.113.9, 192.0.2.200", "203.0.113.9"), ("2001:db8::7", "2001:db8::7")])
def test_a_declared_proxy_sets_the_client_address(proxied: Any, claimed: str, client: str) -> None:
    heard, logged = told(proxied, {"X-Forwarded-For": claimed})
    assert heard["X-Forwarded-For"] == logged == client


def test_no_statement_of_a_proxy_reaches_the_application_from_a_client(proxied: Any) -> None:
    names = ["X-SSL-Client-Verify", "SSL-Client-Verify", "X-Forwarded-Client-Cert", "X-Auth-Request-Email", "X-HTTP-Method-Override", "CF-Connecting-IPv6"]
    heard, _logged = told(proxied, {name: "stated" for name in names} | {"X-Passed": "stated"})
    assert {name: value for name, value in heard.items() if value == "stated"} == {"X-Passed": "stated"}


@pytest.mark.parametrize("header", ["X-Forwarded-For", "CF-Connecting-IP", "X-Real-IP", "Forwarded"])
def test_only_declared_proxies_can_set_the_client_address(plain: Any, header: str) -> None:
    heard, logged = told(plain, {header: "203.0.113.7" if header != "Forwarded" else "for=203.0.113.7"})
    assert "203.0.113.7" not in str(heard)
    assert heard["X-Forwarded-For"] == logged != "203.0.113.7"


