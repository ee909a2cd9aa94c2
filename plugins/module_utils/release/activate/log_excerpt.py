"""Find the lines of an application's log that explain why it did not start."""

from __future__ import annotations

import json
from typing import Any

TAIL = 20


def _entry(line: str) -> dict[str, Any]:
    """A JSON log line as a dict; any other line as its own message."""
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    return entry if isinstance(entry, dict) else {"message": line}


def text_of(line: str) -> str:
    """What one line of a log says, with its exception."""
    entry = _entry(line)
    return "\n".join(str(entry[key]) for key in ("message", "exception") if entry.get(key))


def _from_own_code(traceback: str, own: str) -> str:
    """A traceback without the frames of the server and the import machinery above the application's."""
    lines = traceback.rstrip().splitlines()
    first = next((n for n, line in enumerate(lines) if line.lstrip().startswith("File ") and own in line), None)
    return "\n".join(lines if first is None else [lines[0], *lines[first:]])


def explain(lines: list[str], own: str) -> str:
    """The first exception in the log, and the last lines that the application wrote beside it.

    Without an exception gunicorn's warnings and errors are among the lines. `own` is a part of the path of the application's
    own files.
    """
    entries = [_entry(line) for line in lines]
    shown = next((entry for entry in entries if entry.get("exception")), None)
    messages = [str(entry.get("message", "")) for entry in entries if entry is not shown and (
        entry.get("source") != "gunicorn" or shown is None and entry.get("level") not in ("debug", "info"))]
    # A worker that ends is started again, and says the same again.
    last = list(dict.fromkeys(line for line in messages if line.strip()))[-TAIL:]
    if shown is not None:
        return "\n".join([_from_own_code(str(shown["exception"]), own), *last])
    return "\n".join(last or [str(entry.get("message", "")) for entry in entries[-TAIL:]]) or "(no output)"
