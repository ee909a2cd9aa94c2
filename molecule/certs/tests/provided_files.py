"""Certificates of a private CA, and their keys in a vault."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from testhosts import scenario

FILES = scenario().folder / "certificates"
PASSWORD = FILES / "vault-password"


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, text)])


def _signed(subject: str, key: Any, issuer: str, signer: Any, days: tuple[int, int], *extensions: tuple[Any, bool]) -> x509.Certificate:
    now = datetime.now(timezone.utc)
    builder = (x509.CertificateBuilder().subject_name(_name(subject)).issuer_name(_name(issuer)).public_key(key.public_key())
               .serial_number(x509.random_serial_number()).not_valid_before(now + timedelta(days=days[0]))
               .not_valid_after(now + timedelta(days=days[1]))
               .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())


def key_lines(name: str) -> list[str]:
    """The secret lines of a key."""
    return (FILES / f"{name}.plain").read_text(encoding="utf-8").splitlines()[1:-1]


def make_certificates(domains: list[str]) -> None:
    """root.pem, and chains and vaulted keys: three good ones, the first with little life left, and one that has ended and is for another name."""
    FILES.mkdir(parents=True, exist_ok=True)
    PASSWORD.write_text("of the tests\n", encoding="utf-8")
    root, middle = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = [(x509.BasicConstraints(ca=True, path_length=None), True),
          (x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)]
    above = _signed("Company root", root, "Company root", root, (-100, 100), *ca)
    between = _signed("Company web", middle, "Company root", root, (-100, 100), *ca)
    (FILES / "root.pem").write_bytes(above.public_bytes(Encoding.PEM))
    for name, names, days in (("first", domains, (-90, 15)), ("second", domains, (-1, 60)), ("third", domains, (-1, 90)),
                              ("old", ["other.example.test"], (-9, -1))):
        key = ec.generate_private_key(ec.SECP256R1())
        own = _signed("shop", key, "Company web", middle, days,
                      (x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False),
                      (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), False))
        (FILES / f"{name}.pem").write_bytes(own.public_bytes(Encoding.PEM) + between.public_bytes(Encoding.PEM))
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (FILES / f"{name}.plain").write_bytes(plain)
        subprocess.run(["ansible-vault", "encrypt", "--vault-password-file", str(PASSWORD), "--output", str(FILES / f"{name}.key")],
                       input=plain, check=True, capture_output=True)
