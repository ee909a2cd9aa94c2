"""A pair, ECDSA and RSA: every client gets a certificate that it supports, and both are renewed and revoked together."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any, Optional

import pytest
from cryptography import x509
from host.playbooks import Run
from steps import HOSTS, SITES, STATE, Step, play, settled
from testhosts import scenario

PAIR = {"rsa_certificate": True}
ECDSA = {"TLS 1.2": ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), "TLS 1.3": ("-tls1_3", "-sigalgs", "ECDSA+SHA256")}
RSA = {"TLS 1.2": ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), "TLS 1.3": ("-tls1_3", "-sigalgs", "RSA-PSS+SHA256")}
KEPT = r'''
names = [name for name in ("shop", "shop.rsa") if os.path.exists("/etc/ssl/acme-cert/" + name)]
keys = [os.path.realpath("/etc/ssl/acme-cert/%s/privkey.pem" % name) for name in names]
print(json.dumps({"modes": [(mode(key), mode(os.path.dirname(key))) for key in keys], "keys": keys,
                  "links": sorted(os.listdir("/etc/ssl/acme-cert")),
                  "timers": output("systemctl", "list-timers", "--all", "--plain", "--no-legend", "acme-cert-renew@*").decode().splitlines(),
                  "metrics": open("/var/lib/alarm-channel/metrics.prom").read(),
                  "settings": sorted(name for name in os.listdir("/etc/acme-cert") if name.endswith(".ini")),
                  "named": output("nginx", "-T").decode().count("/shop.rsa/")}))
'''
RENEW = r'''
if GIVEN["force"]:
    open("/run/acme-cert-force-shop", "w").close()
done = subprocess.run(["systemctl", "start", "acme-cert-renew@shop.service"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
print(json.dumps({"rc": done.returncode, "second": properties("acme-cert-renew@shop.rsa.service", "Result", "ExecMainStatus"),
                  "left": glob.glob("/run/acme-cert-force-*"),
                  "log": output("journalctl", "--unit=acme-cert-renew@shop*", "--output=cat", "--no-pager", "--lines=40").decode()}))
'''


def shown(site: Any, options: tuple[str, ...]) -> Optional[x509.Certificate]:
    """The certificate that such a client gets; None if the handshake fails."""
    outside = site.server.outside
    done = subprocess.run(["openssl", "s_client", "-connect", f"{outside.address}:{outside.https_port}", "-servername", site.domain, *options],
                          input=b"", capture_output=True, timeout=20, check=False)
    found = re.search(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", done.stdout, re.DOTALL)
    assert found or b"handshake failure" in done.stderr, done.stderr
    return x509.load_pem_x509_certificate(found[0]) if found else None


def serials(site: Any, kinds: dict[str, tuple[str, ...]]) -> list[Optional[int]]:
    """The serial numbers that clients of a kind get, by version of TLS."""
    return [found.serial_number if (found := shown(site, options)) else None for options in kinds.values()]


@pytest.fixture(scope="module")
def before(step: Callable[..., Any], sites: list[Any]) -> list[Any]:
    """The connections that still have the previous certificate."""
    step("CA again")
    return [serials(site, ECDSA) for site in sites]


@pytest.fixture(scope="module")
def predicted(before: Any) -> Run:
    """The output of check mode about the second certificate."""
    return play(Step(PAIR), "--check", playbook=SITES)


@pytest.fixture(scope="module")
def unobtainable(predicted: Any) -> Run:
    """A run that cannot get it: the name server it is to ask does not answer."""
    return play(Step({**PAIR, "preflight_resolvers": ["127.0.0.1"]}), playbook=SITES)


@pytest.fixture(scope="module")
def pair(unobtainable: Any) -> Run:
    """The run that gets it."""
    return play(Step(PAIR), playbook=SITES)


def test_check_mode_changes_nothing(predicted: Run, sites: list[Any], before: list[Any]) -> None:
    assert predicted.count("failed") == dict.fromkeys(HOSTS, 0)
    for site in sites:
        assert not site.server.host.file("/etc/ssl/acme-cert/shop.rsa").exists
        assert serials(site, RSA) == [None, None]
    assert [serials(site, ECDSA) for site in sites] == before


def test_without_a_second_certificate_the_site_serves_the_first(unobtainable: Run, sites: list[Any], before: list[Any]) -> None:
    assert unobtainable.count("rescued") == dict.fromkeys(HOSTS, 1)
    assert "DNS does not respond" in unobtainable.output
    for site in sites:
        assert serials(site, RSA) == [None, None]
        site.server.host.check_output("nginx -t -q")
    assert [serials(site, ECDSA) for site in sites] == before


def test_check_mode_predicted_the_changes(predicted: Run, unobtainable: Run, pair: Run) -> None:
    assert pair.count("failed") == dict.fromkeys(HOSTS, 0)
    runs = unobtainable.count("changed"), pair.count("changed")
    assert predicted.count("changed") == {host: sum(run[host] for run in runs) for host in HOSTS}


def test_every_client_gets_the_one_it_can_read(pair: Run, sites: list[Any], before: list[Any]) -> None:
    assert [serials(site, ECDSA) for site in sites] == before
    for site in sites:
        kinds = {shown(site, options).public_key().__class__.__name__ for options in RSA.values()}
        assert all("RSA" in kind for kind in kinds), kinds
        for options in (*ECDSA.values(), *RSA.values()):
            names = shown(site, options).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert set(names.get_values_for_type(x509.DNSName)) == set(site.app.domains)
            verified = subprocess.run(
                ["openssl", "s_client", "-connect", f"{site.server.outside.address}:{site.server.outside.https_port}", "-servername", site.domain,
                 "-verify_return_error", "-CAfile", str(STATE / "ca.pem"), *options], input=b"", capture_output=True, timeout=20, check=False)
            assert verified.returncode == 0, verified.stderr


def test_both_keys_are_kept_alike(pair: Run, sites: list[Any]) -> None:
    for site in sites:
        kept = site.ask(KEPT)
        assert kept["keys"][0] != kept["keys"][1]
        assert kept["modes"][0] == kept["modes"][1]
        assert kept["settings"] == ["shop.ini", "shop.rsa.ini"]


def test_another_run_changes_nothing(pair: Run) -> None:
    assert play(Step(PAIR), playbook=SITES).count("changed") == dict.fromkeys(HOSTS, 0)


def test_both_are_watched(pair: Run, sites: list[Any]) -> None:
    for site in sites:
        site.server.host.check_output("systemctl start alarm-channel-check")
        metrics = site.ask(KEPT)["metrics"]
        for domain in site.app.domains:
            for labels in (f'domain="{domain}"', f'domain="{domain}",key="rsa"'):
                assert f"flask_host_certificate_not_after_seconds{{{labels}}}" in metrics


def test_one_renewal_is_of_both(pair: Run, sites: list[Any]) -> None:
    for site in sites:
        old = serials(site, ECDSA), serials(site, RSA)
        assert site.ask(RENEW, force=False)["rc"] == 0
        assert (serials(site, ECDSA), serials(site, RSA)) == old, "renewed before it was due"
        renewal = site.ask(RENEW, force=True)
        assert (renewal["rc"], renewal["second"]["Result"]) == (0, "success"), renewal["log"]
        assert renewal["left"] == []
        new = settled(lambda site=site: (serials(site, ECDSA), serials(site, RSA)), lambda now, old=old: not {*now[0], *now[1]} & {*old[0], *old[1]})
        assert len({*old[0], *old[1], *new[0], *new[1]}) == 4
        assert len(site.ask(KEPT)["timers"]) == 1, "the second one has a timer of its own"


def test_a_second_one_that_cannot_be_renewed_fails_in_sight_and_does_not_hold_up_the_first(pair: Run, sites: list[Any]) -> None:
    for site in sites:
        old, second = serials(site, ECDSA), serials(site, RSA)
        run = site.server.host.check_output
        run("sed -i.kept 's/:14000/:1/' /etc/acme-cert/renewal/shop.rsa.conf")
        try:
            renewal = site.ask(RENEW, force=True)
        finally:
            run("mv /etc/acme-cert/renewal/shop.rsa.conf.kept /etc/acme-cert/renewal/shop.rsa.conf")
        assert renewal["rc"] == 0 and renewal["second"]["Result"] == "exit-code", renewal["log"]
        assert settled(lambda site=site: serials(site, ECDSA), lambda now, old=old: not {*now} & {*old}) != old
        assert serials(site, RSA) == second
        run("systemctl reset-failed acme-cert-renew@shop.rsa")


def test_a_revocation_is_of_both(pair: Run, sites: list[Any]) -> None:
    hosts = scenario()

    def status(serial: int) -> str:
        """The CA's status of a certificate."""
        return json.loads(hosts.execute("pebble", f"curl -sk https://localhost:15000/cert-status-by-serial/{serial:x}"))["Status"]

    def all_serials() -> list[int]:
        return sorted({serial for site in sites for kind in (ECDSA, RSA) for serial in serials(site, kind)})

    old = all_serials()
    run = play(Step(PAIR), "--extra-vars", "app=shop", playbook="playbooks/revoke_certificate.yml")
    assert run.count("failed") == dict.fromkeys(HOSTS, 0)
    assert [status(serial) for serial in old] == ["Revoked"] * 2 * len(sites)
    new = settled(all_serials, lambda now: not {*now} & {*old})
    assert [status(serial) for serial in new] == ["Valid"] * 2 * len(sites)


