"""The filter that lists the complete entries of `flask_apps`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: app_entries
short_description: List the complete entries of all applications
version_added: "0.1.0"
description:
  - Merges each entry over the defaults, mapping by mapping, and adds its C(name). Lists are replaced,
    not joined.
  - Values are passed on as they are, so that templates, vaulted values and types survive.
positional: _input, defaults, only
options:
  _input:
    description: Applications by name.
    type: dict
    required: true
  defaults:
    description: Values for keys that an entry does not set.
    type: dict
    default: {}
  only:
    description: The name of one application; an empty one means all.
    type: str
    default: ""
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Configure every application
  ansible.builtin.include_role:
    name: bulwark.flask.gunicorn_app
  loop: "{{ flask_apps | bulwark.flask.app_entries(flask_app_defaults | default({})) }}"
  loop_control:
    loop_var: flask_app
    label: "{{ flask_app.name }}"
"""

RETURN = r"""
_value:
  description: The entries, in their order.
  type: list
  elements: dict
"""


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`; mappings are merged, anything else is replaced."""
    result = {**below}
    for key, value in above.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def app_entries(apps: Any, defaults: Any = None, only: str = "") -> list[dict[str, Any]]:
    """The complete entry of every application, or of one."""
    if not isinstance(apps, Mapping):
        raise AnsibleFilterError("flask_apps must be a mapping with one key per application, such as "
                                 "{shop: {domains: [shop.example.com], ...}}")
    wrong = [str(name) for name, entry in apps.items() if not isinstance(entry, Mapping)]
    if wrong:
        raise AnsibleFilterError(f"flask_apps: {', '.join(wrong)} must be a mapping, such as "
                                 "{domains: [shop.example.com], ...}")
    if not isinstance(defaults, (Mapping, type(None))):
        raise AnsibleFilterError("flask_app_defaults must be a mapping of the same shape as one application")
    return [{**_merged(defaults or {}, entry), "name": name} for name, entry in apps.items()
            if only in ("", name)]


class FilterModule:
    """The filter's name."""

    def filters(self) -> dict[str, Any]:
        return {"app_entries": app_entries}
