"""Render a role's variables and templates the way Ansible would, without a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "roles"

FACTS: dict[str, Any] = {
    "distribution": "Debian",
    "distribution_major_version": "13",
    "distribution_version": "13.1",
    "distribution_release": "trixie",
    "os_family": "Debian",
    "hostname": "web1",
    "fqdn": "web1.example.com",
    "processor_vcpus": 2,
    "memtotal_mb": 2048,
    "python_version": "3.13.5",
    "service_mgr": "systemd",
}
SHOP: dict[str, Any] = {
    "name": "shop",
    "domains": ["shop.example.com", "www.shop.example.com"],
    "source": {"git": "https://git.example.com/shop.git", "version": "main"},
    "wsgi": "shop:create_app()",
    "env": {},
    "static": {"/static/": "shop/static"},
}


def _trusted(value: Any) -> Any:
    """Mark every string of a data structure as a template of our own."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {key: _trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_trusted(item) for item in value]
    return value


def raw_vars(role: str, flask_app: dict[str, Any] | None = None, **extra: Any) -> dict[str, Any]:
    """The untemplated variables a task of `role` sees: defaults, vars, facts, app and extras."""
    found: dict[str, Any] = {
        "ansible_facts": FACTS,
        "ansible_managed": "Ansible managed",
        "inventory_hostname": "web1",
        "flask_app": SHOP if flask_app is None else flask_app,
        "role_path": str(ROLES / role),
        "role_name": role,
    }
    for part in ("defaults", "vars"):
        path = ROLES / role / part / "main.yml"
        if path.exists():
            found |= _trusted(yaml.safe_load(path.read_text()) or {})
    return found | _trusted(extra)


def _templar(role: str, variables: dict[str, Any]) -> Templar:
    loader = DataLoader()
    loader.set_basedir(str(ROLES / role))
    return Templar(loader=loader, variables=variables)


def role_vars(role: str, flask_app: dict[str, Any] | None = None, **extra: Any) -> dict[str, Any]:
    """All variables of `role`, templated: what its tasks would read."""
    variables = raw_vars(role, flask_app, **extra)
    templar = _templar(role, variables)
    prefixes = (f"{role}_", f"__{role}_")
    return {key: templar.template(value) for key, value in variables.items() if key.startswith(prefixes)}


def render(role: str, template: str, flask_app: dict[str, Any] | None = None, **extra: Any) -> str:
    """The text of one template of `role`, with the options file_set renders with."""
    variables = raw_vars(role, flask_app, **extra)
    templar = _templar(role, variables)
    source = (ROLES / role / "templates" / template).read_text()
    return templar.copy_with_new_env(searchpath=[str(ROLES / role / "templates")]).template(
        trust_as_template(source), overrides={"trim_blocks": True, "keep_trailing_newline": True},
    )
