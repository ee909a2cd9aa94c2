"""Calls that a look at the host makes superfluous: secrets and certificates."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.bulwark.flask.plugins.module_utils.certificates import due, own
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.store import Certificate
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import look, remembered
from ansible_collections.bulwark.flask.plugins.modules import acme_certificate, credential_files, generated_secrets, own_certificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

KEY = "key"
SERVER = "https://acme.example.com/dir"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "STATE", str(tmp_path / "state"))


@pytest.fixture
def unchanged(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The calls that would do nothing."""
    def ask(*applications: str) -> dict[str, str]:
        with patch_module_args({}):
            return look.unchanged(str(tmp_path / "state"), KEY, AnsibleModule({}), applications or ["shop"])
    return ask


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a module; returns what it printed."""
    secrets = {"path": f"{tmp_path}/secrets/shop.generated.env", "names": ["FLASK_SECRET_KEY"], "env_path": f"{tmp_path}/secrets/shop.env"}
    certificate = {"name": "shop", "domains": ["shop.example.com"], "state": "issued", "settings": {"server": SERVER}}
    arguments: dict[Any, dict[str, Any]] = {
        generated_secrets: secrets, acme_certificate: certificate, own_certificate: {"name": "shop", "domains": ["shop.example.com"]},
        # Without encryption, which needs a host with systemd.
        credential_files: {"path": f"{tmp_path}/secrets/shop.credentials", "credentials": {"key": "the value", "b": 1}, "encrypted": False}}

    def run(module: Any, digest: str = "first", check: bool = False, **more: Any) -> str:
        with patch_module_args({**arguments[module], "_digest": digest, "_ansible_check_mode": check, **more}), pytest.raises(SystemExit):
            module.main()
        return capsys.readouterr().out

    return run


# --- secrets
def test_a_call_is_remembered_by_the_digest_of_its_arguments(call: Callable[..., str], unchanged: Callable[..., Any], tmp_path: Path) -> None:
    call(generated_secrets, check=True)
    assert unchanged() == {}, "a prediction is no run"
    call(generated_secrets)
    assert unchanged() == {"generated_secrets-shop.generated.env": remembered.digest(KEY, "first")}
    call(generated_secrets, "second", names=["FLASK_SECRET_KEY", "B"])
    assert unchanged() == {"generated_secrets-shop.generated.env": remembered.digest(KEY, "second")}
    assert unchanged("blog") == {}, "others are not looked at"
    (kept,) = (tmp_path / "state/remembered").iterdir()
    kept.write_text("{")
    call(generated_secrets, "second", names=["FLASK_SECRET_KEY", "B"])
    assert unchanged() == {"generated_secrets-shop.generated.env": remembered.digest(KEY, "second")}, "a damaged record is replaced"
    assert kept.stat().st_mode & 0o777 == 0o600
    remembered.forget(str(tmp_path / "state"), "blog")
    assert kept.exists()
    remembered.forget(str(tmp_path / "state"), "shop")
    assert not kept.exists()


def test_a_call_that_fails_or_rotates_is_not_remembered(call: Callable[..., str], unchanged: Callable[..., Any], tmp_path: Path) -> None:
    call(generated_secrets)
    assert "cannot be of the kind" in call(generated_secrets, "other", names={"A": "short"})
    assert '"rotated": ["FLASK_SECRET_KEY"]' in call(generated_secrets, "other", rotate=["FLASK_SECRET_KEY"], sign_everybody_out=True, current=str(tmp_path))
    assert unchanged() == {"generated_secrets-shop.generated.env": remembered.digest(KEY, "first")}


SECRETS = {"deleted": "rm shop.generated.env", "mode": "chmod 644 shop.generated.env", "damaged": "echo x >>shop.generated.env",
           "a value that is gone": "sed -i s/FLASK_SECRET_KEY=/OTHER=/ shop.generated.env", "a name added by hand": "echo A=b >shop.env",
           "the directory": "rm -r ../secrets", "an old key": """cat >>shop.generated.env <<'END'
