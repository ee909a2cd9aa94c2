"""The options of a release: one table for the modules, the build and the activation. No Ansible imports.

The role app_release has the defaults; this module has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

ANSIBLE_TYPES: dict[str, dict[str, str]] = {
    "str": {"type": "str"}, "int": {"type": "int"}, "bool": {"type": "bool"}, "Path": {"type": "path"},
    "list[str]": {"type": "list", "elements": "str"}, "dict[str, Any]": {"type": "dict"},
}
TOP_LEVEL = ("name", "by")  # arguments of the modules themselves


@dataclass(frozen=True)
class Options:
    """The options of a release and its activation, except the source. Times are seconds."""

    name: str
    by: str  # who deploys
    base: Path
    unit: str
    subdirectory: str
    wsgi: str
    shared: list[str]
    files: dict[str, Any]
    # the build
    static: dict[str, Any]
    build: list[str]
    requirements: str
    extras: list[str]
    groups: list[str]
    python_packages: list[str]
    gunicorn_requirements: str
    uv: str
    python: str
    index_url: str
    extra_index_urls: list[str]
    credentials_for_builds: bool
    ca_bundle: str
    build_timeout_seconds: int
    # before a release serves
    domains: list[str]
    body_max_mb: int
    policy: dict[str, Any]
    bandit: str
    prepare_once: list[str]
    prepare: list[str]
    pre_activate: list[str]
    post_activate: list[str]
    command_timeout_seconds: int
    inspection_timeout_seconds: int
    # the activation
    restart_on_change: list[str]
    health_path: str
    health_status: int
    health_timeout_seconds: int
    warm_up: list[str]
    fetch_pages: bool
    drain_seconds: int
    keep_releases: int

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> Options:
        """The options of a module's parameters."""
        options = dict(params["options"])
        return cls(name=params["name"], by=params["built_by"], **{**options, "base": Path(options["base"])})

    def as_dict(self) -> dict[str, Any]:
        """By name, for code that is given a mapping."""
        return asdict(self)


def argument_spec() -> dict[str, Any]:
    """The suboptions as a module declares them."""
    return {field.name: {**ANSIBLE_TYPES[str(field.type)], "required": True} for field in fields(Options) if field.name not in TOP_LEVEL}


ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "options": {"type": "dict", "required": True, "options": argument_spec()},
    "built_by": {"type": "str", "default": "unknown"},
}
