"""What only this scenario does to a host."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]

CLI = "/usr/local/sbin/session-store-cli"


@pytest.fixture
def cli() -> Callable[..., str]:
    """Give the store a command as its administrator."""
    def run(server: Any, *words: str) -> str:
        return server.host.check_output(" ".join([CLI, *["%s"] * len(words)]), *words).strip()
    return run


@pytest.fixture(scope="session")
def play() -> Callable[..., int]:
    """Run the role alone, or another playbook of the scenario, with variables; the number of changes."""
    def run(server: Any, *options: str, playbook: str = "role.yml", **variables: Any) -> int:
        inventory = [f"--inventory={ROOT}/molecule/inventory", f"--inventory={HERE.parent}/inventory"]
        done = subprocess.run(
            ["ansible-playbook", *inventory, f"--limit={server.name}", f"--extra-vars={json.dumps(variables)}", *options,
             str(HERE.parent / playbook)], capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        return int(re.search(r"changed=(\d+)", done.stdout)[1])
    return run
