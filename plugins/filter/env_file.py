"""Filters over an application's entry."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: env_file
short_description: A mapping as an environment file that systemd reads back byte for byte
version_added: "0.1.0"
description:
  - Quotes every value so that quotes, C($), backslashes, newlines and UTF-8 reach the process unchanged.
  - Booleans, numbers, lists and mappings become JSON, which is what C(Flask.config.from_prefixed_env)
    reads. A string that JSON would read as something else gets JSON's quotes under a C(FLASK_) name,
    so that the application sees a string.
positional: _input
options:
  _input:
    description: Names and values.
    type: dict
    required: true
author:
  - The bulwark.flask authors
"""

EXAMPLES = r"""
- name: An environment file
  ansible.builtin.debug:
    msg: "{{ {'FLASK_NAME': 'a \"quoted\" $value'} | bulwark.flask.env_file }}"
"""

RETURN = r"""
_value:
  description: The text of the file.
  type: str
"""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
REFUSED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def _text(name: str, value: Any) -> str:
    if isinstance(value, (bool, int, float, list, tuple, Mapping)):
        return json.dumps(value, ensure_ascii=False)
    text = str(value)
    if name.startswith("FLASK_"):
        try:
            if not isinstance(json.loads(text), str):
                return json.dumps(text, ensure_ascii=False)
        except ValueError:
            pass
    return text


def env_file(variables: Mapping[str, Any]) -> str:
    """Text of an EnvironmentFile= with one line per variable, in their order."""
    problems, lines = [], []
    for name, value in variables.items():
        if not NAME.fullmatch(name):
            problems.append(f"{name!r} is not a name for an environment variable")
        elif value is None:
            problems.append(f"{name} has no value")
        elif REFUSED.search(_text(name, value)):
            problems.append(f"{name} holds a control character other than tab and newline, which systemd refuses")
        else:
            quoted = re.sub(r'(["\\$`])', r"\\\1", _text(name, value))
            lines.append(f'{name}="{quoted}"\n')
    if problems:
        raise AnsibleFilterError("; ".join(problems))
    return "".join(lines)


class FilterModule:
    """The filter's name."""

    def filters(self) -> dict[str, Any]:
        return {"env_file": env_file}