def test_a_second_certificate_that_is_turned_off_is_neither_served_nor_renewed(pair: Run, sites: list[Any]) -> None:
    first = [serials(site, ECDSA) for site in sites]
    assert play(Step()).count("failed") == dict.fromkeys(HOSTS, 0)
    for site in sites:
        kept = site.ask(KEPT)
        assert kept["named"] and kept["keys"][0] == kept["keys"][1]
        assert kept["settings"] == ["shop.ini"]
        assert settled(lambda site=site: serials(site, RSA), lambda now: now == [None, None]) == [None, None]
        renewal = site.ask(RENEW, force=True)
        assert renewal["rc"] == 0 and "shop.rsa" not in renewal["log"].rpartition("Starting ")[2]
    assert [serials(site, ECDSA) for site in sites] != first


def test_nothing_is_left_of_it_once_the_site_is_written(pair: Run, sites: list[Any]) -> None:
    assert play(Step(), playbook=SITES).count("failed") == dict.fromkeys(HOSTS, 0)
    for site in sites:
        kept = site.ask(KEPT)
        assert kept["links"] == ["shop"] and not kept["named"]
    assert play(Step(), playbook=SITES).count("changed") == dict.fromkeys(HOSTS, 0)


def test_a_return_to_the_ca_serves_its_certificate_immediately(pair: Run, sites: list[Any]) -> None:
    assert play(Step(PAIR), playbook=SITES).count("failed") == dict.fromkeys(HOSTS, 0)
    assert all(None not in settled(lambda site=site: serials(site, RSA), lambda now: None not in now) for site in sites)
