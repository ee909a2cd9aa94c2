"""The suite's options and fixtures, and the host that plays the controller."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "verify"))
from suite import *  # noqa: E402, F403 - found by the line above; pytest looks for its hooks here


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The hosts by their names."""
    return {server.name: server for server in chosen(request.config)}  # noqa: F405 - from the suite


@pytest.fixture(scope="session")
def controller(servers: dict[str, Any]) -> Any:
    """Runs a command where Ansible and the built collection are."""
    return lambda command: servers["debian13"].host.run(f"cd /root/controller && export PATH=$PWD/venv/current/bin:$PATH && {command}")
