"""Paths and permissions of certificates on a host."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.store import Certificate, is_readable, is_whole
from ansible_collections.bulwark.flask.plugins.modules import acme_certificate
from ansible_collections.bulwark.flask.plugins.modules.acme_certificate import sandbox

SERVER = "https://acme.example.com/dir"
RENEWAL = f"[renewalparams]\naccount = 0a1b\nserver = {SERVER}\n"


def give(folder: Path, text: str = "the CA's") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("fullchain.pem", "privkey.pem"):
        (folder / name).write_text(text)


def issue(shop: Certificate) -> None:
    give(shop.live)
    give(shop.config / "archive/shop")
    shop.renewal.parent.mkdir(parents=True, exist_ok=True)
    shop.renewal.write_text(RENEWAL)
    shop.account(SERVER, "0a1b").mkdir(parents=True)


def test_keys_are_for_the_web_servers_group_and_the_webroot_is_readable_whatever_the_umask(tmp_path: Path, group: str) -> None:
    before = os.umask(0o077)
    try:
        shop = Certificate("shop", tmp_path / "host")
        shop.prepare()
        give(tmp_path / "made", "self-signed")
        shop.take(tmp_path / "made")
    finally:
        os.umask(before)
    assert (shop.placeholder / "privkey.pem").stat().st_mode & 0o777 == 0o640
    assert (shop.placeholder / "privkey.pem").group() == shop.placeholder.group() == group
    assert shop.placeholder.stat().st_mode & 0o777 == 0o750
    assert shop.placeholder.parent.stat().st_mode & 0o777 == 0o711
    assert shop.webroot.stat().st_mode & 0o777 == shop.state.stat().st_mode & 0o777 == 0o755


def test_a_certificate_is_served_where_the_web_server_can_read_it(tmp_path: Path, group: str) -> None:
    shop = Certificate("shop", tmp_path / "host")
    assert not shop.is_served()
    give(tmp_path / "made", "self-signed")
    shop.take(tmp_path / "made")
    assert shop.is_served()
    (shop.placeholder / "privkey.pem").chmod(0o600)
    assert not shop.is_served(), "another account alone can read it"
    (shop.placeholder / "fullchain.pem").unlink()
    assert not shop.is_served()
    shop.link.unlink()
    give(shop.link, "put there by hand")
    assert shop.is_served()


def test_keys_of_certbot_become_readable_by_the_group(shop: Certificate) -> None:
    issue(shop)
    for name in ("fullchain.pem", "privkey.pem"):
        (shop.live / name).unlink()
        (shop.live / name).symlink_to(Path("../../archive/shop") / name)
        (shop.config / "archive/shop" / name).chmod(0o600)
    for path in ("live", "archive", "live/shop", "archive/shop"):
        (shop.config / path).chmod(0o700)
    shop.serve(shop.live)
    assert not is_readable(shop.link)
    module = SimpleNamespace(check_mode=False, params={"substitute": ""})
    assert acme_certificate.placeholder(module, shop) and is_readable(shop.link)
    assert not acme_certificate.placeholder(module, shop)
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


def test_a_complete_certificate_is_not_changed(shop: Certificate) -> None:
    issue(shop)
    shop.move_damaged_files()
    assert shop.kept()["server"] == SERVER
    assert not (shop.state / "damaged").exists()


@pytest.mark.parametrize("damage", ["renewal is empty", "renewal is gone", "key is gone"])
def test_files_of_an_interrupted_certbot_are_moved(shop: Certificate, damage: str) -> None:
    issue(shop)
    if damage == "renewal is empty":
        shop.renewal.write_text("")
    elif damage == "renewal is gone":
        shop.renewal.unlink()
    else:
        (shop.live / "privkey.pem").unlink()
    assert shop.kept() == {}
    shop.move_damaged_files()
    assert not shop.live.exists() and not shop.renewal.exists() and not (shop.config / "archive/shop").exists()
    assert list((shop.state / "damaged").glob("shop/*/live/fullchain.pem"))


def test_the_served_certificate_stays_when_damaged_files_are_moved(shop: Certificate) -> None:
    issue(shop)
    shop.serve(shop.live)
    shop.renewal.write_text("")
    shop.move_damaged_files()
    assert is_whole(shop.link)
    assert (shop.link / "fullchain.pem").read_text() == "the CA's"


def test_an_account_that_the_ca_does_not_know_is_moved(shop: Certificate) -> None:
    issue(shop)
    assert shop.has_account()
    shop.move_unknown_accounts(SERVER)
    assert not shop.has_account()
    assert list((shop.state / "damaged").glob("shop/*/account/0a1b"))
    shop.move_unknown_accounts(SERVER)


def test_a_reload_is_due_until_the_web_server_serves_this_certificate(shop: Certificate) -> None:
    issue(shop)
    assert shop.reload_is_due(shop.live)
    shop.serve(shop.live)
    assert shop.reload_is_due(shop.live)
    shop.served.write_text(hashlib.sha256(b"the CA's").hexdigest() + "  -\n")
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
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_a_web_server_that_serves_challenges_is_no_problem(shop: Certificate, port: int) -> None:
    assert shop.local_problem("shop.example.com", port) == ""
    assert not list((shop.webroot / ".well-known/acme-challenge").iterdir())


def test_a_web_server_with_another_webroot_is_named(shop: Certificate, port: int, tmp_path: Path) -> None:
    shop.webroot = tmp_path / "elsewhere"
    assert "shop.example.com with 404" in shop.local_problem("shop.example.com", port)


def test_a_web_server_that_is_down_is_named(shop: Certificate) -> None:
    assert "does not respond" in shop.local_problem("shop.example.com", 1)


def test_certbot_runs_in_the_sandbox_of_the_renewal_unit() -> None:
    unit = ("[Unit]\nAfter=x\n[Service]\nType=oneshot\nExecStart=/x %i\nTimeoutStartSec=1\n# a=b\n\n"
            "ProtectSystem=strict\nUMask=0077\n")
    assert sandbox(unit) == ["--property=ProtectSystem=strict", "--property=UMask=0077"]


