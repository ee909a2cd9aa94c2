"""A change that would close the operator's SSH connection is refused."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.host_access import ssh_access
from ansible_collections.bulwark.flask.plugins.module_utils.host_access.ssh_access import Session

ALICE = Session("alice", "192.0.2.7", 40000, "198.51.100.1", 22)


@pytest.mark.parametrize(("ports", "allowed", "sources", "problem"), [
    (["22"], [22], [], ""),
    (["2222", "22"], [22, 2222], [], ""),
    (["2222"], [2222], [], "no longer listen on port 22"),
    (["22"], [2222], [], "firewall would close port 22"),
    (["22"], None, ["203.0.113.0/24"], ""),
    (["22"], [22], ["203.0.113.0/24", "2001:db8::/32"], "does not contain 192.0.2.7"),
    (["22"], [22], ["192.0.2.0/24"], ""),
    (["22"], [22], ["192.0.2.7"], ""),
])
def test_a_port_or_source_that_would_be_closed_is_named(ports: list[str], allowed: list[int] | None, sources: list[str], problem: str) -> None:
    found = " ".join(ssh_access.problems({"port": ports, "pubkeyauthentication": ["yes"]}, ALICE, allowed, sources))
    assert problem in found
    assert bool(found) == bool(problem)


def test_key_login_cannot_be_switched_off() -> None:
    found = ssh_access.problems({"port": ["22"], "pubkeyauthentication": ["no"]}, ALICE, [22], [])
    assert len(found) == 1
    assert "would switch key login off" in found[0]


def test_the_session_is_found_behind_sudo(tmp_path: Path) -> None:
    def process(pid: int, parent: int, **environment: str) -> None:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a (b) c) S {parent} 1 1")
        (tmp_path / str(pid) / "environ").write_text("\0".join(f"{key}={value}" for key, value in environment.items()) + "\0")

    process(10, 1)
    process(20, 10, USER="alice", LOGNAME="alice", SSH_CONNECTION="192.0.2.7 40000 198.51.100.1 22")
    process(30, 20, USER="root", SUDO_USER="alice")
    assert ssh_access.own_session(30, str(tmp_path)) == ALICE
    assert ssh_access.own_session(10, str(tmp_path)) is None


def test_a_login_counts_when_its_session_is_new(tmp_path: Path) -> None:
    def process(pid: int, ticks: int, connection: str) -> None:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a (b) c) S 1 " + "0 " * 17 + f"{ticks} 0 0")
        (tmp_path / str(pid) / "environ").write_text(f"SSH_CONNECTION={connection}\0USER=anna\0" if connection else "A=b\0")
    hour = 3600 * os.sysconf("SC_CLK_TCK")
    moment = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + 1800
    process(10, 0, "192.0.2.7 1000 198.51.100.1 22")
    process(11, hour, "")
    # A program that an old session started later.
    process(12, hour, "192.0.2.7 1000 198.51.100.1 22")
    assert ssh_access.login_since(moment, str(tmp_path)) is None
    process(13, hour, "192.0.2.7 1001 198.51.100.1 22")
    found = ssh_access.login_since(moment, str(tmp_path))
    assert found is not None and (found.user, found.client_port) == ("anna", 1001)
