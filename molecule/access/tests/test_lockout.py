"""No change locks the operator out: it is refused or rolled back. A new connection works after each test."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

NOTHING = "Nothing was changed, because:"
# sshd accepts these settings, and after each no new connection can run anything.
DEAF = {"host_access_ssh_settings": {"ListenAddress": "127.0.0.1"}}
UNUSABLE = {
    "listens on loopback alone": DEAF,
    "runs a command of its own": {"host_access_ssh_settings": {"ForceCommand": "/bin/false"}},
    "asks for two keys": {"host_access_ssh_settings": {"AuthenticationMethods": "publickey,publickey"}},
    "allows other accounts alone": {"host_access_ssh_users": ["other"]},
    "reads keys elsewhere": {"host_access_ssh_settings": {"AuthorizedKeysFile": "/etc/ssh/keys/%u"}},
}
# Changes that would close the connection of this run, and the reason that is given.
CLOSED = {
    "port": ({"host_access_ssh_ports": [2222]}, "sshd would no longer listen on port 22"),
    "source": ({"host_access_ssh_from": ["203.0.113.0/24", "2001:db8::/32"]}, "host_access_ssh_from does not contain"),
    "key": ({"host_access_ssh_settings": {"PubkeyAuthentication": "no"}}, "PubkeyAuthentication no would switch key login off"),
}
# An account that logs in with a key and a code, as other people's configuration demands.
TWO_FACTORS = """
useradd --create-home --shell /bin/sh admin2fa
printf 'KbdInteractiveAuthentication yes\\nMatch User admin2fa\\n  AuthenticationMethods publickey,keyboard-interactive\\n' > /etc/ssh/sshd_config.d/50-2fa.conf
sed -i 's/^KbdInteractiveAuthentication.*//' /etc/ssh/sshd_config.d/00-host-access.conf
systemctl reload ssh
"""
KEEPS_TWO_FACTORS = {"KbdInteractiveAuthentication": "yes", "AuthenticationMethods": "publickey"}


@pytest.mark.parametrize(("variables", "reason"), CLOSED.values(), ids=CLOSED)
def test_a_change_that_closes_the_operators_connection_is_refused(hosts: Any, variables: dict[str, Any], reason: str) -> None:
    before, undone = hosts.state(), hosts.undone()
    done = hosts.play(**variables)
    for host in hosts.clients:
        assert NOTHING in done.failure(host)
        assert reason in done.failure(host)
    assert hosts.state() == before
    assert hosts.undone() == undone


def test_check_mode_names_all_reasons_at_once(hosts: Any) -> None:
    before = hosts.state()
    done = hosts.play("--check", **{key: value for variables, _ in CLOSED.values() for key, value in variables.items()})
    for host in hosts.clients:
        assert NOTHING in done.failure(host)
        assert not [reason for _, reason in CLOSED.values() if reason not in done.failure(host)]
    assert hosts.state() == before


@pytest.fixture
def two_factors(hosts: Any) -> Iterator[None]:
    """An account that needs a key and a code on each host, as before the role's first run."""
    hosts.read(TWO_FACTORS)
    yield
    hosts.read("rm /etc/ssh/sshd_config.d/50-2fa.conf; userdel --force --remove admin2fa; systemctl reload ssh")
    hosts.plays()


@pytest.mark.usefixtures("two_factors")
def test_a_change_that_takes_the_second_factor_of_others_is_refused_with_the_setting_that_keeps_it(hosts: Any) -> None:
    for options in (("--check",), ()):
        done = hosts.play(*options)
        for host in hosts.clients:
            assert NOTHING in done.failure(host)
            assert "admin2fa could not log in any more" in done.failure(host)
            assert 'host_access_ssh_settings: {KbdInteractiveAuthentication: "yes", AuthenticationMethods: publickey}' in done.failure(host)
    hosts.plays(host_access_ssh_settings=KEEPS_TWO_FACTORS)
    for client in hosts.clients.values():
        assert "authenticationmethods publickey\n" in client.read("sshd -T | grep ^authenticationmethods")
        assert "authenticationmethods publickey,keyboard-interactive\n" in client.read(
            "sshd -T -C user=admin2fa,host=x,addr=192.0.2.1 | grep ^authenticationmethods")


@pytest.mark.parametrize("variables", UNUSABLE.values(), ids=UNUSABLE)
def test_a_valid_configuration_that_allows_no_login_is_rolled_back(hosts: Any, variables: dict[str, Any]) -> None:
    before, undone = hosts.state(), hosts.undone()
    done = hosts.play(**variables)
    for host in hosts.clients:
        assert "No new connection could be opened after the change. The old state is back." in done.failure(host)
    assert hosts.undone() == {host: count + 1 for host, count in undone.items()}
    assert hosts.state() == before


def test_the_timer_restores_the_old_state_when_no_connection_is_left(hosts: Any) -> None:
    before, undone = hosts.state(), hosts.undone()
    done = hosts.play(**DEAF, environment={"ANSIBLE_SSH_ARGS": "-o ControlMaster=no -o ControlPath=none"})
    for host in hosts.clients:
        assert "The old state is back." in done.failure(host)
    assert hosts.undone() == {host: count + 1 for host, count in undone.items()}
    assert hosts.state() == before


# Waits until a change is in effect and not confirmed yet; prints that a boot would start the undo, and what systemd says of its unit.
WATCH = """echo watching
timeout 90 sh -c 'until [ -e /var/lib/host_access/pending ] && ss -Hltn | grep -q 127.0.0.1:22; do sleep 0.1; done'
ls /etc/systemd/system/sysinit.target.wants/host-access-undo.service
systemctl is-active host-access-undo.timer
systemd-analyze verify host-access-undo.service 2>&1 | grep host-access
echo seen; read go
"""


