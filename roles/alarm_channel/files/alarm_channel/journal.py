"""Lines of text, and the journal."""

from __future__ import annotations

import datetime
import syslog


def one_line(text: object, limit: int = 500) -> str:
    """Text on one line, so that it cannot forge a line of a log, a header or a metric."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def say(priority: int, text: str) -> None:
    """Write one line to the journal."""
    syslog.syslog(priority, one_line(text, 2000))


def utc(seconds: float) -> str:
    """A time as ISO 8601 in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
