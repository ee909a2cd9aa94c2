"""Digests of the inputs of site.yml: everything from which its roles make what a host gets.

A contract test compares the facts and the variables here with what the roles read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from ansible import constants
from ansible.release import __version__
from ansible_collections.bulwark.flask.plugins.filter.app_entries import app_entries
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.source import kinds
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.unpack import ArchiveError
from ansible_collections.bulwark.flask.plugins.plugin_utils import role_files, values

HOST = ""
COLLECTION = Path(__file__).resolve().parents[2]
# What the roles read besides the variables of roles and flask_apps.
FACTS = ("distribution_major_version", "dns", "lo")
OTHERS = ("inventory_hostname", "ansible_managed")
# Options with which an application is never up to date: their values are files of the controller, or a module that keeps
# no arguments gets them.
UNKNOWN = {
    "nginx_site": ("template", "maintenance_page"),
    "acme_cert": ("requirements", "provided_chain", "provided_key"),
    "app_secrets": ("credentials", "files"),
}


@lru_cache(maxsize=None)
def _of_collection() -> str:
    """A digest of the roles, plugins and playbooks."""
    found = hashlib.sha256()
    for folder in ("plugins", "roles", "playbooks"):
        for path in sorted((COLLECTION / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                found.update(f"{path.relative_to(COLLECTION)}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _is_known(entry: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether everything that the roles make of an entry depends on values alone, and each call keeps its arguments."""
    source = given.get("acme_cert_source") or (entry.get("acme_cert") or {}).get("source") or "acme"
    options = [(role, name) for role, names in UNKNOWN.items() for name in names]
    return source == "acme" and not any(
        given.get(f"{role}_{name}") or (entry.get(role) or {}).get(name) or name == "files" and entry.get(name) for role, name in options)


def _digest(*things: Any) -> str:
    return hashlib.sha256(json.dumps(things, sort_keys=True, default=str).encode()).hexdigest()


class Inputs:
    """The inputs of a host, with all templates rendered. Without any, where one cannot be read."""

    def __init__(self, templar: Any, variables: Mapping[str, Any]) -> None:
        self.variables = variables
        problems: list[str] = []
        self.given = {name: values.read(templar, name, raw, problems)
                      for role in role_files.specs() for name, raw in role_files.set_by_operator(role, variables)}
        apps, defaults = (values.read(templar, name, variables.get(name, {}), problems) for name in ("flask_apps", "flask_app_defaults"))
        is_readable = not problems and isinstance(apps, Mapping)
        self.entries = {entry["name"]: entry for entry in app_entries(apps, defaults or {})} if is_readable else {}

    def source_secrets(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The secrets with which the host asks for the sources of these applications."""
        found = {}
        for name in names:
            with suppress(ReleaseError, KeyError):  # the role that reads the source reports it
                found[name] = kinds.parse(self.entries[name]["source"], on_controller=True).split_secrets()[1]
        return {name: secrets for name, secrets in found.items() if secrets}

    def digests(self) -> dict[str, str]:
        """A digest for each application, and one for the host. What depends on more than values has none.

        They tell inputs apart and are no secret of their own, but who knows all other inputs could try values of a short secret:
        they go to the host only.
        """
        facts, entries = self.variables.get("ansible_facts", {}), self.entries
        managed = constants.config.get_config_value("DEFAULT_MANAGED_STR")
        common = [_of_collection(), __version__, jinja2.__version__, managed, self.given, sorted(entries),
                  {name: facts.get(name) for name in FACTS}, {name: self.variables.get(name) for name in OTHERS}]
        found = {HOST: _digest(*common, entries)} if entries else {}
        for name, entry in entries.items():
            with suppress(ReleaseError, ArchiveError, OSError, KeyError):  # as above
                if _is_known(entry, self.given):
                    local = kinds.parse(entry["source"], on_controller=True).read_local()
                    found[name] = _digest(*common, entry, asdict(local) if local else None)
        return found
