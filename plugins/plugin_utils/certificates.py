"""Check a provided certificate and its key on the controller, before any host is changed.

Each problem names the variable, what is wrong and what would be right. No message contains a part of a key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime

from ansible.errors import AnsibleError
from ansible.parsing.vault import AnsibleVaultError
from ansible_collections.bulwark.flask.plugins.plugin_utils.values import PEM
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

CURVES = ("secp256r1", "secp384r1")


def text_of(where: str, value: str, read: Callable[[str], str], problems: list[str]) -> str:
    """The PEM text of a value, or of the file it names; `read` opens vaulted files."""
    if PEM in value:
        return value
    path = os.path.abspath(os.path.expanduser(value)) if "\n" not in value and value.strip() else ""
    if not os.path.isfile(path):
        problems.append(f"{where} must be PEM text, or a file on the controller; {path} does not exist" if path
                        else f"{where} must be PEM text, such as {PEM}…, or the path of a file on the controller")
        return ""
    try:
        return read(path)
    except (AnsibleError, OSError, UnicodeError) as error:
        problems.append(f"{where}: {path} cannot be decrypted; give its vault password (--ask-vault-pass or --vault-password-file)"
                        if isinstance(error, AnsibleVaultError) else f"{where}: {path} cannot be read")
    return ""


def problems(chain_at: str, chain_text: str, key_at: str, key_text: str, domains: Iterable[str], now: datetime) -> list[str]:
    """Problems of a chain and its key, for these domains at this time."""
    problems: list[str] = []
    try:
        chain = x509.load_pem_x509_certificates(chain_text.encode())
    except ValueError:
        return [f"{chain_at} has no readable certificate; it must be PEM: the site's certificate first, "
                "then its chain"]
    if "PRIVATE KEY-----" in chain_text:
        problems.append(f"{chain_at} contains a private key; move it to {key_at}")
    return problems + _key(chain_at, chain, key_at, key_text) + _names(chain_at, chain[0], domains) + _chain(chain_at, chain, now)


def _spki(public: object) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]


def _key(chain_at: str, chain: list[x509.Certificate], key_at: str, text: str) -> list[str]:
    try:
        key = load_pem_private_key(text.encode(), None)
    except TypeError:
        return [f"{key_at} has a passphrase, which nginx cannot ask for; remove it "
                "(openssl pkey -in … -out …) and encrypt the file with ansible-vault"]
    except (ValueError, UnsupportedAlgorithm):
        return [f"{key_at} has no readable private key; it must be PEM, such as {PEM}PRIVATE KEY-----"]
    public = key.public_key()
    good = (isinstance(public, rsa.RSAPublicKey) and public.key_size >= 2048
            or isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in CURVES)
    problems = [] if good else [f"{key_at} is of a kind that browsers reject; use ECDSA (P-256, P-384) or RSA of 2048 bits or more"]
    owners = [n for n, certificate in enumerate(chain) if _spki(certificate.public_key()) == _spki(public)]
    if not owners:
        problems.append(f"{key_at} does not match the certificate in {chain_at}; use the key of its signing request")
    elif owners[0]:
        problems.append(f"{chain_at} does not begin with the site's certificate; put number {owners[0] + 1} first")
    return problems


def covers(name: str, domain: str) -> bool:
    """Whether a name in a certificate covers a domain; a wildcard stands for one label."""
    return name.lower() == domain or name.startswith("*.") and not domain.startswith("*.") and domain.partition(".")[2] == name[2:].lower()


def _names(chain_at: str, own: x509.Certificate, domains: Iterable[str]) -> list[str]:
    try:
        value = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [*value.get_values_for_type(x509.DNSName), *map(str, value.get_values_for_type(x509.IPAddress))]
    except x509.ExtensionNotFound:
        names = []
    missing = [domain for domain in domains if not any(covers(name, domain) for name in names)]
    return [f"{chain_at} is not for {', '.join(missing)}; it is for {', '.join(names) or 'no name'}"] if missing else []


def _chain(chain_at: str, chain: list[x509.Certificate], now: datetime) -> list[str]:
    problems = []
    for number, certificate in enumerate(chain, 1):
        which = f"{chain_at}{f': number {number}' if number > 1 else ''}"
        if certificate.not_valid_after_utc <= now:
            problems.append(f"{which} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; get a new one")
        if certificate.not_valid_before_utc > now:
            problems.append(f"{which} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; "
                            "check this machine's clock, or wait")
        if number < len(chain):
            try:
                certificate.verify_directly_issued_by(chain[number])
            except (ValueError, TypeError, InvalidSignature):
                problems.append(f"{chain_at}: number {number + 1} did not sign number {number}; the order is the site's "
                                "certificate, then each issuer in turn")
    own = chain[0]
    try:
        uses = list(own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        if x509.ExtendedKeyUsageOID.SERVER_AUTH not in uses:
            problems.append(f"{chain_at} is not for servers (extended key usage); get a server certificate")
    except x509.ExtensionNotFound:
        pass
    if own.signature_hash_algorithm is not None and own.signature_hash_algorithm.name in ("md5", "sha1"):
        problems.append(f"{chain_at} is signed with {own.signature_hash_algorithm.name}, which clients reject; get a new one")
    return problems
