"""Find in an application's log the few lines a person needs to know why it did not start."""

from __future__ import annotations

import json
from typing import Any

TAIL = 20


def _entry(line: str) -> dict[str, Any]:
    """A JSON log line as a dict; any other line as its own message."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"message": line}


def _from_own_code(traceback: str, own: str) -> str:
    """A traceback without the frames of the server and the import machinery above the application's."""
    lines = traceback.rstrip().splitlines()
    first = next((n for n, line in enumerate(lines) if line.lstrip().startswith("File ") and own in line), None)
    return "\n".join(lines if first is None else [lines[0], *lines[first:]])


def explain(lines: list[str], own: str) -> str:
    """The first exception in the log, or its last lines when there is none.

    `own` is a part of the path of the application's own files.
    """
    entries = [_entry(line) for line in lines]
    for entry in entries:
        if entry.get("exception"):
            return _from_own_code(str(entry["exception"]), own)
    return "\n".join(str(entry.get("message", "")) for entry in entries[-TAIL:]) or "(no output)"
