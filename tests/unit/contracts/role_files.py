"""The files of every role, as text and as data, for the tests of contracts."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.bulwark.flask.tests.unit import support

ROLES = sorted(path.name for path in support.ROLES.iterdir())
# `{{ flask_app.section.option | default(literal) }}`: what an application's entry leaves out.
LITERAL = re.compile(r"\{\{ flask_app(\.\w+)+ \| default\((?P<literal>[^_].*)\) \}\}")


class _Loader(yaml.CSafeLoader):
    pass


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def load(role: str, part: str) -> dict[str, Any]:
    path = support.ROLES / role / part
    return yaml.load(path.read_text(), _Loader) or {} if path.exists() else {}


def entry_points(role: str) -> dict[str, Any]:
    return load(role, "meta/argument_specs.yml")["argument_specs"]


def spec(role: str) -> dict[str, Any]:
    return entry_points(role)["main"]["options"]


def defaults(role: str) -> dict[str, Any]:
    return load(role, "defaults/main.yml")


def files(role: str, *parts: str, suffixes: tuple[str, ...] = (".yml", ".j2", ".py", ".sh")) -> list[Path]:
    return [path for part in parts for path in sorted((support.ROLES / role / part).rglob("*")) if path.suffix in suffixes]


def text(role: str, *parts: str) -> str:
    return "\n".join(path.read_text() for path in files(role, *parts))


def templates(*roles: str) -> list[tuple[str, str]]:
    """Those that make a file; what is in a directory below is a part of one."""
    return [(role, path.name) for role in roles or ROLES for path in files(role, "templates") if path.parent.name == "templates"]


@functools.cache
def _template_words(role: str, template: str) -> frozenset[str]:
    """The words of a template and of every part that it could include."""
    parts = [path for path in (support.ROLES / role / "templates").rglob("*") if path.is_file() and (path.name == template or path.parent.name != "templates")]
    return frozenset(re.findall(r"\w+", " ".join(path.read_text() for path in parts)))


def mentions(role: str, template: str, names: set[str]) -> bool:
    """Whether a template, or a part that it could include, has one of the names."""
    return not names.isdisjoint(_template_words(role, template))


def tasks(path: Path) -> list[dict[str, Any]]:
    """All tasks of a file, those of blocks too."""
    found, stack = [], list(yaml.load(path.read_text(), _Loader) or [])
    while stack:
        task = stack.pop(0)
        found.append(task)
        stack = [inner for part in ("block", "rescue", "always") for inner in task.get(part, [])] + stack
    return found
