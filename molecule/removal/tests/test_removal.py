"""A host is as it was before the first run once everything is removed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from host.playbooks import Playbooks, Run
from host.plugin import Server
from snapshot import SNAPSHOT, differences


@pytest.fixture(scope="module")
def before(servers: list[Server]) -> dict[str, Any]:
    """The hosts before the first run."""
    return {server.name: server.ask(SNAPSHOT) for server in servers}


@pytest.fixture(scope="module")
def deployed(before: dict[str, Any], servers: list[Server], playbooks: Playbooks) -> None:
    """The hosts with everything of the collection."""
    playbooks.good("host")
    playbooks.good("site")
    for server in servers:
        assert all(server.site(app.name).get(app.health_path).status == 200 for app in server.target.apps)


@pytest.fixture(scope="module")
def listed(deployed: None, playbooks: Playbooks) -> Run:
    """A run that only lists."""
    return playbooks.run("remove", everything=True)


def test_without_the_word_it_is_a_list_and_nothing_is_changed(listed: Run, servers: list[Server]) -> None:
    assert listed.rc != 0 and "add -e confirm=everything" in listed.words
    listed.says("/etc/systemd/system/gunicorn-shop@.service", "/etc/acme-cert", "user alarm-channel", "unit host-access-firewall.service")
    for server in servers:
        assert all(server.site(app.name).get(app.health_path).status == 200 for app in server.target.apps)


@pytest.fixture
def without_records(listed: Run, servers: list[Server]) -> Iterator[None]:
    """Hosts as of before the former state was recorded."""
    for server in servers:
        server.host.check_output("mv /var/lib/file_set/former /var/lib/former")
    yield
    for server in servers:
        server.host.check_output("mv /var/lib/former /var/lib/file_set/former")


def test_a_host_of_before_there_were_records_is_told_what_is_unknown(without_records: None, playbooks: Playbooks) -> None:
    run = playbooks.good("remove", "--check", everything=True)
    unknown = "whether it was there before the first run is not recorded"
    for what in ("package fail2ban", "/etc/acme-cert"):
        known = f"{what}: {unknown}" in run.words or f"{what} is removed: {unknown}" in run.words or f"{what} as it is:" in run.words
        assert known, f"{what}: {[line for line in run.output.splitlines() if what in line]}"


LOCKED = "/etc/ssh/sshd_config.d/40-locked.conf"


def test_nothing_is_removed_when_the_former_configuration_of_sshd_would_lock_out(listed: Run, servers: list[Server], playbooks: Playbooks) -> None:
    for server in servers:
        server.host.check_output(f"printf 'PubkeyAuthentication no\\nPasswordAuthentication no\\nKbdInteractiveAuthentication no\\n' > {LOCKED}")
    run = playbooks.run("remove", everything=True, confirm="everything")
    assert run.rc != 0
    for server in servers:
        server.host.check_output(f"rm {LOCKED}")
        assert "Nothing was removed: root could not log in with the former configuration of sshd" in run.failure(server.name)
        assert all(server.site(app.name).get(app.health_path).status == 200 for app in server.target.apps)


@pytest.fixture(scope="module")
def removed(listed: Run, playbooks: Playbooks) -> Run:
    """The run that removes everything."""
    predicted = playbooks.run("remove", "--check", everything=True)
    assert predicted.rc == 0, predicted.output
    return playbooks.good("remove", everything=True, confirm="everything", data="delete", archive=False, logs="delete")


def test_nothing_of_ours_is_left_and_nothing_of_others_is_touched(removed: Run, before: dict[str, Any], servers: list[Server]) -> None:
    found = {server.name: differences(before[server.name], server.ask(SNAPSHOT)) for server in servers}
    assert not any(found.values()), "\n".join(f"{name}: {line}" for name, lines in found.items() for line in lines)


def test_the_site_of_others_is_served(removed: Run, servers: list[Server]) -> None:
    for server in servers:
        if server.name == "debian13":
            assert dataclasses.replace(server.outside, http_port=8080).http("other.example").body == b"the other site\n"


def test_a_second_run_finds_nothing(removed: Run, playbooks: Playbooks) -> None:
    run = playbooks.good("remove", everything=True, confirm="everything")
    run.says("nothing of this collection is on this host")
    assert set(run.count("changed").values()) == {0}
