"""The ACME preflight reports what a CA would refuse, and does not ask it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from acme_server import AcmeServer
from host.playbooks import Run
from steps import HOSTS, STATE, Step, play, presented, trusted

WRONG = ("nowhere", "empty", "elsewhere", "silent", "forbidden")
ASKED = r'''
import hashlib
print(json.dumps([hashlib.sha256(open("/etc/acme-cert/renewal/shop.conf", "rb").read()).hexdigest()]
                 + os.listdir("/var/lib/acme-cert/webroot/.well-known/acme-challenge")))
'''


@pytest.fixture(scope="module")
def asks(acme_server: AcmeServer) -> Callable[..., Run]:
    """A run for more names."""
    def run(*options: str, names: tuple[str, ...], directory: str, preflight: bool = True) -> Run:
        return play(Step({"preflight": preflight, "preflight_resolvers": [acme_server.address]}, more_names=names, directory_url=directory), *options)
    return run


def problems(run: Run, acme_server: AcmeServer, host: str) -> None:
    """Every one is there, with what would be right."""
    name = f"{host}.example.test"
    for words in ("this host's clock is 60 minutes ahead of that of pebble:14003; run: timedatectl set-ntp true",
                  f"nowhere.{name} does not exist in DNS; add a record with the address of this host ({acme_server.hosts.address(host)}",
                  f"empty.{name} has no address in DNS",
                  f"elsewhere.{name}: another web server, at {acme_server.address}, responds to a challenge with 404; point the record to",
                  f"silent.{name}: port 80 of {acme_server.address.rpartition('.')[0]}.250 does not respond",
                  f"forbidden.{name}: the CAA record of forbidden.{name} allows 'letsencrypt.org' only; "
                  f"add: forbidden.{name}. CAA 0 issue \\\"ca.example.test\\\""):
        assert words in run.output
    assert f" www.{name}: " not in run.output and f" allowed.{name}: " not in run.output


def test_all_problems_are_reported_before_the_request_to_the_ca(asks: Callable[..., Run], acme_server: AcmeServer, sites: list[Any]) -> None:
    before, orders = [(presented(site), site.ask(ASKED)) for site in sites], acme_server.orders()
    run = asks(names=(*WRONG, "allowed"), directory="https://pebble:14003/late/dir")
    for host in HOSTS:
        problems(run, acme_server, host)
    assert run.count("rescued") == dict.fromkeys(HOSTS, 1)
    assert acme_server.orders() == orders
    assert [(presented(site), site.ask(ASKED)) for site in sites] == before


def test_check_mode_predicts_the_same(asks: Callable[..., Run], acme_server: AcmeServer) -> None:
    orders = acme_server.orders()
    run = asks("--check", names=(*WRONG, "allowed"), directory="https://pebble:14003/late/dir")
    for host in HOSTS:
        problems(run, acme_server, host)
    assert acme_server.orders() == orders


def test_the_preflight_can_be_turned_off(asks: Callable[..., Run], acme_server: AcmeServer) -> None:
    orders = acme_server.orders()
    run = asks(names=("nowhere",), directory="https://pebble:14002/dir", preflight=False)
    assert acme_server.orders() >= orders + len(HOSTS)
    assert "Each name must resolve to this host in DNS" in run.output


def test_a_correct_name_is_certified_also_behind_a_proxy(asks: Callable[..., Run], acme_server: AcmeServer, sites: list[Any]) -> None:
    before = acme_server.orders()
    run = asks(names=("allowed", "fronted"), directory="https://pebble:14003/dir")
    assert run.count("failed") == dict.fromkeys(HOSTS, 0)
    assert acme_server.orders() == before + len(HOSTS)
    assert all(trusted(site, str(STATE / "ca-dns.pem")) for site in sites)
    assert [len(site.ask(ASKED)) for site in sites] == [1] * len(sites), "a token was left"
