"""Digests of the inputs of site.yml: everything from which its roles make what a host gets.

A contract test compares the facts and the variables here with what the roles read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from ansible import constants
from ansible.release import __version__
from ansible_collections.bulwark.flask.plugins.filter.app_entries import app_entries
from ansible_collections.bulwark.flask.plugins.module_utils.release.source import kinds
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
    """Whether everything that the roles make of an entry depends on values alone."""
    return not any(given.get(f"{role}_{name}") or (entry.get(role) or {}).get(name) or name == "files" and entry.get(name)
                   for role, names in UNKNOWN.items() for name in names)


def _local(entry: Mapping[str, Any]) -> Any:
    """The identity of a source on the controller."""
    local = kinds.parse(entry["source"], on_controller=True).read_local()
    return asdict(local) if local else None


def _digest(*things: Any) -> str:
    return hashlib.sha256(json.dumps(things, sort_keys=True, default=str).encode()).hexdigest()


def digests(templar: Any, variables: Mapping[str, Any]) -> dict[str, str]:
    """A digest for each application, and one for the host. What cannot be read has none.

    They tell inputs apart and are no secret of their own, but who guesses all other inputs could try values of a short secret:
    they go to the host only.
    """
    problems: list[str] = []
    given = {name: values.read(templar, name, raw, problems) for role in role_files.specs() for name, raw in role_files.set_by_operator(role, variables)}
    apps, defaults = (values.read(templar, name, variables.get(name, {}), problems) for name in ("flask_apps", "flask_app_defaults"))
    facts = variables.get("ansible_facts", {})
    if problems or not isinstance(apps, Mapping):
        return {}
    managed = constants.config.get_config_value("DEFAULT_MANAGED_STR")
    common = [_of_collection(), __version__, jinja2.__version__, managed, given, sorted(apps),
              {name: facts.get(name) for name in FACTS}, {name: variables.get(name) for name in OTHERS}]
    entries, found = app_entries(apps, defaults or {}), {}
    found[HOST] = _digest(*common, entries)
    for entry in entries:
        try:
            if _is_known(entry, given):
                found[entry["name"]] = _digest(*common, entry, _local(entry))
        except Exception:  # noqa: BLE001, S112 - the role that reads the source reports it
            continue
    return found
