"""When the authority is asked, what is said when it refuses, and where a certificate is on a host."""

from __future__ import annotations

import functools
import grp
import hashlib
import http.server
import importlib.util
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import support
from ansible_collections.bulwark.flask.plugins.module_utils import acme_host
from ansible_collections.bulwark.flask.plugins.module_utils.acme import DOMAIN, NAME, explain, names_in, options_for, reason_to_ask, settings_of, subject_names
from ansible_collections.bulwark.flask.plugins.module_utils.acme_host import RELOAD, Certificate, have_served, is_open, is_whole
from ansible_collections.bulwark.flask.plugins.modules import acme_certificate, own_certificate
from ansible_collections.bulwark.flask.plugins.modules.acme_certificate import sandbox

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


# -- when the authority is asked


def test_nobody_is_asked_when_the_certificate_is_as_wanted() -> None:
    assert reason_to_ask(KEPT, WANTED, NAMES, list(reversed(NAMES)), expired=False) is None


@pytest.mark.parametrize(("wanted", "names", "expired", "why"), [
    (WANTED, NAMES[:1], False, "other names"),
    (WANTED, [*NAMES, "api.shop.example.com"], False, "other names"),
    ({**WANTED, "server": "https://staging.example.com/dir"}, NAMES, False, "another authority"),
    ({**WANTED, "elliptic_curve": "secp384r1"}, NAMES, False, "another kind of key"),
    ({"server": SERVER, "key_type": "rsa", "rsa_key_size": "2048"}, NAMES, False, "another kind of key"),
    ({**WANTED, "preferred_profile": "shortlived"}, NAMES, False, "another profile"),
    ({**WANTED, "authenticator": "dns-rfc2136"}, NAMES, False, "proven in another way"),
    (WANTED, NAMES, True, "expired"),
])
def test_the_authority_is_asked(wanted: dict[str, str], names: list[str], expired: bool, why: str) -> None:
    assert why in str(reason_to_ask(KEPT, wanted, NAMES, names, expired))


def test_a_profile_that_is_no_longer_wanted_means_a_new_certificate() -> None:
    assert reason_to_ask({**KEPT, "preferred_profile": "shortlived"}, WANTED, NAMES, NAMES, expired=False)


def test_the_settings_of_a_certificate_are_read_from_certbots_own_file() -> None:
    assert settings_of(RENEWAL)["server"] == SERVER
    assert settings_of(RENEWAL)["key_type"] == "ecdsa"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "-x", "a b", "x\n"])
def test_a_name_that_would_leave_its_directory_is_refused(name: str) -> None:
    assert not NAME.fullmatch(name)


@pytest.mark.parametrize("domain", ["-d", "shop", "Shop.example.com", "a,b.example.com", "*", "a.*.example.com", "*.*.example.com", "a..b", "a.b\n"])
def test_what_is_no_domain_never_reaches_certbot(domain: str) -> None:
    assert not DOMAIN.fullmatch(domain)


def test_addresses_are_told_from_names() -> None:
    names = ["shop.example.com", "192.0.2.1", "1.example.com", "2001:db8::1"]
    assert options_for(names) == ["--domains", "shop.example.com,1.example.com", "--ip-address", "192.0.2.1", "--ip-address", "2001:db8::1"]
    assert options_for(names[1:2]) == ["--ip-address", "192.0.2.1"]
    assert subject_names(names) == "DNS:shop.example.com,IP:192.0.2.1,DNS:1.example.com,IP:2001:db8::1"


def test_the_names_of_a_certificate_are_read_as_openssl_prints_them() -> None:
    printed = "X509v3 Subject Alternative Name: critical\n    DNS:shop.example.com, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1\n"
    assert names_in(printed) == ["shop.example.com", "192.0.2.1", "2001:db8::1"]


# -- what is said when it refuses


def test_a_refusal_names_the_domain_and_quotes_the_authority() -> None:
    told = explain(REFUSED)
    assert told.splitlines()[0].startswith("Each name must lead to this host")
    assert "Identifier: shop.example.com" in told and "404" in told
    for noise in ("Saving debug log", "community.letsencrypt.org", "Hint:", "Requesting"):
        assert noise not in told


@pytest.mark.parametrize(("said", "meant"), [
    ("requests.exceptions.ConnectionError: Max retries exceeded (NewConnectionError('Connection refused'))", "It is down"),
    ("requests.exceptions.SSLError: Max retries exceeded (SSLError('CERTIFICATE_VERIFY_FAILED'))", "acme_cert_ca_bundle"),
    ("OSError: Could not find a suitable TLS CA certificate bundle, invalid path: /root/x.pem", "below /root"),
    ("Error creating new order :: too many certificates (5) already issued for this exact set of domains", "rate limit"),
    ("Received response from server: REFUSED", "acme_cert_dns"),
    ("Server requires external account binding. Please use --eab-kid and --eab-hmac-key.", "acme_cert_eab_kid"),
    ("  Identifier: shop.example.com\n  Type:   caa\n  Detail: CAA record prevents issuance", "CAA record"),
])
def test_each_kind_of_failure_says_what_to_do(said: str, meant: str) -> None:
    assert meant in explain(said).splitlines()[0]
    assert said.splitlines()[-1].strip() in explain(said)


