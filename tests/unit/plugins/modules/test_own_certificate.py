"""Certificates without a CA: self-signed and provided ones."""

from __future__ import annotations

import importlib
import ssl
import subprocess
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.certificates import own
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.store import RELOAD, Certificate, serve_certificate
from ansible_collections.bulwark.flask.plugins.modules import acme_certificate, own_certificate
from ansible_collections.bulwark.flask.tests.unit.checkout import ROLES

NAMES = ["shop.example.com", "www.shop.example.com"]


def fail(**arguments: object) -> None:
    raise SystemExit(str(arguments["reason"]))


class Module:
    """The parts of a module that its functions use; openssl is real."""

    def __init__(self, accepts: bool = True, **params: object) -> None:
        self.params = {"domains": NAMES, "key_type": "ecdsa-p256", "substitute": "", **params}
        self.check_mode, self.accepts, self.commands, self.fail_json = False, accepts, [], fail
        self.certificate: Certificate | None = None

    def run_command(self, command: list[str], check_rc: bool = False, umask: int = 0o022) -> tuple[int, str, str]:
        self.commands.append(command)
        if command[0] == RELOAD:
            assert self.certificate
            if self.accepts:
                self.certificate.serve(Path(command[2]))
            return (0, "", "") if self.accepts else (1, "", "nginx: [emerg]")
        done = subprocess.run(command, capture_output=True, text=True, check=check_rc)
        return done.returncode, done.stdout, done.stderr


def test_a_self_signed_certificate_is_for_the_names_and_signs_no_others(shop: Certificate) -> None:
    folder = own_certificate.make(Module(), shop, [])
    text = subprocess.run(["openssl", "x509", "-noout", "-text", "-in", str(folder / "fullchain.pem")], capture_output=True, text=True).stdout
    assert "CA:FALSE" in text and "CA:TRUE" not in text and "TLS Web Server Authentication" in text
    assert "DNS:shop.example.com, DNS:www.shop.example.com" in text
    assert (folder / "privkey.pem").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_alerts_tell_a_placeholder_from_a_certificate_that_is_self_signed_by_choice(shop: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    # ansible-test does not read the search path of pyproject.toml.
    monkeypatch.syspath_prepend(str(ROLES / "alarm_channel/files"))
    alarms = importlib.import_module("alarm_channel.certificates")

    def is_placeholder(folder: Path) -> bool:
        return alarms.dates(ssl.PEM_cert_to_DER_cert((folder / "fullchain.pem").read_text()))[2]

    acme_certificate.placeholder(Module(), shop)
    assert is_placeholder(shop.link)
    assert not is_placeholder(own_certificate.make(Module(), shop, []))


def test_the_first_of_a_pair_is_served_in_place_of_the_second(shop: Certificate, tmp_path: Path) -> None:
    acme_certificate.placeholder(Module(), shop)
    rsa = Certificate("shop.rsa", tmp_path)
    for changed in (True, False):
        assert acme_certificate.placeholder(Module(substitute="shop"), rsa) is changed
    assert rsa.link.resolve() == shop.placeholder, "a certificate of its own is served"
    assert rsa.reload_is_due(rsa.live)


def test_a_self_signed_certificate_is_kept_until_something_else_is_wanted(shop: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = own_certificate.make(Module(), shop, [])
    assert own.current_self_signed(Module(), shop) == folder
    assert own.current_self_signed(Module(domains=NAMES[:1]), shop) is None
    assert own.current_self_signed(Module(key_type="rsa-2048"), shop) is None
    monkeypatch.setattr(own, "RENEW_SECONDS", 826 * 86400)
    assert own.current_self_signed(Module(), shop) is None, "its last third is not noticed"


def test_a_provided_certificate_replaces_the_one_before_it(shop: Certificate) -> None:
    module = Module()
    module.certificate = shop
    for text in (b"first", b"second"):
        folder = own_certificate.make(module, shop, [text, b"key of " + text])
        serve_certificate(module, shop, folder)
    assert (shop.link / "fullchain.pem").read_bytes() == b"second"
    assert (folder / "privkey.pem").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in shop.external.iterdir()] == [folder.name]
    assert not [word for command in module.commands for word in command if "key of" in word], "the key is in an argument"


def test_a_provided_certificate_that_the_web_server_refuses_goes_and_the_old_one_stays(shop: Certificate) -> None:
    shop.live.mkdir(parents=True)
    for name in ("fullchain.pem", "privkey.pem"):
        (shop.live / name).write_text("the CA's")
    shop.serve(shop.live)
    module = Module(accepts=False)
    module.certificate = shop
    with pytest.raises(SystemExit, match="emerg"):
        serve_certificate(module, shop, own_certificate.make(module, shop, [b"chain", b"key"]))
    assert shop.serves(shop.live)
    assert list(shop.external.iterdir()) == []
