"""Virtual environments for tests, made once for a checkout."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

from ansible_collections.bulwark.flask.tests.unit.checkout import ROOT


def environment(name: str, lock: Path) -> Path:
    """The directory `bin` of a virtual environment below build/ with the packages of a lock file."""
    venv = ROOT / "build" / name
    venv.parent.mkdir(exist_ok=True)
    with open(venv.with_suffix(".lock"), "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        made = venv / "made"
        if not made.exists() or made.read_bytes() != lock.read_bytes():
            for command in (["venv", "--quiet", "--clear", "--python", sys.executable, venv],
                            ["pip", "install", "--quiet", "--python", venv, "--require-hashes", "--requirements", lock]):
                subprocess.run(["uv", *map(str, command)], check=True)
            made.write_bytes(lock.read_bytes())
    return venv / "bin"
