"""The gunicorn of the releases."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.tests.unit import support

VENV = support.ROOT / "build" / "gunicorn"
LOCK = support.ROOT / "roles/app_release/files/gunicorn.txt"


@pytest.fixture(scope="session")
def python() -> Path:
    """An interpreter with the gunicorn of the releases."""
    VENV.parent.mkdir(exist_ok=True)
    with open(VENV.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = VENV / "made"
        if not made.exists() or made.read_bytes() != LOCK.read_bytes():
            for command in (["venv", "--quiet", "--clear", "--python", sys.executable, VENV],
                            ["pip", "install", "--quiet", "--python", VENV, "--require-hashes", "--requirements", LOCK]):
                subprocess.run(["uv", *map(str, command)], check=True)
            made.write_bytes(LOCK.read_bytes())
    return VENV / "bin" / "python"
