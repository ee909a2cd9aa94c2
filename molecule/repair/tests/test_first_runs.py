"""A first run that cannot succeed says why, and leaves nothing that is enabled or tries again by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from host.playbooks import Playbooks
from host.plugin import Server

LISTEN = ("systemctl stop nginx; DEBIAN_FRONTEND=noninteractive apt-get -qq remove nginx >/dev/null; "
          "systemd-run --quiet --collect --unit=other python3 -m http.server 80; "
          "timeout 30 sh -c 'until ss -Hltn sport = :80 | grep -q .; do sleep 0.1; done'")


@pytest.fixture
def occupied(server: Server, playbooks: Playbooks) -> Iterator[Any]:
    """A host without nginx, on which another program listens on port 80."""
    server.host.check_output(LISTEN)
    yield server.host
    server.host.run("systemctl stop other")
    playbooks.good("site", "--limit", server.name, "--tags", "nginx_server")


def test_a_program_that_listens_on_port_80_is_named_before_anything_is_installed(server: Server, playbooks: Playbooks, occupied: Any) -> None:
    for options in (("--check",), ()):
        run = playbooks.run("site", "--limit", server.name, "--tags", "nginx_server", *options)
        assert run.rc != 0
        assert "python3 (process " in run.words and "of other.service) listens on port 80, which nginx.service needs" in run.words
        assert occupied.run("dpkg-query -W -f='${db:Status-Status}' nginx").stdout != "installed"
        assert occupied.run("systemctl is-active nginx").stdout.strip() == "inactive"


@pytest.fixture
def without_unit(server: Server) -> Iterator[Any]:
    """A host, from which the unit is removed afterwards."""
    yield server.host
    server.host.check_output("systemctl disable --quiet --now repair-test; systemctl reset-failed repair-test; rm -f /etc/systemd/system/repair-test.service "
                             "/var/lib/file_set/parts/repair-unit.json; systemctl daemon-reload")


def test_a_service_that_does_not_start_is_not_left_enabled(server: Server, playbooks: Playbooks, without_unit: Any) -> None:
    host = without_unit
    run = playbooks.run("molecule/repair/unit.yml", "--limit", server.name)
    assert run.rc != 0 and "`systemctl start repair-test.service` failed" in run.words
    assert host.run("systemctl is-enabled repair-test").stdout.strip() == "disabled"
    assert host.run("systemctl is-active repair-test").stdout.strip() in ("inactive", "failed")
