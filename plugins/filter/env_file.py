"""The filter that writes environment files for systemd."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.parsing.vault import EncryptedString
from ansible_collections.bulwark.flask.plugins.module_utils.names import ENV_NAME

DOCUMENTATION = r"""
name: env_file
short_description: A mapping as an environment file that systemd reads back byte for byte
version_added: "0.1.0"
description:
  - Quotes every value so that quotes, C($), backslashes, newlines, tabs, leading and trailing spaces
    and UTF-8 reach the process unchanged.
  - Booleans, numbers, lists, mappings and, under a C(FLASK_) name, null become JSON, which is what C(Flask.config.from_prefixed_env)
    reads. A string that it would turn into something else, such as C(12345) or C(true), gets JSON's
    quotes under a C(FLASK_) name, so that the application sees the string that was written.
  - A value that systemd would refuse is an error with the variable's name and without its value.
positional: _input
options:
  _input:
    description: Names and values.
    type: dict
    required: true
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: An environment file
  ansible.builtin.debug:
    msg: "{{ {'FLASK_NAME': 'a \"quoted\" $value', 'FLASK_DEBUG': false} | bulwark.flask.env_file }}"
"""

RETURN = r"""
_value:
  description: The text of the file, one assignment per variable in the order of the mapping.
  type: str
"""

# systemd's env_value_is_valid(): no control characters but tab and newline, and its utf8_is_valid().
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
NOT_UNICODE = re.compile("[\ud800-\udfff\ufdd0-\ufdef" + "".join(
    chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF)) + "]")
# The kernel's MAX_ARG_STRLEN, with the terminating zero: the process does not start with a longer one.
MAX_BYTES = 131071


class _Refused(Exception):
    """The reason why a value cannot be written, without the value."""


def _plain(value: Any) -> Any:
    """`value` in JSON's own types. Iterates, as Ansible's containers render their contents on access."""
    if isinstance(value, EncryptedString):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    kind = type(value).__name__.strip("_").removeprefix("AnsibleTagged").lower()
    raise _Refused(f"holds a value of type {kind}; put it in quotes to make it text")


def _text(name: str, value: Any) -> str:
    """The value as text in the process's environment."""
    value = _plain(value)
    if value is None and not name.startswith("FLASK_"):
        raise _Refused("has no value; write '' for an empty one, or leave it out")
    if not isinstance(value, str):
        try:
            return json.dumps(value, allow_nan=False)
        except ValueError:
            raise _Refused("holds a number that JSON does not know") from None
    if name.startswith("FLASK_"):
        try:
            if not isinstance(json.loads(value), str):
                return json.dumps(value)
        except (ValueError, RecursionError):
            pass
    return value


def _assignment(name: Any, value: Any) -> str:
    """One line of the file (more, where the value has newlines)."""
    if not isinstance(name, str) or not ENV_NAME.fullmatch(name):
        raise _Refused("is not a name for an environment variable: letters, digits and _, no digit first")
    text = _text(name, value)
    if CONTROL.search(text):
        raise _Refused("holds a control character other than tab and newline, which systemd refuses")
    if NOT_UNICODE.search(text):
        raise _Refused("holds something that is not a Unicode character, which systemd refuses")
    if len(f"{name}={text}".encode()) > MAX_BYTES:
        raise _Refused("is longer than the 128 KiB a process can be given; pass a file instead")
    quoted = re.sub(r'(["\\$`])', r"\\\1", text)
    return f'{name}="{quoted}"\n'


def _written(variables: Any) -> tuple[list[str], list[str]]:
    """The lines, and the problems."""
    if not isinstance(variables, Mapping):
        return [], ["the environment must be a mapping of names to values"]
    lines, problems = [], []
    for name, value in variables.items():
        try:
            lines.append(_assignment(name, value))
        except _Refused as reason:
            problems.append(f"{name} {reason}")
    return lines, problems


def problems(variables: Any) -> list[str]:
    """All problems of the mapping, with names and without values."""
    return _written(variables)[1]


def env_file(variables: Any) -> str:
    """Text of an EnvironmentFile= with one assignment per variable, in their order."""
    lines, problems = _written(variables)
    if problems:
        raise AnsibleFilterError("; ".join(problems))
    return "".join(lines)


class FilterModule:
    """The filter's name."""

    def filters(self) -> dict[str, Any]:
        return {"env_file": env_file}
