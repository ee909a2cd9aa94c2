"""Ports: the program that listens on one is named, and the unit's own does not count."""

from __future__ import annotations

import os

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import ports

APACHE = 'LISTEN 0 511 *:80 *:* users:(("apache2",pid=71,fd=4),("apache2",pid=70,fd=4))\n'


@pytest.fixture(autouse=True)
def units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_unit_of", {"70": "apache2.service", "71": "apache2.service", "8": "nginx.service", "9": ""}.get)


def test_another_program_is_named_with_its_unit_and_its_port() -> None:
    listing = APACHE + 'LISTEN 0 5 127.0.0.1:443 0.0.0.0:* users:(("python3",pid=9,fd=3))\nLISTEN 0 128 [::]:22 [::]:* users:(("sshd",pid=9,fd=3))\n'
    first, second = ports.taken(listing, (80, 443), "nginx.service")
    assert first.startswith("apache2 (process 71 of apache2.service) listens on port 80, which nginx.service needs")
    assert second.startswith("python3 (process 9) listens on port 443, ")


def test_the_units_own_processes_may_listen() -> None:
    assert ports.taken('LISTEN 0 511 0.0.0.0:80 0.0.0.0:* users:(("nginx",pid=8,fd=6))\n', (80,), "nginx.service") == []
    assert ports.taken(APACHE, (80,), "apache2.service") == ports.taken(APACHE, (443,), "nginx.service") == []


def test_a_program_that_is_not_shown_is_a_problem_all_the_same() -> None:
    [problem] = ports.taken("LISTEN 0 511 *:80 *:*\n", (80,), "nginx.service")
    assert problem.startswith("a program that this account cannot see listens on port 80")


def test_the_unit_of_a_process_is_read_from_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with open("/proc/self/cgroup", encoding="ascii") as stream:
        group = stream.read()
    found = ports._unit_of(str(os.getpid()))
    assert found == "" or f"/{found}" in group
    assert ports._unit_of("999999999") == ""
