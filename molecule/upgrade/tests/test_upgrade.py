"""A host is upgraded to the next release of Debian in place: the site is served, alerts say what to do, and one run repairs the rest."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from host import plugin
from host.client import SteadyClient
from host.playbooks import Playbooks
from host.plugin import Server, Site
from host.waiting import wait_until
from testhosts import scenario

SOURCES = "sed -i s/bookworm/trixie/g /etc/apt/sources.list"
# As docs/upgrade.md says.
APT = "DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
UPGRADE = f"{APT} update && {APT} upgrade --without-new-pkgs && {APT} full-upgrade"
REMOVE_OLD = f"{APT} autoremove --purge"
TOOLS = "for tool in certbot pip-audit uv bandit; do /opt/$tool/current/bin/$tool --version >/dev/null || echo $tool; done"
PYTHONS = "for one in /opt/*/current /srv/shop/current/release/venv; do basename $(readlink -f $one/bin/python); done | sort -u"
# Of ten requests a second, those during restarts of nginx, which packages of the upgrade cause.
LOST_AT_MOST = 100
UPGRADE_SECONDS = 1800


@pytest.fixture(scope="module")
def server(servers: list[Server]) -> Server:
    """The host."""
    return servers[0]


@pytest.fixture(scope="module")
def site(server: Server) -> Site:
    """Its application."""
    return server.site("shop")


@pytest.fixture(scope="module")
def upgraded(server: Server, site: Site) -> Iterator[SteadyClient]:
    """The host after apt's upgrade, before its reboot, and a client that made requests all the time."""
    server.host.check_output("session-store-cli shop set before-the-upgrade kept")
    server.host.check_output(SOURCES)
    wait_until(lambda: "python/upgrade" in alerts(server), 150, "the alert before the upgrade")
    client = SteadyClient(site)
    client.start()
    # In a unit of its own: sshd is upgraded too.
    server.host.check_output("systemd-run --quiet --unit=upgrade --remain-after-exit sh -c %s", f"({UPGRADE}) </dev/null >/var/log/upgrade 2>&1")
    wait_until(lambda: state(server) not in ("", "running"), UPGRADE_SECONDS, "the end of apt's upgrade", interval=2)
    client.stop()
    assert state(server) == "exited", server.host.run("tail -n 50 /var/log/upgrade").stdout
    yield client


@pytest.fixture(scope="module")
def rebooted(server: Server, upgraded: SteadyClient, pytestconfig: pytest.Config) -> Server:
    """The upgraded host after a reboot, which gives it another address."""
    hosts = scenario()
    subprocess.run(["podman", "restart", "--time", "30", hosts.container(server.name)], check=True, capture_output=True)
    hosts.up()
    plugin._servers.cache_clear()
    again = plugin.chosen(pytestconfig)[0]
    wait_until(lambda: again.host.run("true").rc == 0, 60, "a connection")
    return again


@pytest.fixture(scope="module")
def repaired(rebooted: Server, playbooks: Playbooks) -> Server:
    """The host after one run."""
    playbooks.good("host")
    playbooks.good("site")
    return rebooted


def state(server: Server) -> str:
    """The state of apt's upgrade; empty while sshd restarts."""
    try:
        return str(server.host.run("systemctl show --property=SubState --value upgrade").stdout.strip())
    except RuntimeError:
        return ""


def responds(server: Server) -> bool:
    """Whether the application responds."""
    site = server.site("shop")
    try:
        return site.get(site.app.health_path).status == 200
    except OSError:
        return False


def alerts(server: Server) -> str:
    """The alerts that are in force."""
    return str(server.host.run("alarm-channel status").stdout)


def test_the_site_is_served_during_the_upgrade(upgraded: SteadyClient, server: Server) -> None:
    assert server.host.check_output("cut -d. -f1 /etc/debian_version") == "13"
    assert upgraded.answers > 500 and len(upgraded.failures) <= LOST_AT_MOST, (upgraded.answers, upgraded.failures[:20])


def test_the_site_and_the_tools_work_after_the_reboot_with_the_old_python(rebooted: Server) -> None:
    wait_until(lambda: responds(rebooted), 60, "the site")
    assert rebooted.host.check_output(PYTHONS) == "python3.11"
    assert rebooted.host.check_output(TOOLS) == ""
    wait_until(lambda: "python/python3.11" in alerts(rebooted), 150, "the alert after the upgrade")


def test_one_run_makes_all_environments_again(repaired: Server) -> None:
    assert repaired.host.check_output(PYTHONS) == "python3.13"
    assert repaired.host.check_output(TOOLS) == ""
    assert responds(repaired)
    wait_until(lambda: "python/" not in alerts(repaired), 150, "the end of the alerts")


def test_sessions_are_kept(repaired: Server) -> None:
    # Redis 7 wrote them, then Redis 8, and Valkey reads them.
    assert repaired.host.check_output("session-store-cli shop get before-the-upgrade") == "kept"
    assert repaired.host.check_output("systemctl show --property=ExecStart --value session-store@shop.service | grep -o 'argv..=valkey-server'")


def test_a_second_run_changes_nothing(repaired: Server, playbooks: Playbooks) -> None:
    for name in ("host", "site"):
        run = playbooks.good(name)
        assert set(run.count("changed").values()) == {0}, run.output


def test_the_old_python_can_be_removed(repaired: Server, playbooks: Playbooks) -> None:
    repaired.host.check_output(f"({REMOVE_OLD}) </dev/null >/var/log/upgrade 2>&1")
    assert not repaired.host.file("/usr/bin/python3.11").exists
    repaired.host.check_output("systemctl restart 'gunicorn-shop@*.service' nginx")
    wait_until(lambda: responds(repaired), 60, "the site")
    playbooks.good("status")


def test_a_host_whose_python_was_removed_first_is_repaired_by_one_run(repaired: Server, playbooks: Playbooks) -> None:
    repaired.host.check_output("ln -sfn /usr/bin/python3.11 /opt/certbot/current/bin/python; ln -sfn /usr/bin/python3.11 "
                               "$(readlink -f /srv/shop/current)/release/venv/bin/python")
    run = playbooks.good("site")
    assert run.count("changed")[repaired.name] > 0
    assert responds(repaired) and repaired.host.check_output(TOOLS) == ""
