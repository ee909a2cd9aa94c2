"""What the roles of this collection declare: the options of their main entry points, and their defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.bulwark.flask.plugins.plugin_utils import yaml_source

ROLES = Path(__file__).resolve().parents[2] / "roles"


@lru_cache(maxsize=None)
def _load(role: str, part: str) -> dict[str, Any]:
    path = ROLES / role / part
    # The loader is a SafeLoader.
    return yaml.load(path.read_text(encoding="utf-8"), yaml_source.Loader) or {} if path.exists() else {}  # noqa: S506


@lru_cache(maxsize=None)
def specs() -> dict[str, Any]:
    """The options of every role's main entry point."""
    files = {path.name: _load(path.name, "meta/argument_specs.yml") for path in sorted(ROLES.iterdir())}
    return {role: spec["argument_specs"]["main"]["options"] for role, spec in files.items() if spec}


def defaults(role: str) -> dict[str, Any]:
    """The defaults of a role, as they are written."""
    return _load(role, "defaults/main.yml")


# Ansible imports this module once and forks a worker for each task: all of them share what is read here.
for _role in specs():
    defaults(_role)


def set_by_operator(role: str, variables: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Variables with the role's prefix whose values differ from the role's defaults."""
    known = defaults(role)
    return ((name, raw) for name, raw in variables.items()
            if name.startswith(f"{role}_") and not (name in known and raw == known[name]))
