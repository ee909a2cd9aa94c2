"""Filters over the dictionary of applications."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: app_entries
short_description: The dictionary of applications as a list of complete entries
version_added: "0.1.0"
description:
  - Merges the defaults below each entry, mapping by mapping, and adds its C(name).
positional: _input, defaults
options:
  _input:
    description: Applications by name.
    type: dict
    required: true
  defaults:
    description: Values for what an entry leaves out.
    type: dict
    default: {}
author:
  - The bulwark.flask authors
"""

EXAMPLES = r"""
- name: Names
  ansible.builtin.debug:
    msg: "{{ flask_apps | bulwark.flask.app_entries({}) | map(attribute='name') }}"
"""

RETURN = r"""
_value:
  description: The entries, in their order.
  type: list
  elements: dict
"""


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`; mappings are merged, anything else is replaced."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def app_entries(apps: Any, defaults: Any = None) -> list[dict[str, Any]]:
    """Every application's complete entry."""
    if not isinstance(apps, Mapping) or not all(isinstance(entry, Mapping) for entry in apps.values()):
        raise AnsibleFilterError("flask_apps must be a mapping of names to mappings, such as {shop: {domains: [...]}}")
    return [{**merged(defaults or {}, entry), "name": name} for name, entry in apps.items()]


class FilterModule:
    """The filter's name."""

    def filters(self) -> dict[str, Any]:
        return {"app_entries": app_entries}
