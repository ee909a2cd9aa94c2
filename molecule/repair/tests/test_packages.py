"""Packages are installed whatever else uses apt, and a run that was killed leaves nothing that the next one does not repair."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from host.playbooks import Playbooks, Run
from host.plugin import Server

INSTALL = "molecule/repair/packages.yml"
POLICY = "/usr/sbin/policy-rc.d"
OLD_LISTS = "touch -d '2 hours ago' /var/lib/apt/lists"
HOLD = ("systemd-run --quiet --collect --unit=lists-holder python3 -c "
        "'import fcntl, time; f = open(\"/var/lib/apt/lists/lock\", \"w\"); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(%d)'; sleep 1")
# What a power cut in the middle leaves: a package that is unpacked, and a status that is not merged.
INTERRUPT = ("cd /tmp && apt-get -qq update && apt-get -qq download tree && dpkg --unpack tree_*.deb && "
             "dpkg --status tree > /var/lib/dpkg/updates/0001 && rm tree_*.deb")
BROKEN = "/etc/apt/sources.list.d/other.list"
# Kill the module and apt-get as soon as services are held back.
KILL = r'''
import signal, time
deadline = time.monotonic() + 90
while not os.path.exists("/usr/sbin/policy-rc.d"):
    assert time.monotonic() < deadline, "no run came"
    time.sleep(0.01)
apt = []
while not apt:
    assert time.monotonic() < deadline, "apt-get was not called"
    apt = output("pgrep", "-o", "-x", "apt-get").decode().split()
module = int(output("ps", "-o", "ppid=", "-p", apt[0]))
os.kill(module, signal.SIGKILL)
for program in ("apt-get", "dpkg"):
    output("pkill", "-KILL", "-x", program)
print(json.dumps(open("/usr/sbin/policy-rc.d").read()))
'''


@pytest.fixture
def host(server: Server) -> Iterator[Any]:
    """A host without the package."""
    clean = f"DEBIAN_FRONTEND=noninteractive apt-get -qq purge tree >/dev/null 2>&1; rm -f {BROKEN} {POLICY}"
    server.host.run(clean)
    yield server.host
    server.host.run(clean)


def installed(server: Server, playbooks: Playbooks) -> Run:
    """A run after which the package is there and no service is held back."""
    run = playbooks.good(INSTALL, "--limit", server.name)
    assert server.host.run("dpkg-query -W -f='${db:Status-Status}' tree").stdout == "installed"
    assert not server.host.file(POLICY).exists
    return run


def test_a_run_waits_while_another_process_holds_the_lists(server: Server, playbooks: Playbooks, host: Any) -> None:
    host.check_output(f"{OLD_LISTS}; {HOLD % 30}")
    began = time.monotonic()
    installed(server, playbooks)
    assert time.monotonic() - began > 20


def test_a_killed_run_holds_no_service_back(server: Server, playbooks: Playbooks, host: Any) -> None:
    host.check_output(OLD_LISTS)
    running = playbooks.start(INSTALL, "--limit", server.name)
    left = server.ask(KILL)
    output, _ = running.communicate(timeout=120)
    assert running.returncode != 0, output
    assert "bulwark.flask" in left and host.file(POLICY).exists
    # Without effect from the moment at which the run ended, and removed by the next.
    assert host.run(f"{POLICY} nginx restart").rc == 0
    installed(server, playbooks)


def test_an_interrupted_dpkg_is_completed(server: Server, playbooks: Playbooks, host: Any) -> None:
    host.check_output(INTERRUPT)
    assert "dpkg was interrupted" in host.run("apt-get -q -y install tree").stderr
    assert "An earlier run of dpkg was interrupted" in installed(server, playbooks).words


def test_a_broken_repository_of_others_is_reported_and_debians_packages_are_installed(server: Server, playbooks: Playbooks, host: Any) -> None:
    host.check_output(f"echo 'deb file:/nonexistent stable main' > {BROKEN}; {OLD_LISTS}")
    assert host.run("apt-get -qq update").rc != 0
    host.check_output(OLD_LISTS)
    run = installed(server, playbooks)
    assert "file:/nonexistent" in run.words and "The packages were installed from the other lists." in run.words


@pytest.fixture
def another_clock(host: Any) -> Iterator[dict[str, str]]:
    """The environment of programs whose clock is two years behind, on a host that has no package lists."""
    host.check_output("apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends faketime >/dev/null 2>&1 "
                      "&& rm -rf /var/lib/apt/lists/*")
    yield {"LD_PRELOAD": host.check_output("ls /usr/lib/*/faketime/libfaketime.so.1"), "FAKETIME": "-730d"}
    host.check_output("apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq purge --autoremove faketime >/dev/null 2>&1")


def test_a_clock_that_is_behind_is_named(server: Server, playbooks: Playbooks, host: Any, another_clock: dict[str, str]) -> None:
    run = playbooks.run(INSTALL, "--limit", server.name, test_environment=another_clock)
    assert run.rc != 0 and "The clock of this host is behind: it shows 20" in run.words
    assert ", and /var/lib/" in run.words or ", and /etc/machine-id is of" in run.words or "dpkg" in run.words