# -- where it is on a host


@pytest.fixture(autouse=True)
def group(monkeypatch: pytest.MonkeyPatch) -> str:
    """A group there is here, too."""
    name = grp.getgrgid(os.getgid()).gr_name
    monkeypatch.setattr(acme_host, "GROUP", name)
    return name


@pytest.fixture
def shop(tmp_path: Path) -> Certificate:
    found = Certificate("shop", tmp_path)
    found.prepare()
    return found


def give(folder: Path, text: str = "authority's") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("fullchain.pem", "privkey.pem"):
        (folder / name).write_text(text)


def issue(shop: Certificate) -> None:
    give(shop.live)
    give(shop.config / "archive/shop")
    shop.renewal.parent.mkdir(parents=True, exist_ok=True)
    shop.renewal.write_text(RENEWAL)
    shop.account(SERVER, "0a1b").mkdir(parents=True)


def test_keys_are_for_the_web_servers_group_and_the_webroot_is_open_whatever_the_umask(tmp_path: Path, group: str) -> None:
    before = os.umask(0o077)
    try:
        shop = Certificate("shop", tmp_path / "host")
        shop.prepare()
        give(tmp_path / "made", "self-signed")
        shop.take(tmp_path / "made")
    finally:
        os.umask(before)
    assert (shop.own / "privkey.pem").stat().st_mode & 0o777 == 0o640
    assert (shop.own / "privkey.pem").group() == shop.own.group() == group
    assert shop.own.stat().st_mode & 0o777 == 0o750
    assert shop.own.parent.stat().st_mode & 0o777 == 0o711
    assert shop.webroot.stat().st_mode & 0o777 == shop.state.stat().st_mode & 0o777 == 0o755


def test_what_certbot_gave_to_root_alone_is_opened_to_the_group(shop: Certificate) -> None:
    issue(shop)
    for name in ("fullchain.pem", "privkey.pem"):
        (shop.live / name).unlink()
        (shop.live / name).symlink_to(Path("../../archive/shop") / name)
        (shop.config / "archive/shop" / name).chmod(0o600)
    for path in ("live", "archive", "live/shop", "archive/shop"):
        (shop.config / path).chmod(0o700)
    shop.serve(shop.live)
    assert not is_open(shop.link)
    assert acme_certificate.bootstrap(Module(), shop) and is_open(shop.link)
    assert not acme_certificate.bootstrap(Module(), shop)
    modes = {path: (shop.config / path).stat().st_mode & 0o777 for path in
             ("live", "archive", "live/shop", "archive/shop", "archive/shop/privkey.pem", "archive/shop/fullchain.pem")}
    assert list(modes.values()) == [0o711, 0o711, 0o750, 0o750, 0o640, 0o640]


def test_moving_the_link_replaces_it(shop: Certificate, tmp_path: Path) -> None:
    give(tmp_path / "made", "self-signed")
    shop.take(tmp_path / "made")
    give(shop.live)
    shop.serve(shop.live)
    assert shop.serves(shop.live)
    assert [path.name for path in shop.link.parent.iterdir()] == ["shop"]


def test_a_whole_certificate_is_left_alone(shop: Certificate) -> None:
    issue(shop)
    shop.put_damage_aside()
    assert shop.kept()["server"] == SERVER
    assert not (shop.state / "damaged").exists()


@pytest.mark.parametrize("damage", ["renewal is empty", "renewal is gone", "key is gone"])
def test_what_an_interrupted_certbot_left_is_moved_aside(shop: Certificate, damage: str) -> None:
    issue(shop)
    if damage == "renewal is empty":
        shop.renewal.write_text("")
    elif damage == "renewal is gone":
        shop.renewal.unlink()
    else:
        (shop.live / "privkey.pem").unlink()
    assert shop.kept() == {}
    shop.put_damage_aside()
    assert not shop.live.exists() and not shop.renewal.exists() and not (shop.config / "archive/shop").exists()
    assert list((shop.state / "damaged").glob("shop-*/live/fullchain.pem"))


def test_what_is_served_stays_on_disk_when_damage_is_moved_aside(shop: Certificate) -> None:
    issue(shop)
    shop.serve(shop.live)
    shop.renewal.write_text("")
    shop.put_damage_aside()
    assert is_whole(shop.link)
    assert (shop.link / "fullchain.pem").read_text() == "authority's"


def test_an_account_the_authority_has_forgotten_is_moved_aside(shop: Certificate) -> None:
    issue(shop)
    assert shop.has_account()
    shop.put_account_aside(SERVER)
    assert not shop.has_account()
    assert list((shop.state / "damaged").glob("shop-*/account/0a1b"))
    shop.put_account_aside(SERVER)


