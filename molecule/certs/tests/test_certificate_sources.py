"""Certificates of all sources replace each other, and every connection has a valid one."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from provided_files import FILES, key_lines
from steps import HOSTS, PROVIDED, STATE, Step, play, presented, trusted

# Command lines of all processes until the end; then those that contain a line of a key.
WATCH = r'''
import time
seen = set()
while os.path.exists("/run/certs-watched"):
    for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as stream:
                seen.add(stream.read())
        except OSError:
            pass
    time.sleep(0.03)
lines = [line for path in glob.glob("/var/lib/acme-cert/external/shop/*/privkey.pem")
         for line in open(path, "rb").read().splitlines() if len(line) > 40 and b"-----" not in line]
print(json.dumps({"seen": len(seen), "lines": len(lines), "with_key": sum(any(line in text for line in lines) for text in seen)}))
'''

KEPT = r'''
import hashlib
link = "/etc/ssl/acme-cert/shop"
lines = [line for line in open(link + "/privkey.pem", "rb").read().splitlines() if len(line) > 40 and b"-----" not in line]
paths = [os.path.join(folder, name) for top in ("/etc", "/var/lib", "/var/log", "/run", "/tmp", "/root")
         for folder, _, names in os.walk(top) for name in names]
print(json.dumps({"link": os.readlink(link), "mode": mode(os.path.realpath(link + "/privkey.pem")),
                  "journal": any(line in output("journalctl", "--output=export", "--no-pager") for line in lines),
                  "with_key": [path for path in paths if os.path.isfile(path) and not os.path.islink(path)
                               and any(line in open(path, "rb").read() for line in lines)],
                  "elsewhere": glob.glob("/var/lib/acme-cert/external/shop/*"),
                  "timer": properties("acme-cert-renew@shop.timer", "ActiveState")["ActiveState"],
                  "enabled": output("systemctl", "is-enabled", "acme-cert-renew@shop.timer").decode().strip(),
                  "nginx": properties("nginx.service", "MainPID", "NRestarts")}))
'''


def made(name: str) -> int:
    """The serial number of one of ours."""
    return x509.load_pem_x509_certificates((FILES / f"{name}.pem").read_bytes())[0].serial_number


def alarmed(site: Any) -> bool:
    """Whether the certificate is an alarm when it is looked at now."""
    unit = "alarm-channel-check"
    site.server.host.check_output(f"while [ $(systemctl is-active {unit}) = activating ]; do sleep 0.1; done; "
                                  f"systemctl reset-failed {unit}; systemctl start {unit}")
    return f'"certificate/{site.domain}"' in site.server.host.file("/var/lib/alarm-channel/state.json").content_string


def test_a_placeholder_certificate_is_an_alert_until_it_is_replaced(sites: list[Any], step: Callable[..., Any]) -> None:
    assert [alarmed(site) for site in sites] == [True] * len(sites)
    step("issued")
    assert [alarmed(site) for site in sites] == [False] * len(sites)


def test_a_provided_certificate_replaces_that_of_the_ca(step: Callable[..., Any], sites: list[Any]) -> None:
    step("issued")
    before = [site.ask(KEPT)["nginx"] for site in sites]
    for site in sites:
        site.server.host.run("touch /run/certs-watched")
    watched: list[Any] = []
    watchers = [threading.Thread(target=lambda site=site: watched.append(site.ask(WATCH))) for site in sites]
    for watcher in watchers:
        watcher.start()
    try:
        run = step("provided")
    finally:
        for site in sites:
            site.server.host.run("rm -f /run/certs-watched")
        for watcher in watchers:
            watcher.join()
    assert run.count("failed") == dict.fromkeys(HOSTS, 0)
    for site in sites:
        assert presented(site).serial_number == made("first")
        assert trusted(site, str(FILES / "root.pem"))
    assert [site.ask(KEPT)["nginx"] for site in sites] == before, "the web server was restarted"
    assert [watcher["with_key"] for watcher in watched] == [0] * len(sites), "the key was in an argument or an environment"
    assert all(watcher["seen"] > 50 and watcher["lines"] for watcher in watched)


def test_an_external_certificate_near_its_end_is_an_alert(step: Callable[..., Any], sites: list[Any]) -> None:
    step("provided")
    assert [alarmed(site) for site in sites] == [True] * len(sites)


def test_the_key_is_in_one_file_that_root_and_the_web_server_read_and_nowhere_else(step: Callable[..., Any], sites: list[Any]) -> None:
    run = step("provided")
    assert not [line for line in key_lines("first") if line in run.output]
    for site in sites:
        kept = site.ask(KEPT)
        assert kept["with_key"] == [f"{kept['link']}/privkey.pem"]
        assert kept["mode"] == "root:ssl-cert 0640"
        assert not kept["journal"]


def test_an_external_certificate_ends_requests_to_the_ca(step: Callable[..., Any], sites: list[Any]) -> None:
    step("provided")
    for site in sites:
        kept = site.ask(KEPT)
        assert (kept["timer"], kept["enabled"]) == ("inactive", "disabled")


def test_another_run_changes_nothing(step: Callable[..., Any], sites: list[Any]) -> None:
    assert step("provided again").count("changed") == dict.fromkeys(HOSTS, 0)


@pytest.fixture(scope="module")
def predicted(step: Callable[..., Any]) -> Any:
    """The output of check mode about a certificate that does not exist yet."""
    step("provided again")
    chain, key = (FILES / f"second.{kind}" for kind in ("pem", "key"))
    return play(Step({**PROVIDED, "provided_chain": str(chain), "provided_key": str(key)}), "--check")


def test_check_mode_predicts_the_certificate_and_changes_nothing(predicted: Any, sites: list[Any]) -> None:
    assert predicted.count("changed") == dict.fromkeys(HOSTS, 1)
    assert {presented(site).serial_number for site in sites} == {made("first")}


def test_a_renewed_file_is_served_after_a_reload(predicted: Any, step: Callable[..., Any], sites: list[Any]) -> None:
    before = [site.ask(KEPT)["nginx"] for site in sites]
    assert step("renewed").count("changed") == dict.fromkeys(HOSTS, 1)
    for site in sites:
        assert presented(site).serial_number == made("second")
        assert len(site.ask(KEPT)["elsewhere"]) == 1, "the old key is still there"
        assert not alarmed(site)
    assert [site.ask(KEPT)["nginx"] for site in sites] == before


def test_a_certificate_that_would_not_serve_is_refused_before_anything_changes(step: Callable[..., Any], sites: list[Any]) -> None:
    run = step("useless")
    for words in ("flask_apps.shop.acme_cert.provided_key does not match the certificate in flask_apps.shop.acme_cert.provided_chain",
                  "provided_chain is not for", "it is for other.example.test", "provided_chain expired on", "nothing was changed"):
        assert words in run.output
    assert not [line for line in key_lines("third") if line in run.output]
    assert run.count("changed") == dict.fromkeys(HOSTS, 0)
    assert {presented(site).serial_number for site in sites} == {made("second")}


def test_where_the_web_server_refuses_the_old_one_stays_for_its_next_start_too(step: Callable[..., Any], sites: list[Any]) -> None:
    run = step("web server refuses")
    for words in ("the web server cannot use it", "other-site.conf", "Run the same command again"):
        assert words in run.output
    assert not [line for line in key_lines("third") if line in run.output]
    for site in sites:
        assert presented(site).serial_number == made("second")
        assert site.server.host.check_output("openssl x509 -noout -serial -in /etc/ssl/acme-cert/shop/fullchain.pem").lower() == \
            f"serial={made('second'):x}".replace("=", "=0" if len(f"{made('second'):x}") % 2 else "=")
    assert step("mended").count("failed") == dict.fromkeys(HOSTS, 0)
    assert {presented(site).serial_number for site in sites} == {made("third")}


def test_a_self_signed_certificate_covers_every_name_and_is_valid_for_clients_that_trust_it(step: Callable[..., Any], sites: list[Any]) -> None:
    assert step("self-signed").count("failed") == dict.fromkeys(HOSTS, 0)
    for site in sites:
        root = STATE / f"self-signed-{site.server.name}.pem"
        with site.server.outside.tls(site.domain, site.server.outside.context(verify=False)) as connection:
            root.write_text(ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True)), encoding="utf-8")
        assert trusted(site, str(root))
        own = presented(site)
        assert 800 < (own.not_valid_after_utc - own.not_valid_before_utc).days <= 825
        assert not own.extensions.get_extension_for_class(x509.BasicConstraints).value.ca, "its key could sign for others"
        assert not alarmed(site), "it is self-signed by choice"


def test_another_run_keeps_a_self_signed_one(step: Callable[..., Any]) -> None:
    assert step("self-signed again").count("changed") == dict.fromkeys(HOSTS, 0)


def test_a_return_to_the_ca_needs_no_request(step: Callable[..., Any], sites: list[Any], clients: list[Any]) -> None:
    issued = {client.site.server.name: [cert for cert in map(x509.load_der_x509_certificate, dict.fromkeys(client.presented))
                                        if "Pebble" in cert.issuer.rfc4514_string()] for client in clients}
    assert step("CA again").count("failed") == dict.fromkeys(HOSTS, 0)
    for site in sites:
        assert [presented(site).serial_number] == [cert.serial_number for cert in issued[site.server.name]]
        kept = site.ask(KEPT)
        assert (kept["timer"], kept["enabled"]) == ("active", "enabled")
        assert kept["elsewhere"] == [], "a key that is of no use any more is still there"


def test_every_connection_got_a_valid_certificate(step: Callable[..., Any], clients: list[Any]) -> None:
    step("CA again")
    for client in clients:
        client.stopped.set()
        client.join()
        assert client.failures == []
        # The CA's certificate, three provided ones, the self-signed one.
        assert len(set(client.presented)) >= 5
        assert len(client.presented) > 50
