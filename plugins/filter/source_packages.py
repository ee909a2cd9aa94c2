"""Debian packages that a source needs on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.release.source.kinds import KINDS

DOCUMENTATION = r"""
name: source_packages
short_description: Debian packages that a source needs on the host
version_added: "0.1.0"
description:
  - Lists the packages that fetch this kind of source.
positional: _input
options:
  _input:
    description: A source, as O(bulwark.flask.release#module:source).
    type: dict
    required: true
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
needed: "{{ app_release_source | bulwark.flask.source_packages }}"
"""

RETURN = r"""
_value:
  description: Names of packages.
  type: list
  elements: str
"""


def source_packages(source: Mapping[str, Any]) -> list[str]:
    """The packages of the source's kind."""
    return [package for kind in KINDS.values() if source.get(kind.kind) for package in kind.packages]


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Any]:
        """Filters by name."""
        return {"source_packages": source_packages}
