"""Digests of the inputs of site.yml: everything from which its roles make what a host gets.

A contract test compares the facts and the variables here with what the roles read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from ansible import constants
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
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
# Options that are files of the controller, or may be: their contents count.
FILES = {"acme_cert": ("requirements", "provided_chain", "provided_key"), "nginx_site": ("maintenance_page",)}
# Of these, the roles search several directories for a path that is not absolute. With one, an application is never up to date.
SEARCHED = {"nginx_site": ("maintenance_page",)}
# With these, it is never up to date: such a file may include others.
UNKNOWN = {"nginx_site": ("template",)}


@lru_cache(maxsize=None)
def _of_collection() -> str:
    """A digest of the roles, plugins and playbooks."""
    found = hashlib.sha256()
    for folder in ("plugins", "roles", "playbooks"):
        for path in sorted((COLLECTION / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                found.update(f"{path.relative_to(COLLECTION)}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _digest(*things: Any) -> str:
    return hashlib.sha256(json.dumps(things, sort_keys=True, default=str).encode()).hexdigest()


class Inputs:
    """The inputs of a host, with all templates rendered. Without any, where one cannot be read."""

    def __init__(self, templar: Any, variables: Mapping[str, Any], read: Callable[[str], str]) -> None:
        """`read` returns the text of a file of the controller, and decrypts one of ansible-vault."""
        self.variables, self.read = variables, read
        problems: list[str] = []
        self.given = {name: values.read(templar, name, raw, problems)
                      for role in role_files.specs() for name, raw in role_files.set_by_operator(role, variables)}
        apps, defaults = (values.read(templar, name, variables.get(name, {}), problems) for name in ("flask_apps", "flask_app_defaults"))
        is_readable = not problems and isinstance(apps, Mapping)
        self.entries = {entry["name"]: entry for entry in app_entries(apps, defaults or {})} if is_readable else {}

    def _option(self, name: str, role: str, option: str) -> Any:
        """The value of a role's option for an application."""
        return self.given.get(f"{role}_{option}", (self.entries[name].get(role) or {}).get(option))

    def _files(self, name: str) -> list[str]:
        """The contents of the files of the controller that an application has besides its source."""
        found = [str(self._option(name, role, option) or "") for role, options in FILES.items() for option in options]
        return [self.read(os.path.abspath(os.path.expanduser(text))) for text in found if text and values.PEM not in text]

    def _is_known(self, name: str) -> bool:
        """Whether the files of the controller that an application is made of are all known."""
        searched = [str(self._option(name, role, option) or "/") for role, options in SEARCHED.items() for option in options]
        others = [self._option(name, role, option) for role, options in UNKNOWN.items() for option in options]
        return all(os.path.isabs(os.path.expanduser(text)) for text in searched) and not any(others)

    def calls(self, name: str) -> list[str]:
        """The calls of modules in a run for an application that not every application needs, as remembered.py names them."""
        is_from_ca = (self._option(name, "acme_cert", "source") or "acme") == "acme"
        found = [f"{'acme' if is_from_ca else 'own'}_certificate-{name}"]
        if is_from_ca and boolean(self._option(name, "acme_cert", "rsa_certificate"), strict=False):
            found.append(f"acme_certificate-{name}.rsa")
        if self._option(name, "app_secrets", "credentials") or self.given.get("app_secrets_files", self.entries[name].get("files")):
            found.append(f"credential_files-{name}.credentials")
        return found

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
            with suppress(ReleaseError, ArchiveError, AnsibleError, OSError, KeyError):  # as above
                if self._is_known(name):
                    local = kinds.parse(entry["source"], on_controller=True).read_local()
                    found[name] = _digest(*common, entry, self._files(name), asdict(local) if local else None)
        return found