def family(pid: int) -> list[int]:
    """A process and its descendants: Ansible's workers have sessions of their own."""
    pairs = [line.split() for line in subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.splitlines()]
    found = [pid]
    for parent in found:
        found += [int(child) for child, of in pairs if int(of) == parent]
    return found


def kill_between_change_and_confirmation(hosts: Any, begin: Callable[..., Any], then: str = "", **variables: Any) -> None:
    """Kill a controller between change and confirmation, then run a command through connections that were opened before."""
    watches = [client.open(WATCH + then) for client in hosts.clients.values()]
    for watch in watches:
        assert watch.stdout.readline() == "watching\n"
    running = begin(**DEAF, **variables)
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
    for client in hosts.clients.values():
        while client.ssh("true").returncode == 255:
            assert time.monotonic() < give_up, "the old state did not come back"
            time.sleep(1)
    assert hosts.state() == before
    assert hosts.undone() == {host: count + 1 for host, count in undone.items()}


def test_a_boot_restores_the_old_state(hosts: Any, begin: Callable[..., Any]) -> None:
    before = hosts.state()
    # A boot starts this unit.
    kill_between_change_and_confirmation(hosts, begin, "systemctl start host-access-undo.service", host_access_confirm_seconds=150)
    assert hosts.state() == before


def test_the_next_run_first_undoes_a_change_that_was_never_confirmed(hosts: Any, begin: Callable[..., Any]) -> None:
    before = hosts.state()
    kill_between_change_and_confirmation(hosts, begin, host_access_confirm_seconds=150)
    # Ansible's shared connections are still open.
    done = hosts.play()
    assert done.rc == 0, done.output
    assert "An earlier change was never confirmed. The old state was restored first." in " ".join(done.output.split())
    for host in hosts.clients:
        assert done.count("changed")[host] == 1
    assert hosts.state() == before


# Edits of sshd's files that take settings of the role out of effect, how each is reverted, and what is said.
OVERRULED = {
    "a file that is read first": ("echo 'PasswordAuthentication yes' > /etc/ssh/sshd_config.d/00-a-cloud.conf",
                                  "rm /etc/ssh/sshd_config.d/00-a-cloud.conf", "PasswordAuthentication is yes and not no"),
    "a line above the include": ("sed -i '1i PasswordAuthentication yes' /etc/ssh/sshd_config", "sed -i 1d /etc/ssh/sshd_config",
                                 "PasswordAuthentication is yes and not no"),
    "no include": ("sed -i 's/^Include/#Include/' /etc/ssh/sshd_config", "sed -i 's/^#Include/Include/' /etc/ssh/sshd_config",
                   "/etc/ssh/sshd_config does not include /etc/ssh/sshd_config.d/00-host-access.conf"),
}


@pytest.mark.parametrize(("edit", "revert", "reason"), OVERRULED.values(), ids=OVERRULED)
def test_a_setting_out_of_effect_fails_a_run_that_has_nothing_to_change(hosts: Any, edit: str, revert: str, reason: str) -> None:
    hosts.read(edit)
    done = [hosts.play(*options) for options in ((), ("--check",))]
    hosts.read(revert)
    for host, run in itertools.product(hosts.clients, done):
        assert NOTHING in run.failure(host)
        assert reason in run.failure(host)
    hosts.plays(changes=False)


def test_a_second_firewall_is_named(hosts: Any) -> None:
    hosts.read("mkdir -p /etc/ufw; echo ENABLED=yes > /etc/ufw/ufw.conf")
    before = hosts.state()
    done = hosts.play(host_access_tcp_ports=[80, 443, 8443])
    hosts.read("rm -r /etc/ufw")
    for host in hosts.clients:
        assert "ufw is active, and packets would have to pass both firewalls" in done.failure(host)
    assert hosts.state() == before


def test_a_service_that_the_firewall_closes_is_named(hosts: Any) -> None:
    hosts.read("systemd-run --quiet --collect --unit=other-service python3 -m http.server 8025; "
               "timeout 30 sh -c 'until ss -Hltn | grep -q :8025; do sleep 0.1; done'")
    done = hosts.play("--check", host_access_tcp_ports=[80, 443, 8443])
    opened = hosts.play("--check", host_access_tcp_ports=[80, 443, 8025])
    hosts.read("systemctl stop other-service")
    assert done.rc == 0 and opened.rc == 0, done.output + opened.output
    for host in hosts.clients:
        assert f"{host}: the firewall closes the ports of these services: tcp 8025 (python3)" in " ".join(done.output.split())
    assert "8025 (python3)" not in opened.output


def test_a_port_moves_in_two_steps(hosts: Any) -> None:
    def alias(address: str) -> str:
        return f"HostKeyAlias={address}"

    moved = {"ansible_port": 2222, "ansible_ssh_extra_args": "-o " + alias("{{ ansible_host }}")}
    hosts.plays(host_access_ssh_ports=[22, 2222])
    for client in hosts.clients.values():
        assert client.ssh("true", options=("-p", "2222", "-o", alias(client.server.target.address))).returncode == 0
    hosts.plays(host_access_ssh_ports=[2222], **moved)
    for client in hosts.clients.values():
        assert client.ssh("true").returncode == 255
    hosts.plays(host_access_ssh_ports=[22, 2222], **moved)
    hosts.plays()
    for client in hosts.clients.values():
        assert client.ssh("true").returncode == 0
