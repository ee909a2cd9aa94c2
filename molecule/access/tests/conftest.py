"""What only this scenario does to a host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from host.plugin import chosen

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]

# Everything the role decides, as the host has it. What was undone leaves no trace in it.
STATE = """
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
class Way:
    """Connections to one host, each a new one."""

    server: Any

    def words(self, *command: str, options: tuple[str, ...] = ()) -> list[str]:
        """What an operator would type; nothing is shared with another connection."""
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
        """What a command prints, through a new connection; tried again while the host is between two states."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            done = self.ssh(command)
            if done.returncode != 255 or time.monotonic() > give_up:
                assert done.returncode != 255, f"no new connection: {done.stderr}"
                return done.stdout
            time.sleep(1)


@dataclass(frozen=True)
class Played:
    """A run of the role on all hosts."""

    returncode: int
    output: str

    def failure(self, host: str) -> str:
        """What one host's failure says, in one line."""
        found = re.findall(rf"^fatal: \[{host}\]:.*?(?=^fatal: |^PLAY RECAP)", self.output, re.MULTILINE | re.DOTALL)
        return " ".join(" ".join(found).split())

    def recap(self, host: str) -> str:
        """The counts of one host."""
        return next(line for line in reversed(self.output.splitlines()) if line.startswith(f"{host} ") and "ok=" in line)


@dataclass(frozen=True)
class Hosts:
    """All hosts at once: one run of the role serves a test on each of them."""

    ways: dict[str, Way]

    def command(self, *options: str, **variables: Any) -> list[str]:
        """The role, with some settings changed."""
        inventory = [f"--inventory={ROOT}/molecule/inventory", f"--inventory={HERE.parent}/inventory"]
        given = {"host_access_confirm_seconds": 20, **variables}
        return ["ansible-playbook", *inventory, f"--limit={','.join(self.ways)}", f"--extra-vars={json.dumps(given)}", *options,
                str(HERE.parent / "access.yml")]

    def play(self, *options: str, environment: dict[str, str] | None = None, **variables: Any) -> Played:
        """Run it to its end."""
        done = subprocess.run(self.command(*options, **variables), capture_output=True, text=True, cwd=ROOT, check=False,
                              env={**os.environ, **(environment or {})})
        return Played(done.returncode, done.stdout + done.stderr)

    def plays(self, *options: str, changes: bool | None = None, **variables: Any) -> None:
        """Run it; it ends well."""
        done = self.play(*options, **variables)
        assert done.returncode == 0, done.output
        for host in self.ways:
            assert changes is None or ("changed=0 " not in done.recap(host)) == changes, done.output

    def read(self, command: str) -> dict[str, str]:
        """What a command prints on each."""
        return {host: way.read(command) for host, way in self.ways.items()}

    def state(self) -> dict[str, str]:
        """How each is reached."""
        return self.read(STATE)

    def undone(self) -> dict[str, int]:
        """How often an old state was put back."""
        return {host: int(text) for host, text in self.read(UNDONE).items()}


@pytest.fixture
def way(server: Any) -> Way:
    """New connections to the host."""
    return Way(server)


@pytest.fixture(scope="session")
def hosts(request: pytest.FixtureRequest) -> Hosts:
    """All of them."""
    return Hosts({server.name: Way(server) for server in chosen(request.config)})


@pytest.fixture
def begin(hosts: Hosts) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Begin a run that can be killed with all its processes."""
    running: list[subprocess.Popen[bytes]] = []

    def run(**variables: Any) -> subprocess.Popen[bytes]:
        running.append(subprocess.Popen(hosts.command(**variables), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.wait()
