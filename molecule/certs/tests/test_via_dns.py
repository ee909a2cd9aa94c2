"""DNS challenges with a name server that accepts updates: wildcards, renewal, revocation, and a key that does not leak."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from acme_server import AcmeServer
from host.outside import Outside
from host.playbooks import Run
from steps import HOSTS, RENEW, STATE, Step, play, presented

NAMES = ("*",)
URL = "https://pebble:14002/dir"
TRACES = r'''
secret = re.search('secret = "(.*)"', open("/etc/acme-cert/shop.dns.ini").read())[1].encode()
paths = [os.path.join(folder, name) for top in ("/etc", "/var/lib", "/var/log", "/run", "/tmp", "/root")
         for folder, _, names in os.walk(top) for name in names]
print(json.dumps({"with_key": [path for path in paths if os.path.isfile(path) and not os.path.islink(path) and secret in open(path, "rb").read()],
                  "mode": mode("/etc/acme-cert/shop.dns.ini"),
                  "journal": secret in output("journalctl", "--output=export", "--no-pager")}))
'''


def settings(acme_server: AcmeServer, **credentials: str) -> dict[str, Any]:
    """How names are proven."""
    given = {"server": acme_server.address, "name": "certs.", "secret": acme_server.tsig_secret(), "algorithm": "HMAC-SHA256", **credentials}
    return {"preflight_resolvers": [acme_server.address], "dns": {"plugin": "rfc2136", "wait_seconds": 1, "credentials": given}}


@pytest.fixture(scope="module")
def refused(acme_server: AcmeServer) -> Run:
    """A run with a key the name server does not know."""
    orders = acme_server.orders()
    run = play(Step(settings(acme_server, secret="bm90IHRoZSByaWdodCBvbmU="), more_names=NAMES, directory_url=URL))
    assert acme_server.orders() == orders, "the CA was asked"
    return run


@pytest.fixture(scope="module")
def certified(refused: Run, acme_server: AcmeServer) -> Run:
    """A run with the right one; the web server knows the wildcard too."""
    return play(Step(settings(acme_server), more_names=NAMES, directory_url=URL), playbook="molecule/certs/sites.yml")


def test_a_key_that_the_name_server_refuses_is_reported_before_the_request_to_the_ca(refused: Run, acme_server: AcmeServer) -> None:
    for host in HOSTS:
        assert f"*.{host}.example.test: the name server {acme_server.address} rejects _acme-challenge.{host}.example.test" in refused.output
    assert "check the key's name, secret and algorithm" in refused.output
    assert "bm90IHRoZSByaWdodCBvbmU=" not in refused.output


def test_a_wildcard_is_certified_and_served(certified: Run, sites: list[Any]) -> None:
    assert certified.count("failed") == dict.fromkeys(HOSTS, 0)
    for site in sites:
        known = site.server.outside
        outside = Outside(known.address, known.https_port, known.http_port, str(STATE / "ca-dns.pem"))
        # No application is behind it; the test checks that the site responds and does not redirect.
        assert outside.https(f"anything.{site.domain}").status == 502
        assert outside.https(f"www.{site.domain}").status == 308


def test_the_secret_of_the_name_server_is_in_one_file_and_nowhere_else(certified: Run, acme_server: AcmeServer, sites: list[Any]) -> None:
    assert acme_server.tsig_secret() not in certified.output
    for site in sites:
        traces = site.ask(TRACES)
        assert traces["with_key"] == ["/etc/acme-cert/shop.dns.ini"]
        assert traces["mode"] == "root:root 0600"
        assert not traces["journal"]


def test_it_renews_itself_from_its_sandbox(certified: Run, sites: list[Any]) -> None:
    for site in sites:
        before = presented(site).serial_number
        renewal = site.ask(RENEW, force=True)
        assert renewal["rc"] == 0, renewal["log"]
        # A reload lets the old workers finish what they have begun.
        deadline = time.monotonic() + 10
        while presented(site).serial_number == before and time.monotonic() < deadline:
            time.sleep(0.3)
        assert presented(site).serial_number != before


def test_renewal_information_of_the_ca_decides_when_a_renewal_is_due(certified: Run, sites: list[Any]) -> None:
    for site in sites:
        before = presented(site).serial_number
        renewal = site.ask(RENEW, force=False)
        assert renewal["rc"] == 0, renewal["log"]
        assert renewal["advice"], "the CA was not asked for its renewal information (ARI)"
        assert presented(site).serial_number == before


def test_another_run_changes_nothing(certified: Run, acme_server: AcmeServer) -> None:
    orders = acme_server.orders()
    run = play(Step(settings(acme_server), more_names=NAMES, directory_url=URL))
    assert run.count("changed") == dict.fromkeys(HOSTS, 0)
    assert acme_server.orders() == orders


def test_a_revoked_certificate_is_no_longer_served(certified: Run, acme_server: AcmeServer, sites: list[Any]) -> None:
    def status(serial: int) -> str:
        """The CA's status of a certificate."""
        return json.loads(acme_server.hosts.execute("pebble", f"curl -sk https://localhost:15002/cert-status-by-serial/{serial:x}"))["Status"]

    before = [presented(site) for site in sites]
    assert [status(old.serial_number) for old in before] == ["Valid"] * len(sites)
    run = play(Step(settings(acme_server), more_names=NAMES, directory_url=URL), "--extra-vars", "app=shop", playbook="playbooks/revoke_certificate.yml")
    assert run.count("failed") == dict.fromkeys(HOSTS, 0)
    after = [presented(site) for site in sites]
    assert [status(old.serial_number) for old in before] == ["Revoked"] * len(sites)
    assert [status(new.serial_number) for new in after] == ["Valid"] * len(sites)
    for old, new in zip(before, after):
        assert old.public_key() != new.public_key(), "the key that leaked is still in use"