def test_a_reload_is_due_until_the_web_server_was_told_of_this_certificate(shop: Certificate) -> None:
    issue(shop)
    assert shop.reload_is_due(shop.live)
    shop.serve(shop.live)
    assert shop.reload_is_due(shop.live)
    shop.told.write_text(hashlib.sha256(b"authority's").hexdigest() + "  -\n")
    assert not shop.reload_is_due(shop.live)
    give(shop.live, "renewed")
    assert shop.reload_is_due(shop.live)


class Server(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def port(shop: Certificate) -> Iterator[int]:
    handler = functools.partial(Server, directory=str(shop.webroot))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_a_web_server_that_answers_challenges_is_no_problem(shop: Certificate, port: int) -> None:
    assert shop.local_answer("shop.example.com", port) == ""
    assert not list((shop.webroot / ".well-known/acme-challenge").iterdir())


def test_a_web_server_that_answers_from_elsewhere_is_named(shop: Certificate, port: int, tmp_path: Path) -> None:
    shop.webroot = tmp_path / "elsewhere"
    assert "shop.example.com with 404" in shop.local_answer("shop.example.com", port)


def test_a_web_server_that_is_down_is_named(shop: Certificate) -> None:
    assert "does not answer" in shop.local_answer("shop.example.com", 1)


def test_certbot_is_confined_like_the_unit_that_renews() -> None:
    unit = ("[Unit]\nAfter=x\n[Service]\nType=oneshot\nExecStart=/x %i\nTimeoutStartSec=1\n# a=b\n\n"
            "ProtectSystem=strict\nUMask=0077\n")
    assert sandbox(unit) == ["--property=ProtectSystem=strict", "--property=UMask=0077"]


# -- certificates from elsewhere


def fail(**said: object) -> None:
    raise SystemExit(str(said["reason"]))


class Module:
    """What the functions of a module use of it; openssl is real."""

    def __init__(self, accepts: bool = True, **params: object) -> None:
        self.params = {"domains": NAMES, "key_type": "ecdsa-p256", "stand_in": "", **params}
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


def test_alarms_know_what_only_stands_in_from_what_is_self_signed_by_choice(shop: Certificate) -> None:
    spec = importlib.util.spec_from_file_location("alarm_channel", support.ROLES / "alarm_channel/files/alarm_channel.py")
    alarms = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alarms)

    def stands_in(folder: Path) -> bool:
        return alarms.dates(ssl.PEM_cert_to_DER_cert((folder / "fullchain.pem").read_text()))[2]

    acme_certificate.bootstrap(Module(), shop)
    assert stands_in(shop.link)
    assert not stands_in(own_certificate.make(Module(), shop, []))


def test_the_first_of_a_pair_stands_in_for_the_second(shop: Certificate, tmp_path: Path) -> None:
    acme_certificate.bootstrap(Module(), shop)
    rsa = Certificate("shop.rsa", tmp_path)
    for changed in (True, False):
        assert acme_certificate.bootstrap(Module(stand_in="shop"), rsa) is changed
    assert rsa.link.resolve() == shop.own, "a certificate of its own is served"
    assert rsa.reload_is_due(rsa.live)


def test_a_self_signed_certificate_is_kept_until_something_else_is_wanted(shop: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = own_certificate.make(Module(), shop, [])
    assert own_certificate.good_one(Module(), shop) == folder
    assert own_certificate.good_one(Module(domains=NAMES[:1]), shop) is None
    assert own_certificate.good_one(Module(key_type="rsa-2048"), shop) is None
    monkeypatch.setattr(own_certificate, "RENEW_SECONDS", 826 * 86400)
    assert own_certificate.good_one(Module(), shop) is None, "its last third is not noticed"


def test_a_provided_certificate_replaces_the_one_before_it(shop: Certificate) -> None:
    module = Module()
    module.certificate = shop
    for text in (b"first", b"second"):
        folder = own_certificate.make(module, shop, [text, b"key of " + text])
        have_served(module, shop, folder)
    assert (shop.link / "fullchain.pem").read_bytes() == b"second"
    assert (folder / "privkey.pem").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in shop.elsewhere.iterdir()] == [folder.name]
    assert not [word for command in module.commands for word in command if "key of" in word], "the key is in an argument"


def test_a_provided_certificate_that_the_web_server_refuses_goes_and_the_old_one_stays(shop: Certificate) -> None:
    give(shop.live)
    shop.serve(shop.live)
    module = Module(accepts=False)
    module.certificate = shop
    with pytest.raises(SystemExit, match="emerg"):
        have_served(module, shop, own_certificate.make(module, shop, [b"chain", b"key"]))
    assert shop.serves(shop.live)
    assert list(shop.elsewhere.iterdir()) == []
