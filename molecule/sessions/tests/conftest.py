"""The store, and runs of its role alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from host.playbooks import Playbooks

CLI = "/usr/local/sbin/session-store-cli"


@pytest.fixture
def cli() -> Callable[..., str]:
    """Give the store of a site a command as root."""
    def run(site: Any, *words: str) -> str:
        return site.server.host.check_output(" ".join([CLI, *["%s"] * (len(words) + 1)]), site.name, *words).strip()
    return run


@pytest.fixture(scope="session")
def play(playbooks: Playbooks) -> Callable[..., int]:
    """Run the role alone, or another playbook of the scenario, with variables; the number of changes."""
    def run(server: Any, *options: str, playbook: str = "role.yml", **variables: Any) -> int:
        done = playbooks.good(f"molecule/sessions/{playbook}", "--limit", server.name, *options, **variables)
        return done.count("changed")[server.name]
    return run
