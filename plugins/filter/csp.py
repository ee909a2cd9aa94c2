"""The filter that writes a Content-Security-Policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DOCUMENTATION = r"""
name: csp
short_description: A Content-Security-Policy as one header's value
version_added: "0.1.0"
description:
  - Joins directives and their sources to the value of the header C(Content-Security-Policy), in the order given.
positional: _input
options:
  _input:
    description: Directives by name, each with its sources as a list or a text.
    type: dict
    required: true
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: "Print default-src 'self'; img-src 'self' data:; upgrade-insecure-requests"
  ansible.builtin.debug:
    msg: "{{ {'default-src': \"'self'\", 'img-src': [\"'self'\", 'data:'], 'upgrade-insecure-requests': []} | bulwark.flask.csp }}"
"""

RETURN = r"""
_value:
  description: The header's value.
  type: str
"""


def csp(directives: Mapping[str, Any]) -> str:
    """Directives, each followed by its sources."""
    return "; ".join(" ".join([name, *([sources] if isinstance(sources, str) else sources)]) for name, sources in directives.items())


class FilterModule:
    """The filter's name."""

    def filters(self) -> dict[str, Any]:
        return {"csp": csp}
