"""The playbook, step by step."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from host.playbooks import Playbooks, Run
from host.plugin import Server, Site
from steps import ROOT, STATE, STEPS, play


@pytest.fixture(scope="session")
def broken_sources() -> None:
    """Applications of examples/ with one thing wrong in each."""
    changed = "sha256:" + "0" * 64
    for name, file, old, new in (("changed-package", "requirements.txt", r"(?<=\n)(flask==\S+)(?: \\\n +--hash=\S+)+", rf"\1 --hash={changed}"),
                                 ("not-importable", "minimal.py", "from flask import Flask", "from flask import Flask, Flusk")):
        folder = STATE / f"failures-{name}"
        folder.mkdir(exist_ok=True)
        for path in (ROOT / "examples" / "minimal").glob("*.*"):
            text = path.read_text(encoding="utf-8")
            (folder / path.name).write_text(re.sub(old, new, text) if path.name == file else text, encoding="utf-8")


@pytest.fixture(scope="session")
def step(broken_sources: None) -> Callable[[str], Run]:
    """The run of a step; those before it have run."""
    runs: dict[str, Run] = {}

    def reach(name: str) -> Run:
        for known in list(STEPS)[:list(STEPS).index(name) + 1]:
            if known not in runs:
                runs[known] = play(STEPS[known])
                (ROOT / "build" / "logs" / f"failures-{known.replace(' ', '-')}.log").write_text(runs[known].output, encoding="utf-8")
        return runs[name]

    return reach


@pytest.fixture(scope="session")
def after(step: Callable[[str], Run]) -> Callable[[str], Callable[..., Run]]:
    """Runs playbooks on a host, after all steps."""
    step("again")
    inventories = [ROOT / "molecule/inventory", ROOT / "molecule/failures/inventory", STATE / "failures-step.json"]
    playbooks = Playbooks([str(path) for path in inventories])
    return lambda host: lambda name, *options: playbooks.run(name, f"--limit={host}", *options)


@pytest.fixture(scope="session")
def at(servers: list[Server]) -> Callable[[str, str], Any]:
    """The site of an application on a host."""
    sites = {(server.name, app.name): Site(server, app) for server in servers for app in server.target.apps}
    return lambda host, app="shop": sites[host, app]
