"""A site with an IP address: issuance, renewal, and separation from other sites."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from cryptography import x509
from host.playbooks import Run
from steps import HOSTS, RENEW, SITES, Step, play, settled
from testhosts import PEBBLE, scenario

# It takes every name as proven: the network of the test hosts has no IPv6 it could come by.
TRUSTING = """
cat > /etc/pebble/trusting.json <<'END'
{pebble}END
if ! curl -sk -o /dev/null https://localhost:14004/dir; then
  PEBBLE_VA_ALWAYS_VALID=1 PEBBLE_WFE_NONCEREJECT=0 pebble -config /etc/pebble/trusting.json >/tmp/trusting.log 2>&1 &
fi
for n in $(seq 150); do curl -sk -o /dev/null https://localhost:14004/dir && exit; sleep 0.2; done
cat /tmp/trusting.log >&2; exit 1
"""
# A client that connects to the address and verifies the certificate.
VISIT = r'''
import http.client, ssl
connection = http.client.HTTPSConnection(GIVEN["address"], 443, timeout=10, context=ssl.create_default_context(cadata=GIVEN["ca"]))
connection.request("GET", "/")
answer = connection.getresponse()
print(json.dumps([answer.status, answer.getheader("Location")]))
'''
# The alert's checks of each name of the certificate.
WATCHED = r"""
import hashlib
sys.dont_write_bytecode = True
sys.path.insert(0, "/usr/local/lib/alarm-channel")
from alarm_channel import certificates
print(json.dumps([hashlib.sha256(certificates.served_certificate(name)).hexdigest() for name in GIVEN["names"]]))
"""


def presented(site: Any, name: str | None = None) -> x509.Certificate:
    """The certificate for this server name, or without one."""
    with site.server.outside.tls(name, site.server.outside.context(verify=False)) as connection:
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True))


def addresses(site: Any) -> list[str]:
    """The addresses in it."""
    names = presented(site).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(address) for address in names.get_values_for_type(x509.IPAddress)]


def heard(site: Any, name: str | None, host: str) -> bytes:
    """The status of the answer for a host, by a handshake for a name; none where the connection is closed without a word."""
    with site.server.outside.tls(name, site.server.outside.context(verify=False)) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return connection.recv(64)[9:12]


def refused(site: Any) -> bool:
    """Whether who names nothing gets no handshake."""
    try:
        presented(site)
    except ssl.SSLError as error:
        return error.reason == "TLSV1_UNRECOGNIZED_NAME"
    return False


@pytest.fixture(scope="module")
def ipv4(step: Any, sites: list[Any]) -> Run:
    """A site whose own name is an address."""
    step("CA again")
    assert all(refused(site) for site in sites)
    return play(Step(address="IPv4"), playbook=SITES)


@pytest.fixture(scope="module")
def ipv6(ipv4: Run, sites: list[Any]) -> Run:
    """A site with one beside its names."""
    pebble = PEBBLE.replace("$key", "none") % {"port": 14004, "management": 15004, "bound": "false"}
    scenario().execute("pebble", TRUSTING.format(pebble=pebble))
    for site in sites:
        site.server.host.check_output("ip -6 address replace fd00:b::%s/64 dev eth0 nodad", site.server.name[-2:])
    return play(Step({"profile": "shortlived"}, directory_url="https://pebble:14004/dir", address="IPv6"), playbook=SITES)


def test_a_client_that_connects_to_the_address_gets_the_site_and_its_certificate(ipv4: Run, sites: list[Any]) -> None:
    assert ipv4.count("failed") == dict.fromkeys(HOSTS, 0)
    for site in sites:
        outside = site.server.outside
        # No application is behind it; the test checks that the site responds and does not redirect.
        assert outside.https(outside.address).status == 502
        moved = outside.https(site.domain)
        assert (moved.status, moved["Location"]) == (308, f"https://{outside.address}/")
        assert outside.http(outside.address)["Location"] == f"https://{outside.address}/"


def test_it_serves_no_name_but_its_own(ipv4: Run, sites: list[Any]) -> None:
    for site in sites:
        # A client of the address sends no name; one that sends another name is not sent to the site by it.
        for name, status in ((None, b"502"), ("unknown.example", b"421")):
            assert heard(site, name, "unknown.example") == b""
            assert heard(site, name, site.server.outside.address) == status
        assert heard(site, None, site.domain) == b"308"


def test_an_address_renews_itself(ipv4: Run, sites: list[Any]) -> None:
    for site in sites:
        before = presented(site).serial_number
        renewal = site.ask(RENEW, force=True)
        assert renewal["rc"] == 0, renewal["log"]
        assert settled(lambda site=site: presented(site).serial_number, lambda now, before=before: now != before) != before
        assert addresses(site) == [site.server.outside.address]


def test_another_run_changes_nothing(ipv4: Run) -> None:
    assert play(Step(address="IPv4"), playbook=SITES).count("changed") == dict.fromkeys(HOSTS, 0)


def test_an_address_of_ipv6_is_certified_and_moves_to_the_name(ipv6: Run, sites: list[Any]) -> None:
    assert ipv6.count("failed") == dict.fromkeys(HOSTS, 0)
    root = scenario().execute("pebble", "curl -sk https://localhost:15004/roots/0")
    for site in sites:
        assert site.ask(VISIT, address=f"fd00:b::{site.server.name[-2:]}", ca=root) == [308, f"https://{site.domain}/"]
        assert refused(site), "by IPv4 there is no address"
        assert len(set(site.ask(WATCHED, names=[site.domain, f"fd00:b::{site.server.name[-2:]}"]))) == 1


def test_without_an_address_a_client_without_a_server_name_gets_no_certificate(ipv6: Run, sites: list[Any]) -> None:
    assert play(Step(), playbook=SITES).count("failed") == dict.fromkeys(HOSTS, 0)
    for site in sites:
        assert settled(lambda site=site: refused(site), bool)
        site.server.host.check_output("ip -6 address del fd00:b::%s/64 dev eth0", site.server.name[-2:])
