"""The filter that writes a Content-Security-Policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.page_policy import POLICIES

DOCUMENTATION = r"""
name: csp
short_description: A Content-Security-Policy as one header's value
description:
  - Writes directives, or a whole policy with directives that replace its own.
version_added: "0.1.0"
positional: _input, more
options:
  _input:
    description: Directives by name, each with its sources as a list or a text; or V(strict), V(compatible) or V(off).
    type: raw
    required: true
  more:
    description: Directives that replace those of the same name.
    type: dict
    default: {}
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


def csp(policy: str | Mapping[str, Any], more: Mapping[str, Any] | None = None) -> str:
    """Directives, each followed by its sources."""
    directives = {**(POLICIES[policy] if isinstance(policy, str) else policy), **(more or {})}
    return "; ".join(" ".join([name, *([sources] if isinstance(sources, str) else sources)]) for name, sources in directives.items())


class FilterModule:
    """The filter's name."""

    def filters(self) -> dict[str, Any]:
        return {"csp": csp}
