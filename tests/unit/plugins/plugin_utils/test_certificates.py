"""A provided certificate is checked before any host: all problems are reported."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.vault import AnsibleVaultError
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.roles.acme_cert import agreement as certificate
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.roles.acme_cert import dns as certificate_dns
from ansible_collections.bulwark.flask.plugins.plugin_utils.certificates import covers, problems, text_of
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
DOMAINS = ["shop.example.com", "www.shop.example.com"]


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, text)])


class Authority:
    """Signs what it is asked to."""

    def __init__(self, who: str = "ours", above: Authority | None = None) -> None:
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), name(who)
        signer = above or self
        self.certificate = self.build(self.name, self.key).issuer_name(signer.name).sign(signer.key, hashes.SHA256())

    def build(self, subject: x509.Name, key: Any, begin: int = -10, end: int = 80) -> x509.CertificateBuilder:
        return (x509.CertificateBuilder().subject_name(subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(NOW + timedelta(days=begin)).not_valid_after(NOW + timedelta(days=end)))

    def sign(self, key: Any, domains: list[str] | None = DOMAINS, use: Any = None, **dates: int) -> x509.Certificate:
        builder = self.build(name("shop"), key, **dates).issuer_name(self.name)
        if domains:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(domain) for domain in domains]), critical=False)
        if use:
            builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def pem(*certificates: x509.Certificate) -> str:
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)


def key_pem(key: Any, passphrase: bytes | None = None) -> str:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


ROOT = Authority("root")
MIDDLE = Authority("middle", ROOT)
KEY = ec.generate_private_key(ec.SECP256R1())
OWN = MIDDLE.sign(KEY)


def said(chain: str, key: str = key_pem(KEY), domains: list[str] = DOMAINS) -> str:
    return "\n".join(problems("CHAIN", chain, "KEY", key, domains, NOW))


def test_a_valid_certificate_has_no_problem() -> None:
    assert said(pem(OWN, MIDDLE.certificate)) == ""
    assert said(pem(OWN)) == ""
    old = rsa.generate_private_key(65537, 2048)
    assert said(pem(MIDDLE.sign(old, use=x509.ExtendedKeyUsageOID.SERVER_AUTH)), key_pem(old)) == ""


@pytest.mark.parametrize(("chain", "key", "words"), [
    (lambda: "nonsense", key_pem(KEY), ["CHAIN has no readable certificate"]),
    (lambda: pem(OWN) + key_pem(KEY), key_pem(KEY), ["CHAIN contains a private key", "KEY"]),
    (lambda: pem(OWN), "-----BEGIN nonsense", ["KEY has no readable private key"]),
    (lambda: pem(OWN), key_pem(KEY, b"secret"), ["KEY has a passphrase", "openssl pkey"]),
    (lambda: pem(OWN), key_pem(ec.generate_private_key(ec.SECP256R1())), ["KEY does not match the certificate in CHAIN"]),
    (lambda: pem(MIDDLE.certificate, OWN), key_pem(KEY), ["CHAIN does not begin with the site", "put number 2 first"]),
    (lambda: pem(OWN, ROOT.certificate), key_pem(KEY), ["number 2 did not sign number 1"]),
    (lambda: pem(MIDDLE.sign(KEY, ["other.example.com"])), key_pem(KEY), ["is not for shop.example.com, www.shop", "it is for other.example.com"]),
    (lambda: pem(MIDDLE.sign(KEY, None)), key_pem(KEY), ["it is for no name"]),
    (lambda: pem(MIDDLE.sign(KEY, begin=-90, end=-1)), key_pem(KEY), ["CHAIN expired on 2026-05-31", "get a new one"]),
    (lambda: pem(MIDDLE.sign(KEY, begin=2)), key_pem(KEY), ["not valid before 2026-06-03", "check this machine"]),
    (lambda: pem(MIDDLE.sign(KEY, use=x509.ExtendedKeyUsageOID.CLIENT_AUTH)), key_pem(KEY), ["is not for servers"]),
])
def test_certificates_that_cannot_be_served_are_reported(chain: Any, key: str, words: list[str]) -> None:
    found = said(chain(), key)
    for word in words:
        assert word in found


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP521R1())])
def test_a_key_that_browsers_refuse_is_refused(key: Any) -> None:
    assert "of a kind that browsers reject" in said(pem(MIDDLE.sign(key)), key_pem(key))


def test_all_problems_are_reported_at_once_without_any_part_of_the_key() -> None:
    other = key_pem(ec.generate_private_key(ec.SECP256R1()))
    found = said(pem(MIDDLE.sign(KEY, ["other.example.com"], begin=-90, end=-1)), other)
    for word in ("does not match the certificate", "is not for shop", "expired on"):
        assert word in found
    assert not [line for line in other.splitlines() if len(line) > 20 and line in found]


@pytest.mark.parametrize(("own", "domain", "good"), [
    ("shop.example.com", "shop.example.com", True), ("*.example.com", "shop.example.com", True),
    ("*.example.com", "www.shop.example.com", False), ("*.example.com", "example.com", False),
    ("*.example.com", "*.example.com", True), ("*.com", "*.example.com", False), ("SHOP.example.com", "shop.example.com", True),
])
def test_a_wildcard_stands_for_one_label(own: str, domain: str, good: bool) -> None:
    assert covers(own, domain) is good


# -- where it is read from


def test_a_value_is_the_text_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "shop.pem"
    file.write_text("in the file")
    found: list[str] = []
    assert text_of("CHAIN", "-----BEGIN CERTIFICATE-----\nx", lambda path: "", found).startswith("-----BEGIN")
    assert text_of("CHAIN", str(file), lambda path: Path(path).read_text(), found) == "in the file"
    assert found == []


def refuse(error: Exception) -> Any:
    def read(path: str) -> str:
        raise error
    return read


@pytest.mark.parametrize(("value", "read", "words"), [
    ("nowhere/shop.pem", None, "does not exist"), ("a\nb", None, "must be PEM text"),
    (__file__, refuse(AnsibleVaultError("no secret")), "cannot be decrypted"), (__file__, refuse(AnsibleError("x")), "cannot be read"),
])
def test_values_that_cannot_be_read_are_reported(value: str, read: Any, words: str) -> None:
    found: list[str] = []
    assert text_of("KEY", value, read, found) == ""
    assert words in found[0]


# -- what goes with what


def test_the_origin_and_its_settings_go_together() -> None:
    def at(option: str) -> str:
        return f"acme_cert.{option}"
    assert certificate(at, {}) == []
    assert certificate(at, {"source": "provided", "provided_chain": "a", "provided_key": "b"}) == []
    assert [line.split(" ")[0] for line in certificate(at, {"source": "provided"})] == ["acme_cert.provided_chain", "acme_cert.provided_key"]
    assert "goes with source: provided" in certificate(at, {"provided_chain": "a"})[0]
    assert "belong together" in certificate(at, {"eab_kid": "a"})[0]


@pytest.mark.parametrize(("given", "words"), [
    ({"rsa_certificate": True, "source": "self_signed"}, "acme_cert.rsa_certificate goes with source: acme"),
    ({"rsa_certificate": True, "key_type": "rsa-4096"}, "acme_cert.rsa_certificate is for an RSA key beside an ECDSA one"),
])
def test_a_pair_has_an_ecdsa_and_an_rsa_certificate_of_the_ca(given: dict[str, Any], words: str) -> None:
    assert words in "".join(certificate(lambda option: f"acme_cert.{option}", given))
    assert certificate(lambda option: f"acme_cert.{option}", {"rsa_certificate": True, "key_type": "ecdsa-p384"}) == []


@pytest.mark.parametrize(("given", "words"), [
    ({"domains": ["shop.example.com", "*.shop.example.com"]}, "is a wildcard, which needs a DNS challenge; add acme_cert.dns"),
    ({"domains": ["*.shop.example.com"], "dns": {"plugin": "rfc2136"}}, "the first is the canonical one"),
    ({"domains": ["shop.example.com"], "source": "self_signed", "dns": {"plugin": "rfc2136"}}, "goes with source: acme"),
])
def test_a_wildcard_needs_dns_and_is_not_the_first(given: dict[str, Any], words: str) -> None:
    assert words in "".join(certificate(lambda option: f"acme_cert.{option}", given))


@pytest.mark.parametrize("given", [
    {"domains": ["shop.example.com", "*.shop.example.com"], "dns": {"plugin": "rfc2136"}},
    {"domains": ["shop.example.com", "*.shop.example.com"], "source": "self_signed"},
])
def test_a_wildcard_is_accepted_where_it_can_be_certified(given: dict[str, Any]) -> None:
    assert certificate(lambda option: f"acme_cert.{option}", given) == []


GOOD = {"server": "192.0.2.53", "name": "certbot.", "secret": "c2VjcmV0", "algorithm": "HMAC-SHA256", "port": 53}


@pytest.mark.parametrize(("given", "words"), [
    ({"wait_seconds": 5}, "dns.plugin is missing"),
    ({"plugin": "dns rfc2136"}, "plugin must be a name of certbot's"),
    ({"plugin": "rfc2136"}, "credentials.server is missing"),
    ({"plugin": "rfc2136", "credentials": {**GOOD, "server": "ns.example.com"}}, "must be the name server's address"),
    ({"plugin": "rfc2136", "credentials": {**GOOD, "secrets": "x"}}, "credentials.secrets is unknown; did you mean secret?"),
    ({"plugin": "rfc2136", "credentials": {**GOOD, "secret": "not base64!"}}, "must be the key in base64"),
    ({"plugin": "rfc2136", "credentials": {**GOOD, "algorithm": "HMAC-SHA265"}}, "did you mean HMAC-SHA256?"),
    ({"plugin": "rfc2136", "credentials": {**GOOD, "port": "x"}}, "must be a port"),
    ({"plugin": "cloudflare", "credentials": {"api_token": 'a"b'}}, "one line without quotes"),
    ({"plugin": "cloudflare", "credentials": {"Api-Token": "a"}}, "lower-case letters"),
])
def test_settings_of_the_dns_challenge_are_checked(given: dict[str, Any], words: str) -> None:
    found = "".join(certificate_dns("dns", given))
    assert words in found
    for secret in ("not base64!", 'a"b'):
        assert secret not in found


def test_good_credentials_are_no_problem() -> None:
    assert certificate_dns("dns", {"plugin": "rfc2136", "credentials": GOOD}) == []
    assert certificate_dns("dns", {"plugin": "cloudflare", "credentials": {"api_token": "x"}, "wait_seconds": 20}) == []
    assert certificate_dns("dns", {}) == []


@pytest.mark.parametrize(("given", "words"), [
    ({}, "192.0.2.1 is an address, which Let's Encrypt certifies for six days at most; write acme_cert.profile: shortlived"),
    ({"staging": True, "directory_url": "https://ca.example.com/dir"}, "acme_cert.profile: shortlived"),
    ({"profile": "shortlived", "dns": {"plugin": "rfc2136"}}, "192.0.2.1 is an address, which a DNS challenge cannot validate; leave out acme_cert.dns"),
])
def test_an_address_is_certified_for_six_days_and_by_port_80_only(given: dict[str, Any], words: str) -> None:
    def at(option: str) -> str:
        return f"acme_cert.{option}"
    assert words in "".join(certificate(at, {"domains": ["shop.example.com", "192.0.2.1"], **given}))
    for good in ({"profile": "shortlived"}, {"directory_url": "https://ca.example.com/dir"}, {"source": "self_signed"}):
        assert certificate(at, {"domains": ["192.0.2.1", "2001:db8::1"], **good}) == []


def test_an_address_in_a_provided_certificate_counts() -> None:
    names = x509.SubjectAlternativeName([x509.DNSName("shop.example.com"), x509.IPAddress(ipaddress.ip_address("2001:db8::1"))])
    own = MIDDLE.build(name("shop"), KEY).issuer_name(MIDDLE.name).add_extension(names, critical=False).sign(MIDDLE.key, hashes.SHA256())
    assert said(pem(own), domains=["shop.example.com", "2001:db8::1"]) == ""
    assert "is not for 192.0.2.1; it is for shop.example.com, 2001:db8::1" in said(pem(own), domains=["192.0.2.1"])
