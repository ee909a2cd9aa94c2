"""Nobody locks themselves out: what would is refused before it happens, or undone. A new connection works after each."""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

NOTHING = "Nothing was changed, because:"
# sshd accepts these, and nothing in them is about this operator; yet nobody outside can connect any more, can do anything
# once connected, or has the two keys it asks for.
DEAF = {"ListenAddress": "127.0.0.1"}
MUTE = {"ForceCommand": "/bin/false"}
TWO_KEYS = {"AuthenticationMethods": "publickey,publickey"}
# What closes the way this operator came in, and what is said to each.
CLOSED = {
    "user": ({"host_access_ssh_users": ["somebody"], "host_access_ssh_groups": ["sudo"]},
             ["AllowUsers does not name root", "AllowGroups names no group of root"]),
    "root": ({"host_access_ssh_settings": {"PermitRootLogin": "no"}}, ["PermitRootLogin no closes the way to root"]),
    "key": ({"host_access_ssh_settings": {"AuthorizedKeysFile": "/etc/ssh/keys/%u"}}, ["is not in /etc/ssh/keys/root"]),
    "port": ({"host_access_ssh_ports": [2222], "host_access_ssh_settings": {"PubkeyAcceptedAlgorithms": "rsa-sha2-512"}},
             ["sshd would no longer listen on port 22", "would not have ssh-ed25519, for your key SHA256:"]),
    "source": ({"host_access_ssh_from": ["203.0.113.0/24", "2001:db8::/32"], "host_access_ssh_settings": {"PubkeyAuthentication": "no"}},
               ["the list of sources does not have", "PubkeyAuthentication no closes the way you came"]),
}


@pytest.mark.parametrize(("variables", "reasons"), CLOSED.values(), ids=CLOSED)
def test_what_closes_the_operators_way_is_refused_before_anything_changes(hosts: Any, variables: dict[str, Any], reasons: list[str]) -> None:
    before, undone = hosts.state(), hosts.undone()
    done = hosts.play(**variables)
    for host in hosts.ways:
        assert NOTHING in done.failure(host)
        assert not [reason for reason in reasons if reason not in done.failure(host)]
    assert hosts.state() == before
    assert hosts.undone() == undone


def test_check_mode_says_so_too_and_all_of_it_at_once(hosts: Any) -> None:
    before = hosts.state()
    settings = CLOSED["root"][0]["host_access_ssh_settings"] | CLOSED["key"][0]["host_access_ssh_settings"]
    done = hosts.play("--check", **{**CLOSED["user"][0], "host_access_ssh_ports": [2222], "host_access_ssh_settings": settings})
    reasons = [reason for way in ("user", "root", "key") for reason in CLOSED[way][1]] + ["sshd would no longer listen on port 22"]
    for host in hosts.ways:
        assert NOTHING in done.failure(host)
        assert not [reason for reason in reasons if reason not in done.failure(host)]
    assert hosts.state() == before


@pytest.fixture
def by_password(hosts: Any) -> Iterator[tuple[str, str]]:
    """An operator who came with a password, while that was allowed."""
    password = secrets.token_urlsafe(12)
    hosts.read(f"useradd --create-home --shell /bin/sh visitor; echo visitor:{password} | chpasswd; "
               "echo 'visitor ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/visitor")
    hosts.plays(host_access_ssh_settings={"PasswordAuthentication": "yes"})
    yield "visitor", password
    hosts.plays()
    hosts.read("userdel --force --remove visitor; rm /etc/sudoers.d/visitor")


def test_who_came_with_a_password_is_told_to_bring_a_key(hosts: Any, by_password: tuple[str, str]) -> None:
    user, password = by_password
    before = hosts.state()
    done = hosts.play(ansible_user=user, ansible_password=password, ansible_ssh_private_key_file="/dev/null")
    for host in hosts.ways:
        assert NOTHING in done.failure(host)
        assert "you came with a password, and passwords will not be accepted" in done.failure(host)
    assert password not in done.output
    assert hosts.state() == before


@pytest.mark.parametrize("settings", [DEAF, MUTE, TWO_KEYS], ids=["deaf", "mute", "two keys"])
def test_a_configuration_that_is_valid_and_lets_nobody_in_is_undone(hosts: Any, settings: dict[str, str]) -> None:
    before, undone = hosts.state(), hosts.undone()
    done = hosts.play(host_access_ssh_settings=settings)
    for host in hosts.ways:
        assert "No new connection could be opened after the change. The old state is back." in done.failure(host)
    assert hosts.undone() == {host: count + 1 for host, count in undone.items()}
    assert hosts.state() == before


def test_the_host_goes_back_by_itself_when_no_connection_is_left(hosts: Any) -> None:
    before, undone = hosts.state(), hosts.undone()
    done = hosts.play(host_access_ssh_settings=DEAF, environment={"ANSIBLE_SSH_ARGS": "-o ControlMaster=no -o ControlPath=none"})
    for host in hosts.ways:
        assert "The old state is back." in done.failure(host)
    assert hosts.undone() == {host: count + 1 for host, count in undone.items()}
    assert hosts.state() == before


# Until a change is in effect and waits to be confirmed; at boot the unit that undoes it runs, and it is valid.
WATCH = """echo watching
timeout 90 sh -c 'until [ -e /var/lib/host_access/pending ] && ss -Hltn | grep -q 127.0.0.1:22; do sleep 0.1; done'
ls /etc/systemd/system/sysinit.target.wants/host-access-undo.service
systemctl is-active host-access-undo.timer
systemd-analyze verify host-access-undo.service 2>&1 | grep host-access
echo seen; read go
"""


