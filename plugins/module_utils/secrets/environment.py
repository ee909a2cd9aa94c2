"""The names that an environment file sets, read as systemd reads it. No Ansible imports."""

from __future__ import annotations

import re

from ansible_collections.bulwark.flask.plugins.module_utils.names import ENV_NAME as NAME

# The line of our files that lists the names from the inventory.
WRITTEN = re.compile(r"^# Names from the inventory:(.*)$", re.MULTILINE)


def _value_end(text: str, start: int) -> int:
    """The end of the value that begins at `start`: a newline that is neither quoted nor escaped."""
    state, at = "before", start
    while at < len(text):
        character = text[at]
        if state == "'":
            state = "before" if character == "'" else state
        elif character == "\\":
            at += 1
            state = "inside" if state == "before" else state
        elif state == '"':
            state = "before" if character == '"' else state
        elif character == "\n":
            return at
        elif state == "before" and character in "'\"":
            state = character
        elif state == "before" and not character.isspace():
            state = "inside"
        at += 1
    return at


def values_in(text: str) -> dict[str, str]:
    """The variables that a file sets, without the quotes of their values."""
    values, at = {}, 0
    while at < len(text):
        line_end = text.find("\n", at)
        line_end = len(text) if line_end < 0 else line_end
        key, equals, _unused = text[at:line_end].partition("=")
        if not equals or key.lstrip()[:1] in ("#", ";"):
            at = line_end + 1
            continue
        end = _value_end(text, at + len(key) + 1)
        value = text[at + len(key) + 1:end].strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1] if value[0] == "'" else re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
        values[key.strip()] = value
        at = end + 1
    return values


def names_in(text: str) -> tuple[list[str], list[int]]:
    """The names, and the numbers of the lines that set no variable."""
    names, other, at = [], [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        line_end = text.find("\n", at)
        line_end = len(text) if line_end < 0 else line_end
        key, equals, _unused = text[at:line_end].partition("=")
        if text[at] in "#;":
            at = line_end
        elif equals and NAME.fullmatch(key.strip()):
            names.append(key.strip())
            at = _value_end(text, at + len(key) + 1)
        else:
            other.append(text.count("\n", 0, at) + 1)
            at = _value_end(text, at + len(key) + 1) if equals else line_end
    return names, other


def unmanaged(text: str, known: set[str]) -> tuple[list[str], list[int]]:
    """Names that were added by hand, and the numbers of lines that set no variable."""
    names, other = names_in(text)
    written = WRITTEN.search(text)
    ours = known | set(written[1].split() if written else ())
    return list(dict.fromkeys(name for name in names if name not in ours)), other
