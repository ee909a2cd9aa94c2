"""The filter that completes a unit's sandbox with the profile all units share."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.systemd_sandbox import sandbox

DOCUMENTATION = r"""
name: sandbox
short_description: The sandbox of a systemd unit
version_added: "0.1.0"
description:
  - Adds the profile that every unit of this collection has to the directives of one unit that differ.
  - A directive that adds up in systemd, such as C(ReadWritePaths), is added to the profile's. Any other takes the place of the profile's.
  - A path that the unit names in C(ReadOnlyPaths), C(ReadWritePaths) or a bind mount is not hidden from it.
positional: _input, changes
options:
  _input:
    description: The unit's own directives with their comments, one per line.
    type: str
    required: true
  changes:
    description: An operator's values by directive, each a text or a list of texts. They act as lines after the unit's own.
    type: dict
    default: {}
author:
  - The bulwark.flask authors
"""

EXAMPLES = r"""
- name: Show the sandbox of a program that writes to one directory
  ansible.builtin.debug:
    msg: "{{ 'ReadWritePaths=/var/lib/report' | bulwark.flask.sandbox }}"
"""

RETURN = r"""
_value:
  description: Lines for the section C([Service]) of a unit.
  type: str
"""


class FilterModule:
    """The filter's name."""

    def filters(self) -> dict[str, Any]:
        return {"sandbox": sandbox}
