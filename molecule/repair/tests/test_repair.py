"""What is deleted, stopped or removed on a host comes back with the next run, and the run after it changes nothing."""

from __future__ import annotations

from typing import Any

import on_host
import pytest
from host.playbooks import Playbooks
from host.plugin import Server
from host.waiting import wait_until

# Beside what the records name: certificates, what was generated, the sockets' directories.
MORE = ["/etc/acme-cert", "/etc/flask-secrets", "/run/session-stores", "/run/pip-audit"]


@pytest.fixture(scope="module")
def before(servers: list[Server]) -> dict[str, Any]:
    """The hosts as the playbooks left them."""
    found = {server.name: server.ask(on_host.STATE) for server in servers}
    for state in found.values():
        state["paths"] = {path: is_there for path, is_there in state["paths"].items() if is_there}
        assert len(state["paths"]) > 80 and len(state["units"]) > 8 and len(state["users"]) > 3, state
        assert None not in state["users"].values()
    return found


def repaired(server: Server, before: dict[str, Any]) -> None:
    """Everything is as it was, and the site responds."""
    now = server.ask(on_host.STATE)
    for kind, wanted in before.items():
        # The live instance is another one.
        different = {key: (value, now[kind].get(key)) for key, value in wanted.items() if value != now[kind].get(key) and "/instances/" not in key}
        assert different == {}, f"{kind} of {server.name}: was, is"
    for app in server.target.apps:
        wait_until(lambda: server.site(app.name).get(app.health_path).status == 200, 20, f"{app.name} responds")  # noqa: B023 - called here


def site(playbooks: Playbooks, servers: list[Server], before: dict[str, Any], *names: str) -> None:
    """One run repairs, another changes nothing."""
    for name in names:
        playbooks.good(name)
    for server in servers:
        repaired(server, before[server.name])
    for name in names:
        run = playbooks.good(name)
        assert set(run.count("changed").values()) == {0}, run.output


def test_sockets_that_were_deleted_are_listened_on_again(playbooks: Playbooks, servers: list[Server], before: dict[str, Any]) -> None:
    for server in servers:
        assert len(server.ask(on_host.REMOVE_SOCKETS)) >= 3
    site(playbooks, servers, before, "site")


def test_everything_that_the_records_name_comes_back_at_once(playbooks: Playbooks, servers: list[Server], before: dict[str, Any]) -> None:
    for server in servers:
        gone = server.ask(on_host.TAKE_AWAY, more=MORE, packages=["nginx"])
        now = server.ask(on_host.STATE)
        assert not [path for path in gone["users"] if now["users"][path]]
        assert len([path for path, state in now["paths"].items() if state]) < len(now["paths"]) / 4
    site(playbooks, servers, before, "host", "site")
