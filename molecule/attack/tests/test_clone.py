"""A clone that is stolen from the operator has no secret that the host has generated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from host.playbooks import ROOT
from host.plugin import Server

GENERATED = "sed -n 's/^[A-Z_]*=\"\\(.*\\)\"$/\\1/p' /etc/flask-secrets/*.generated.env"


def files() -> Iterator[Path]:
    """What the runs of this scenario could have written on the controller."""
    for top in (ROOT, Path.home() / ".ansible"):
        for folder, folders, names in os.walk(top):
            folders[:] = [name for name in folders if name not in (".venv", "checks")]
            yield from (path for name in names if (path := Path(folder, name)).is_file() and not path.is_symlink())


def test_no_generated_secret_is_on_the_controller(server: Server) -> None:
    values = [value.encode() for value in server.host.check_output(GENERATED).split()]
    assert len(values) >= 3 and all(len(value) >= 32 for value in values)
    leaks = []
    for path in files():
        content = path.read_bytes()
        leaks += [str(path)] * any(value in content for value in values)
    assert leaks == []
