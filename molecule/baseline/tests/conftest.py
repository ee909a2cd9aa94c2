"""The playbook runs again after manual changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from host.playbooks import Playbooks
from host.plugin import Server

# Packages and manual changes of existing hosts. One of the packages is needed by another.
UNDONE = ("apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends tftpd-hpa nfs-common "
          "&& sysctl -qw net.ipv4.conf.all.accept_redirects=1 && mount -o remount,exec /dev/shm && mount -o remount,bind,exec /tmp "
          "&& mount -o remount,hidepid=0 /proc && (id -u open >/dev/null 2>&1 || useradd --no-create-home open) && passwd -q -d open "
          "&& systemctl disable --quiet --now cron apt-daily.timer && systemctl mask --quiet --now apt-daily-upgrade.timer "
          "&& echo 'APT::Periodic::Unattended-Upgrade \"0\";' > /etc/apt/apt.conf.d/20auto-upgrades")


@pytest.fixture(scope="session")
def again(servers: list[Server], playbooks: Playbooks) -> Callable[[], str]:
    """The output of the playbook when it ran over hosts that others had changed."""
    printed: list[str] = []

    def run() -> str:
        if not printed:
            for server in servers:
                done = server.host.run(UNDONE)
                assert done.rc == 0, done.stderr
            printed.append(playbooks.good("host").output)
        return printed[0]

    return run


@pytest.fixture
def person(server: Server) -> str:
    """An account of a person."""
    done = server.host.run("id person >/dev/null 2>&1 || useradd --create-home --shell /bin/sh person")
    assert done.rc == 0, done.stderr
    return "person"
