"""The playbook run again over what somebody changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from host.plugin import Server, chosen

ROOT = Path(__file__).resolve().parents[3]


# What the hosts of others have on them, and what somebody changes by hand. One of the packages is needed by another.
UNDONE = ("apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends tftpd-hpa nfs-common "
          "&& sysctl -qw net.ipv4.conf.all.accept_redirects=1 && mount -o remount,exec /dev/shm && mount -o remount,bind,exec /tmp "
          "&& mount -o remount,hidepid=0 /proc && (id -u open >/dev/null 2>&1 || useradd --no-create-home open) && passwd -q -d open "
          "&& echo 'APT::Periodic::Unattended-Upgrade \"0\";' > /etc/apt/apt.conf.d/20auto-upgrades")


@pytest.fixture(scope="session")
def again(request: pytest.FixtureRequest) -> Callable[[], str]:
    """What the playbook printed when it ran over hosts that others had their hands on."""
    printed: list[str] = []

    def run() -> str:
        if not printed:
            for server in chosen(request.config):
                done = server.host.run(UNDONE)
                assert done.rc == 0, done.stderr
            only = ["--limit", os.environ["BULWARK_ONLY"]] if os.environ.get("BULWARK_ONLY") else []
            done = subprocess.run(["ansible-playbook", "-i", "molecule/inventory", "-i", "molecule/baseline/inventory", *only,
                                   "playbooks/host.yml"], cwd=ROOT, capture_output=True, text=True, check=False,
                                  env={**os.environ, "ANSIBLE_VERBOSITY": "0", "ANSIBLE_DIFF_ALWAYS": "false"})
            assert done.returncode == 0, done.stdout[-3000:]
            printed.append(done.stdout)
        return printed[0]

    return run


@pytest.fixture
def person(server: Server) -> str:
    """An account of somebody who logs in."""
    done = server.host.run("id visitor >/dev/null 2>&1 || useradd --create-home --shell /bin/sh visitor")
    assert done.rc == 0, done.stderr
    return "visitor"
