"""A run is not green when nginx does not serve what it has configured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from host.playbooks import Playbooks, Run
from steps import ROOT, STATE

HOST = "debian13"
OTHER = "/etc/nginx/conf.d/other.conf"
KEYS = "ssl_certificate /etc/ssl/certs/ssl-cert-snakeoil.pem; ssl_certificate_key /etc/ssl/private/ssl-cert-snakeoil.key"


@pytest.fixture(scope="module", name="host")
def _host(step: Callable[[str], Run], at: Callable[..., Any]) -> Any:
    step("again")
    return at(HOST).server.host


@pytest.fixture(scope="module", name="play")
def _play() -> Callable[[], Run]:
    """A run that has nothing to change."""
    inventories = [ROOT / "molecule/inventory", ROOT / "molecule/failures/inventory", STATE / "failures-step.json"]
    playbooks = Playbooks([str(path) for path in inventories])
    return lambda: playbooks.run("site", f"--limit={HOST}", "--tags=nginx_server,nginx_site")


@pytest.fixture(name="other")
def _other(host: Any) -> Iterator[Callable[[str], None]]:
    """Writes a file of another site, and removes it."""
    yield lambda text: host.check_output("printf %%s %s > %s", text, OTHER)
    host.check_output(f"rm -f {OTHER} && systemctl reload nginx")


def test_a_server_block_of_others_on_the_address_of_the_host(host: Any, play: Callable[[], Run], other: Callable[[str], None]) -> None:
    address = host.check_output("hostname -I").split()[0]
    other(f"server {{ listen {address}:443 ssl; server_name other.example; {KEYS}; return 200 other; }}\n")
    host.check_output("systemctl reload nginx")
    run = play()
    assert run.rc != 0 and run.count("changed")[HOST] == 0
    assert "is served with another certificate than /etc/nginx/sites-enabled/shop.conf names" in run.failure(HOST)


def test_a_file_of_others_with_which_nginx_would_not_start(host: Any, play: Callable[[], Run], other: Callable[[str], None]) -> None:
    other("unknown_directive;\n")
    run = play()
    assert run.rc != 0 and run.count("changed")[HOST] == 0
    failure = run.failure(HOST)
    assert "nginx would not start with the configuration on disk" in failure and OTHER in failure


def test_an_application_that_does_not_respond(host: Any, play: Callable[[], Run]) -> None:
    units = "'gunicorn-shop@*.socket' 'gunicorn-shop@*.service'"
    running = host.check_output(f"systemctl list-units --plain --no-legend --state=active {units} | cut -d' ' -f1").split()
    host.check_output(f"systemctl stop {units}")
    try:
        run = play()
        assert run.rc != 0 and "has status 502" in run.failure(HOST)
    finally:
        host.check_output(f"systemctl start {' '.join(running)}")


def test_a_file_that_nginx_has_not_loaded_is_loaded(host: Any, play: Callable[[], Run]) -> None:
    host.check_output("touch /etc/nginx/sites-enabled/shop.conf")
    assert play().count("changed")[HOST] == 1
    run = play()
    assert run.rc == 0 and run.count("changed")[HOST] == 0
