"""The playbooks run again while clients are connected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from host.playbooks import Playbooks, Run
from host.plugin import Server


@pytest.fixture(scope="session")
def verbose(inventories: list[str]) -> Playbooks:
    """Runs playbooks with all that Ansible can print."""
    return Playbooks(inventories, "-vvv", "--diff")


@pytest.fixture(scope="session")
def play(verbose: Playbooks) -> Callable[..., Run]:
    """Run a playbook on all hosts of the scenario."""
    def run(playbook: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Run:
        return verbose.run(playbook, *arguments, environment=environment)
    return run


@pytest.fixture(scope="session")
def printed(verbose: Playbooks) -> Callable[[], bytes]:
    """Everything the playbooks have printed up to now."""
    return lambda: "\n".join(verbose.printed).encode()


@pytest.fixture(scope="session")
def everywhere(servers: list[Server]) -> Callable[[Callable[[Server], Any]], dict[str, Any]]:
    """Do something on every host, by its name."""
    return lambda what: {server.name: what(server) for server in servers}
