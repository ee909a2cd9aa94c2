"""Names that an environment file of systemd's sets, read the way systemd reads it. No Ansible imports."""

from __future__ import annotations

import re

from ansible_collections.bulwark.flask.plugins.module_utils.names import ENV_NAME as NAME

# The line a file of ours says in which names it was written with.
WRITTEN = re.compile(r"^# Names from the inventory:(.*)$", re.MULTILINE)


def _value_end(text: str, start: int) -> int:
    """Where the value that begins at `start` ends: at a newline that is neither quoted nor escaped."""
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


def names_in(text: str) -> tuple[list[str], list[int]]:
    """The names, and the numbers of lines that set none."""
    names, other, at = [], [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        line_end = text.find("\n", at)
        line_end = len(text) if line_end < 0 else line_end
        key, equals, _ = text[at:line_end].partition("=")
        if text[at] in "#;":
            at = line_end
        elif equals and NAME.fullmatch(key.strip()):
            names.append(key.strip())
            at = _value_end(text, at + len(key) + 1)
        else:
            other.append(text.count("\n", 0, at) + 1)
            at = _value_end(text, at + len(key) + 1) if equals else line_end
    return names, other


def strangers(text: str, known: set[str]) -> tuple[list[str], list[int]]:
    """What somebody has added: names neither known nor written by us, and lines that set none."""
    names, other = names_in(text)
    written = WRITTEN.search(text)
    ours = known | set(written[1].split() if written else ())
    return list(dict.fromkeys(name for name in names if name not in ours)), other
