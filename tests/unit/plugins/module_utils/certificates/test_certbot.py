"""Reasons for a request, explanations of certbot's errors, and valid names."""

from __future__ import annotations

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.certbot import (
    NAME,
    explain,
    names_in,
    options_for,
    reason_to_request,
    settings_of,
    subject_names,
)
from ansible_collections.bulwark.flask.plugins.module_utils.names import is_domain

SERVER = "https://acme.example.com/dir"
WANTED = {"server": SERVER, "key_type": "ecdsa", "elliptic_curve": "secp256r1"}
KEPT = {**WANTED, "account": "0a1b", "authenticator": "webroot"}
NAMES = ["shop.example.com", "www.shop.example.com"]
RENEWAL = """\
version = 5.8.0
fullchain = /etc/acme-cert/live/shop/fullchain.pem
[renewalparams]
account = 0a1b
server = https://acme.example.com/dir
key_type = ecdsa
[[webroot_map]]
shop.example.com = /var/lib/acme-cert/webroot
"""
REFUSED = """\
Saving debug log to /var/log/acme-cert/letsencrypt.log
Requesting a certificate for shop.example.com
Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported these problems:
  Identifier: shop.example.com
  Type:   unauthorized
  Detail: 203.0.113.9: Invalid response from http://shop.example.com/.well-known/acme-challenge/x: 404
Hint: The Certificate Authority failed to download the temporary challenge files created by Certbot.
Some challenges have failed.
Ask for help or search for solutions at https://community.letsencrypt.org.
"""


# -- when a certificate is requested


def test_a_certificate_with_the_wanted_settings_is_not_requested_again() -> None:
    assert reason_to_request(KEPT, WANTED, NAMES, list(reversed(NAMES)), expired=False) is None


@pytest.mark.parametrize(("wanted", "names", "expired", "why"), [
    (WANTED, NAMES[:1], False, "other names"),
    (WANTED, [*NAMES, "api.shop.example.com"], False, "other names"),
    ({**WANTED, "server": "https://staging.example.com/dir"}, NAMES, False, "another CA"),
    ({**WANTED, "elliptic_curve": "secp384r1"}, NAMES, False, "another kind of key"),
    ({"server": SERVER, "key_type": "rsa", "rsa_key_size": "2048"}, NAMES, False, "another kind of key"),
    ({**WANTED, "preferred_profile": "shortlived"}, NAMES, False, "another profile"),
    ({**WANTED, "authenticator": "dns-rfc2136"}, NAMES, False, "another kind of challenge"),
    (WANTED, NAMES, True, "expired"),
])
def test_a_certificate_with_other_settings_is_requested_again(wanted: dict[str, str], names: list[str], expired: bool, why: str) -> None:
    assert why in str(reason_to_request(KEPT, wanted, NAMES, names, expired))


def test_a_profile_that_is_no_longer_wanted_means_a_new_certificate() -> None:
    assert reason_to_request({**KEPT, "preferred_profile": "shortlived"}, WANTED, NAMES, NAMES, expired=False)


def test_the_settings_of_a_certificate_are_read_from_certbots_own_file() -> None:
    assert settings_of(RENEWAL)["server"] == SERVER
    assert settings_of(RENEWAL)["key_type"] == "ecdsa"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "-x", "a b", "x\n"])
def test_a_name_that_would_leave_its_directory_is_refused(name: str) -> None:
    assert not NAME.fullmatch(name)


@pytest.mark.parametrize("domain", ["-d", "shop", "Shop.example.com", "a,b.example.com", "*", "a.*.example.com", "*.*.example.com", "a..b", "a.b\n"])
def test_invalid_domains_never_reach_certbot(domain: str) -> None:
    assert not is_domain(domain, wildcard=True)


def test_addresses_and_domains_have_options_of_their_own() -> None:
    names = ["shop.example.com", "192.0.2.1", "1.example.com", "2001:db8::1"]
    assert options_for(names) == ["--domains", "shop.example.com,1.example.com", "--ip-address", "192.0.2.1", "--ip-address", "2001:db8::1"]
    assert options_for(names[1:2]) == ["--ip-address", "192.0.2.1"]
    assert subject_names(names) == "DNS:shop.example.com,IP:192.0.2.1,DNS:1.example.com,IP:2001:db8::1"


def test_the_names_of_a_certificate_are_read_as_openssl_prints_them() -> None:
    printed = "X509v3 Subject Alternative Name: critical\n    DNS:shop.example.com, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1\n"
    assert names_in(printed) == ["shop.example.com", "192.0.2.1", "2001:db8::1"]


# -- messages of failures


def test_a_refusal_names_the_domain_and_quotes_the_ca() -> None:
    message = explain(REFUSED)
    assert message.splitlines()[0].startswith("Each name must resolve to this host")
    assert "Identifier: shop.example.com" in message and "404" in message
    for noise in ("Saving debug log", "community.letsencrypt.org", "Hint:", "Requesting"):
        assert noise not in message


@pytest.mark.parametrize(("output", "cause"), [
    ("requests.exceptions.ConnectionError: Max retries exceeded (NewConnectionError('Connection refused'))", "The CA is down"),
    ("requests.exceptions.SSLError: Max retries exceeded (SSLError('CERTIFICATE_VERIFY_FAILED'))", "acme_cert_ca_bundle"),
    ("OSError: Could not find a suitable TLS CA certificate bundle, invalid path: /root/x.pem", "below /root"),
    ("Error creating new order :: too many certificates (5) already issued for this exact set of domains", "rate limit"),
    ("Received response from server: REFUSED", "acme_cert_dns"),
    ("Server requires external account binding. Please use --eab-kid and --eab-hmac-key.", "acme_cert_eab_kid"),
    ("  Identifier: shop.example.com\n  Type:   caa\n  Detail: CAA record prevents issuance", "CAA record"),
])
def test_each_kind_of_failure_has_its_cause(output: str, cause: str) -> None:
    assert cause in explain(output).splitlines()[0]
    assert output.splitlines()[-1].strip() in explain(output)