def family(pid: int) -> list[int]:
    """A process and all that came of it: Ansible's workers have sessions of their own."""
    pairs = [line.split() for line in subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.splitlines()]
    found = [pid]
    for parent in found:
        found += [int(child) for child, of in pairs if int(of) == parent]
    return found


def kill_between_change_and_confirmation(hosts: Any, begin: Callable[..., Any], then: str = "", **variables: Any) -> None:
    """End a controller at the worst moment, seen through connections that are open already; then run something in them."""
    watches = [way.open(WATCH + then) for way in hosts.ways.values()]
    for watch in watches:
        assert watch.stdout.readline() == "watching\n"
    running = begin(host_access_ssh_settings=DEAF, **variables)
    for watch in watches:
        seen = list(itertools.takewhile(lambda line: line != "seen\n", watch.stdout))
        assert seen == ["/etc/systemd/system/sysinit.target.wants/host-access-undo.service\n", "active\n"]
    for process in family(running.pid):
        os.kill(process, signal.SIGKILL)
    for watch in watches:
        watch.communicate("go\n")
        assert watch.returncode == 0


def test_a_controller_that_dies_between_change_and_confirmation_leaves_the_old_state(hosts: Any, begin: Callable[..., Any]) -> None:
    before, undone = hosts.state(), hosts.undone()
    kill_between_change_and_confirmation(hosts, begin)
    give_up = time.monotonic() + 120
    for way in hosts.ways.values():
        while way.ssh("true").returncode == 255:
            assert time.monotonic() < give_up, "the old state did not come back"
            time.sleep(1)
    assert hosts.state() == before
    assert hosts.undone() == {host: count + 1 for host, count in undone.items()}


def test_a_boot_goes_back(hosts: Any, begin: Callable[..., Any]) -> None:
    before = hosts.state()
    # Which is what a boot starts.
    kill_between_change_and_confirmation(hosts, begin, "systemctl start host-access-undo.service", host_access_confirm_seconds=150)
    assert hosts.state() == before


def test_the_next_run_goes_back_first_when_the_last_was_never_confirmed(hosts: Any, begin: Callable[..., Any]) -> None:
    before = hosts.state()
    kill_between_change_and_confirmation(hosts, begin, host_access_confirm_seconds=150)
    # Ansible's own connections of before are open yet.
    done = hosts.play()
    assert done.returncode == 0, done.output
    assert "An earlier change was never confirmed. The old state was put back first." in " ".join(done.output.split())
    for host in hosts.ways:
        assert "changed=1 " in done.recap(host)
    assert hosts.state() == before


def test_a_file_that_comes_first_is_named(hosts: Any) -> None:
    foreign = "/etc/ssh/sshd_config.d/00-a-cloud.conf"
    hosts.read(f"echo 'PasswordAuthentication yes' > {foreign}")
    done = hosts.play(host_access_ssh_settings={"MaxAuthTries": 5})
    hosts.read(f"rm {foreign}")
    for host in hosts.ways:
        assert NOTHING in done.failure(host)
        assert "PasswordAuthentication would be yes instead of no" in done.failure(host)


def test_a_second_firewall_is_named(hosts: Any) -> None:
    hosts.read("mkdir -p /etc/ufw; echo ENABLED=yes > /etc/ufw/ufw.conf")
    before = hosts.state()
    done = hosts.play(host_access_tcp_ports=[80, 443, 8443])
    hosts.read("rm -r /etc/ufw")
    for host in hosts.ways:
        assert "ufw is on, and a packet has to get through both" in done.failure(host)
    assert hosts.state() == before


def test_what_the_firewall_closes_is_named(hosts: Any) -> None:
    hosts.read("systemd-run --quiet --collect --unit=somebodys python3 -m http.server 8025; "
               "timeout 30 sh -c 'until ss -Hltn | grep -q :8025; do sleep 0.1; done'")
    done = hosts.play("--check", host_access_tcp_ports=[80, 443, 8443])
    opened = hosts.play("--check", host_access_tcp_ports=[80, 443, 8025])
    hosts.read("systemctl stop somebodys")
    assert done.returncode == 0 and opened.returncode == 0, done.output + opened.output
    for host in hosts.ways:
        assert f"{host}: the firewall closes what listens here and is not named: tcp 8025 (python3)" in " ".join(done.output.split())
    assert "8025 (python3)" not in opened.output


def test_a_port_moves_in_two_steps(hosts: Any) -> None:
    def alias(address: str) -> str:
        return f"HostKeyAlias={address}"

    moved = {"ansible_port": 2222, "ansible_ssh_extra_args": "-o " + alias("{{ ansible_host }}")}
    hosts.plays(host_access_ssh_ports=[22, 2222])
    for way in hosts.ways.values():
        assert way.ssh("true", options=("-p", "2222", "-o", alias(way.server.target.address))).returncode == 0
    hosts.plays(host_access_ssh_ports=[2222], **moved)
    for way in hosts.ways.values():
        assert way.ssh("true").returncode == 255
    hosts.plays(host_access_ssh_ports=[22, 2222], **moved)
    hosts.plays()
    for way in hosts.ways.values():
        assert way.ssh("true").returncode == 0
