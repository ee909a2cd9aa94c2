"""A failed run leaves what was served, and its message names the variable or the command to correct it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from host.outside import Outside
from steps import EAB_KEY, STATE

UNTOUCHED = r'''
import hashlib
files = ("/etc/nginx/nginx.conf", "/etc/nginx/conf.d/other.conf", "/etc/nginx/conf.d/00-catch-all.conf",
         "/etc/nginx/conf.d/other-tls.conf", "/etc/systemd/system/nginx.service.d/sandbox.conf")
print(json.dumps({"nginx": properties("nginx.service", "MainPID", "ActiveState"),
                  "files": {path: hashlib.sha256(open(path, "rb").read()).hexdigest() for path in files if os.path.exists(path)},
                  "packaged": output("dpkg", "--verify", "nginx-common").decode()}))
'''

# Both journals and the log of certbot, which a person may copy into a question to others.
TRACES = r'''
sys.stdout.buffer.write(json.dumps({
    "journal": output("journalctl", "--namespace=*", "--output=export", "--no-pager").decode("utf-8", "replace"),
    "log": "".join(open(path, errors="replace").read() for path in glob.glob("/var/log/acme-cert/*")),
    "kept": [path for top in ("/etc", "/var/lib", "/run", "/tmp") for folder, _, files in os.walk(top) for path in
             [os.path.join(folder, name) for name in files] if os.path.isfile(path) and not os.path.islink(path)
             and open("/etc/acme-cert/shop.ini").read().partition("eab-hmac-key = ")[2].split("\n")[0].encode() in open(path, "rb").read()],
}).encode())
'''

TRIES = r'''
found = glob.glob("/srv/hostile/current/release/venv/lib/python3*/site-packages/hostile/tries.json")
print(open(found[0]).read())
'''


def issuer(site: Any) -> str:
    """The issuer of the served certificate."""
    with site.server.outside.tls(site.domain, site.server.outside.context(verify=False)) as connection:
        der = connection.getpeercert(binary_form=True)
    return site.server.host.run("echo %s | base64 -d | openssl x509 -inform der -noout -issuer", _base64(der)).stdout


def _base64(data: bytes) -> str:
    return ssl.DER_cert_to_PEM_cert(data).partition("\n")[2].rpartition("-----END")[0].replace("\n", "")


def answers(site: Any) -> int:
    """The status for a client that does not verify the certificate."""
    with site.server.outside.tls(site.domain, site.server.outside.context(verify=False)) as connection:
        connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: {site.domain}\r\nConnection: close\r\n\r\n".encode())
        return int(connection.recv(100).split()[1])


def other(site: Any) -> bytes:
    """The response of the existing site."""
    return site.server.outside.http("other.example").body


# --- a host that serves a site of its own already, and does not let root in ------------------------
def test_a_site_that_serves_every_name_stops_the_run_before_a_change(step: Callable[..., Any], at: Callable[..., Any]) -> None:
    site = at("debian13")
    before = site.ask(UNTOUCHED)
    run = step("clash")
    run.says("this server is the default of *:80", "set nginx_server_catch_all: false")
    assert site.ask(UNTOUCHED) == before
    assert before["packaged"] == "", "the test did not begin with a plain nginx"
    assert other(site) == b"the other site\n"


def test_a_key_that_only_root_may_read_is_a_reason_to_stop_before_anything_changes(step: Callable[..., Any], at: Callable[..., Any]) -> None:
    site = at("debian13")
    before = site.ask(UNTOUCHED)
    run = step("a key of root's")
    run.says("/etc/ssl/private/other.key", "Permission denied", "allow the group ssl-cert to read it", "set nginx_server_unprivileged: false")
    assert site.ask(UNTOUCHED) == before
    assert other(site) == b"the other site\n"


def test_an_existing_site_stays_in_service(step: Callable[..., Any], at: Callable[..., Any]) -> None:
    step("CA down")
    assert other(at("debian13")) == b"the other site\n"
    assert answers(at("debian13")) == 200


def test_an_account_with_sudo_is_enough(step: Callable[..., Any], at: Callable[..., Any]) -> None:
    run = step("CA down")
    assert at("debian13").server.target.user == "deploy"
    assert run.count("failed")["debian13"] == 1, "more failed than the certificate"


# --- a run that was killed -----------------------------------------------------------------------
def test_a_run_that_was_killed_is_finished_by_the_next(step: Callable[..., Any], at: Callable[..., Any]) -> None:
    assert "PLAY RECAP" not in step("clash").output
    run = step("CA down")
    assert run.count("failed")["debian12"] == 0
    for app, path in (("shop", "/healthz"), ("hostile", "/")):
        assert at("debian12", app).get(path).status == 200


# --- a build that attacks ------------------------------------------------------------------------
def test_a_build_reaches_nothing_but_its_release(step: Callable[..., Any], at: Callable[..., Any]) -> None:
    step("CA down")
    tries = at("debian12", "hostile").ask(TRIES)
    assert len(tries) == 16
    assert {name: got for name, got in tries.items() if got} == {}


# --- ACME servers ---------------------------------------------------------------------------------
def test_while_the_ca_is_down_only_the_certificate_is_missing(step: Callable[..., Any], at: Callable[..., Any]) -> None:
    run = step("CA down")
    run.says("https://pebble:9/dir", "The CA is down, or this host cannot reach it.", "/var/log/acme-cert/letsencrypt.log",
             "Run the same command again when the cause is fixed.", "No new certificate for shop, hostile")
    assert "not issued yet" in issuer(at("debian13"))


def test_the_message_of_a_ca_that_refuses_a_name_is_quoted(step: Callable[..., Any], at: Callable[..., Any]) -> None:
    run = step("CA refuses")
    run.says("https://pebble:14000/dir", "Each name must resolve to this host in DNS", "nowhere.debian13.example.test",
             "/var/log/acme-cert/letsencrypt.log", "No new certificate for shop;")
    assert answers(at("debian13")) == 200
    assert "not issued yet" in issuer(at("debian13"))


def test_a_ca_that_requires_account_binding_is_reported(step: Callable[..., Any], at: Callable[..., Any]) -> None:
    run = step("CA requires a binding")
    assert "The CA requires external account binding: set acme_cert_eab_kid and acme_cert_eab_hmac_key" in run.output
    assert answers(at("debian13")) == 200


# --- releases that fail --------------------------------------------------------------------------
def test_a_changed_package_is_refused_and_the_old_release_serves(step: Callable[..., Any], at: Callable[..., Any]) -> None:
    run = step("CA refuses")
    run.says("Installing the dependencies failed", "Hash mismatch", "build.log on the host", "The live release is unchanged")
    assert at("debian12").get("/healthz").status == 200


def test_an_application_that_cannot_be_imported_is_not_activated(step: Callable[..., Any], at: Callable[..., Any]) -> None:
    run = step("CA requires a binding")
    run.says("cannot import name 'Flusk'", "Clients still reach", "journalctl --namespace=shop")
    assert at("debian12").get("/healthz").status == 200


# --- after the causes are corrected --------------------------------------------------------------------------
def test_the_same_command_recovers_it(step: Callable[..., Any], at: Callable[..., Any]) -> None:
    run = step("corrected")
    assert run.count("failed") == {"debian13": 0, "debian12": 0}
    known = at("debian13").server.outside
    outside = Outside(known.address, known.https_port, known.http_port, str(STATE / "ca-eab.pem"))
    assert outside.https(at("debian13").domain, "/healthz").status == 200
    assert other(at("debian13")) == b"the other site\n"


def test_the_key_of_an_account_binding_is_shown_nowhere(step: Callable[..., Any], at: Callable[..., Any]) -> None:
    key = EAB_KEY.read_text(encoding="utf-8").strip()
    assert key not in step("corrected").output
    traces = at("debian13").ask(TRACES)
    assert [place for place in ("journal", "log") if key in traces[place]] == []
    assert sorted(traces["kept"]) == ["/etc/acme-cert/hostile.ini", "/etc/acme-cert/shop.ini"]


def test_another_run_changes_nothing(step: Callable[..., Any]) -> None:
    run = step("again")
    assert run.count("changed") == {"debian13": 0, "debian12": 0}
