"""The playbooks run again while visitors are there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from host.plugin import Server, chosen

ROOT = Path(__file__).resolve().parents[3]


ALL_OUTPUT: list[bytes] = []


@pytest.fixture(scope="session")
def play() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a playbook on all hosts of the scenario, with all that Ansible can print."""
    inventories = [str(ROOT / "molecule" / "inventory"), str(ROOT / "molecule" / "secrets" / "inventory")]

    def run(playbook: str, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        only = ["--limit", os.environ["BULWARK_ONLY"]] if os.environ.get("BULWARK_ONLY") else []
        command = ["ansible-playbook", *[f"--inventory={path}" for path in inventories], playbook, "-vvv", "--diff", *only, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT,
                              env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"} | (environment or {}))
        ALL_OUTPUT.append((done.stdout + done.stderr).encode())
        return done

    return run


@pytest.fixture(scope="session")
def printed() -> Callable[[], bytes]:
    """Everything the playbooks have printed up to now."""
    return lambda: b"\n".join(ALL_OUTPUT)


@pytest.fixture(scope="session")
def everywhere(request: pytest.FixtureRequest) -> Callable[[Callable[[Server], Any]], dict[str, Any]]:
    """Do something on every host, by its name."""
    return lambda what: {server.name: what(server) for server in chosen(request.config)}