# FLASK_SECRET_KEY_FALLBACKS, replaced 2020-01-01T00:00:00Z
FLASK_SECRET_KEY_FALLBACKS='["kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"]'
END"""}


@pytest.mark.parametrize("change", SECRETS.values(), ids=SECRETS)
def test_secrets_that_are_not_as_they_were_need_a_call(
    call: Callable[..., str], unchanged: Callable[..., Any], tmp_path: Path, change: str,
) -> None:
    call(generated_secrets)
    assert unchanged()
    subprocess.run(change, shell=True, cwd=tmp_path / "secrets", check=True)
    assert unchanged() == {}


CREDENTIALS = {"another value": "echo other >key", "deleted": "rm key", "mode": "chmod 644 key", "one more": "touch c", "damaged": "rm b; mkdir b",
               "the mode of the directory": "chmod 755 .", "the directory": "rm -r ../shop.credentials"}


@pytest.mark.parametrize("change", CREDENTIALS.values(), ids=CREDENTIALS)
def test_credentials_that_are_not_as_they_were_need_a_call(
    call: Callable[..., str], unchanged: Callable[..., Any], tmp_path: Path, change: str,
) -> None:
    call(credential_files, check=True)
    assert unchanged() == {}, "a prediction is no run"
    call(credential_files)
    assert unchanged() == {"credential_files-shop.credentials": remembered.digest(KEY, "first")}
    subprocess.run(change, shell=True, cwd=tmp_path / "secrets/shop.credentials", check=True)
    assert unchanged() == {}


def test_values_of_credentials_are_kept_as_digests_that_cannot_be_compared(call: Callable[..., str], tmp_path: Path) -> None:
    seen = []
    for digest in ("first", "second"):
        call(credential_files, digest)
        seen.append(Path(remembered.path_of(str(tmp_path / "state"), "credential_files-shop.credentials")).read_text())
    assert "the value" not in seen[0]
    first, second = (json.loads(text)["params"]["sealed"]["key"] for text in seen)
    assert first != second


def test_credentials_of_the_other_kind_need_a_call(call: Callable[..., str], unchanged: Callable[..., Any], tmp_path: Path) -> None:
    call(credential_files)
    path = Path(remembered.path_of(str(tmp_path / "state"), "credential_files-shop.credentials"))
    path.write_text(path.read_text().replace('"encrypted": false', '"encrypted": true'))
    assert unchanged() == {}


# --- certificates
def give(certificate: Certificate, days: int = 30, domain: str = "shop.example.com") -> None:
    """Put a certificate where certbot keeps it, and serve it."""
    certificate.live.mkdir(parents=True, exist_ok=True)
    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([]), datetime.now(timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=2), now + timedelta(days=days))
    made = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=True).sign(key, hashes.SHA256())
    (certificate.live / "fullchain.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (certificate.live / "privkey.pem").write_text("a key")
    digest = hashlib.sha256((certificate.live / "fullchain.pem").read_bytes()).hexdigest()
    certificate.served.write_text(f"{digest}  fullchain.pem\n")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """A certificate from a CA that is served."""
    made = Certificate("shop", tmp_path / "host")
    made.prepare()
    give(made)
    made.renewal.parent.mkdir(parents=True)
    made.renewal.write_text(f"[renewalparams]\naccount = 0a1b\nserver = {SERVER}\n")
    made.account(SERVER, "0a1b").mkdir(parents=True)
    made.serve(made.live)
    for module in (due, acme_certificate):
        monkeypatch.setattr(module, "Certificate", lambda name: Certificate(name, tmp_path / "host"))
    return made


def test_a_certificate_that_is_not_due_needs_no_call(call: Callable[..., str], unchanged: Callable[..., Any], shop: Certificate) -> None:
    assert '"changed": false' in call(acme_certificate)
    assert unchanged() == {"acme_certificate-shop": remembered.digest(KEY, "first")}


CERTIFICATES: dict[str, Callable[[Certificate], Any]] = {
    "other names": lambda shop: give(shop, domain="www.example.com"), "it has expired": lambda shop: give(shop, days=-1),
    "no key": lambda shop: (shop.live / "privkey.pem").unlink(), "no account": lambda shop: shutil.rmtree(shop.account(SERVER, "0a1b")),
    "no settings of certbot": lambda shop: shop.renewal.unlink(), "another is served": lambda shop: shop.serve(shop.placeholder),
    "not loaded by nginx": lambda shop: shop.served.write_text("0 fullchain.pem\n"), "put there by hand": lambda shop: (shop.link.unlink(), shop.link.mkdir())}


@pytest.mark.parametrize("change", CERTIFICATES.values(), ids=CERTIFICATES)
def test_a_certificate_that_is_due_needs_one(
    call: Callable[..., str], unchanged: Callable[..., Any], shop: Certificate, change: Callable[[Certificate], Any],
) -> None:
    call(acme_certificate)
    assert unchanged()
    change(shop)
    assert unchanged() == {}


PAIR = {"chain": "a certificate", "private_key": "the key"}


@pytest.fixture
def own_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """The place of a certificate without a CA."""
    made = Certificate("shop", tmp_path / "host")

    def serve(_module: Any, certificate: Certificate, folder: Path) -> None:
        certificate.serve(folder)
        certificate.served.write_text(hashlib.sha256((folder / "fullchain.pem").read_bytes()).hexdigest() + "  fullchain.pem\n")

    monkeypatch.setattr(own_certificate, "serve_certificate", serve)
    for module in (own, own_certificate):
        monkeypatch.setattr(module, "Certificate", lambda name: Certificate(name, tmp_path / "host"))
    return made


OWN: dict[str, Callable[[Certificate], Any]] = {
    "no key": lambda shop: (shop.link / "privkey.pem").unlink(), "no certificate": lambda shop: shutil.rmtree(shop.external),
    "another is served": lambda shop: shop.serve(shop.placeholder), "not loaded by nginx": lambda shop: shop.served.write_text("0 fullchain.pem\n"),
    "put there by hand": lambda shop: (shop.link.unlink(), shop.link.mkdir())}


@pytest.mark.parametrize("change", OWN.values(), ids=OWN)
@pytest.mark.parametrize("given", [{}, PAIR], ids=["self-signed", "provided"])
def test_an_own_certificate_needs_no_call_until_it_is_not_served(
    call: Callable[..., str], unchanged: Callable[..., Any], own_shop: Certificate, given: dict[str, str], change: Callable[[Certificate], Any], tmp_path: Path,
) -> None:
    assert '"changed": true' in call(own_certificate, check=True, **given)
    assert unchanged() == {}, "a prediction is no run"
    assert '"changed": true' in call(own_certificate, **given)
    assert unchanged() == {"own_certificate-shop": remembered.digest(KEY, "first")}
    assert '"changed": false' in call(own_certificate, **given)
    assert "the key" not in Path(remembered.path_of(str(tmp_path / "state"), "own_certificate-shop")).read_text()
    change(own_shop)
    assert unchanged() == {}


def test_a_self_signed_certificate_needs_a_call_in_its_last_third(
    call: Callable[..., str], unchanged: Callable[..., Any], own_shop: Certificate, monkeypatch: pytest.MonkeyPatch,
) -> None:
    call(own_certificate)
    assert unchanged()
    monkeypatch.setattr(own, "RENEW_SECONDS", (own.DAYS + 1) * 86400)
    assert unchanged() == {}
