"""Fixtures of this scenario."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from host.playbooks import Playbooks, Run
from host.plugin import Server

ROLE = "molecule/access/access.yml"
SETTINGS = {"host_access_confirm_seconds": 20}

# The state of the host that the role sets. A change that was rolled back leaves no trace in it.
# An undo does not wait for fail2ban.
STATE = """
timeout 60 sh -c 'while systemctl is-active ssh host-access-firewall fail2ban | grep -q "ing$"; do sleep 0.2; done'
sha256sum /etc/ssh/sshd_config.d/* /etc/host-access/* /etc/fail2ban/jail.d/* /etc/fail2ban/filter.d/nginx-limits.conf
sha256sum /etc/systemd/system/host-access* /usr/local/sbin/host-access*
ls -d /etc/systemd/system/*.wants/host-access* /var/lib/host_access/*
sshd -T
nft --stateless --terse list table inet host_access
systemctl is-active ssh host-access-firewall fail2ban
systemctl list-timers --all --no-legend 'host-access*'
ss -Hltn 'sport = :22 or sport = :2222' | awk '{print $4}' | sort
"""
UNDONE = "journalctl --quiet --unit=host-access-undo --output=cat --grep='old state is back' | wc -l"
PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class SshClient:
    """Connections to one host, each a new one."""

    server: Any

    def words(self, *command: str, options: tuple[str, ...] = ()) -> list[str]:
        """Run a command over a new SSH connection."""
        target = self.server.target
        return ["ssh", "-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *options,
                *target.ssh_args.split(), "-i", target.key, f"{target.user}@{target.address}", *command]

    def ssh(self, *command: str, options: tuple[str, ...] = (), stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run something to its end."""
        words = self.words(*command, options=options)
        done = subprocess.run(words, input=stdin, capture_output=True, check=False, timeout=PATIENCE_SECONDS)
        return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())

    def open(self, command: str) -> subprocess.Popen[str]:
        """Begin something that is talked with."""
        return subprocess.Popen(self.words(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self, command: str) -> str:
        """The output of a command over a new connection; repeated while the host changes its state."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            done = self.ssh(command)
            if done.returncode != 255 or time.monotonic() > give_up:
                assert done.returncode != 255, f"no new connection: {done.stderr}"
                return done.stdout
            time.sleep(1)


@dataclass(frozen=True)
class Hosts:
    """All hosts at once: one run of the role serves a test on each of them."""

    clients: dict[str, SshClient]
    playbooks: Playbooks

    def play(self, *options: str, environment: dict[str, str] | None = None, **variables: Any) -> Run:
        """Run the role to its end, with some settings changed."""
        return self.playbooks.run(ROLE, *options, environment=environment, **{**SETTINGS, **variables})

    def begin(self, **variables: Any) -> subprocess.Popen[str]:
        """Begin a run."""
        return self.playbooks.start(ROLE, **{**SETTINGS, **variables})

    def plays(self, *options: str, changes: bool | None = None, **variables: Any) -> None:
        """Run it; it succeeds."""
        run = self.play(*options, **variables)
        assert run.rc == 0, run.output
        for host in self.clients:
            assert changes is None or (run.count("changed")[host] > 0) == changes, run.output

    def read(self, command: str) -> dict[str, str]:
        """The output of a command on each host."""
        return {host: client.read(command) for host, client in self.clients.items()}

    def state(self) -> dict[str, str]:
        """How each is reached."""
        return self.read(STATE)

    def undone(self) -> dict[str, int]:
        """How often an old state was put back."""
        return {host: int(text) for host, text in self.read(UNDONE).items()}


@pytest.fixture
def client(server: Server) -> SshClient:
    """New connections to the host."""
    return SshClient(server)


@pytest.fixture(scope="session")
def hosts(servers: list[Server], playbooks: Playbooks) -> Hosts:
    """All of them."""
    return Hosts({server.name: SshClient(server) for server in servers}, playbooks)


@pytest.fixture
def begin(hosts: Hosts) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Begin a run that can be killed with all its processes."""
    running: list[subprocess.Popen[str]] = []

    def run(**variables: Any) -> subprocess.Popen[str]:
        running.append(hosts.begin(**variables))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()
