"""The filter that lists the safe settings of an application."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.safe_settings import safe_settings

DOCUMENTATION = r"""
name: safe_settings
short_description: Settings of Flask that are safe behind nginx
description:
  - Lists the settings that are laid over what an application does not set itself.
version_added: "0.1.0"
positional: _input, body_max_mb
options:
  _input:
    description: Domains of the application.
    type: list
    elements: str
    required: true
  body_max_mb:
    description: Maximum size of a request body, in MiB.
    type: int
    required: true
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Show them
  ansible.builtin.debug:
    msg: "{{ ['shop.example.com'] | bulwark.flask.safe_settings(16) }}"
"""

RETURN = r"""
_value:
  description: Settings by name.
  type: dict
"""


class FilterModule:
    """The filter's name."""

    def filters(self) -> dict[str, Any]:
        return {"safe_settings": safe_settings}
