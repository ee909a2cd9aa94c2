"""Whether a clock that is behind explains a failure. No Ansible imports."""

from __future__ import annotations

import email.utils
import glob
import os
import re
import time
from collections.abc import Iterable
from typing import Optional

# What apt, gpgv, sqv and OpenSSL say of signatures and certificates of a time to come.
NOT_YET = re.compile(r"not valid yet|not yet valid|not live until|created in the future|is not signed|NotValidYet", re.IGNORECASE)
# apt knows the time of a Release file, so that its own words are enough.
CERTAIN = re.compile(r"not valid yet \(invalid for another|certificate is not yet valid|NotValidYet", re.IGNORECASE)
LISTS = ("/var/lib/apt/lists/*Release", "/var/lib/apt/lists/partial/*Release")
WRITTEN = ("/var/lib/dpkg/status", "/var/lib/systemd/timesync/clock", "/etc/machine-id", "/usr/bin/dpkg")
# Clocks of two machines differ by this much without harm.
TOLERANCE_SECONDS = 60


def release_dates(patterns: Iterable[str] = LISTS) -> list[tuple[float, str]]:
    """The date that each repository gave to its list, with the file's path."""
    dates: list[tuple[float, str]] = []
    for path in (path for pattern in patterns for path in glob.glob(pattern)):
        with open(path, encoding="utf-8", errors="replace") as stream:
            date = re.search(r"^Date: (.+)$", stream.read(20000), re.MULTILINE)
        if date and (parsed := email.utils.parsedate_tz(date[1])):
            dates.append((email.utils.mktime_tz(parsed), path))
    return dates


def newest(paths: Iterable[str] = WRITTEN, patterns: Iterable[str] = LISTS) -> Optional[tuple[float, str]]:
    """The latest time that this host has seen, and the file that has it."""
    times = release_dates(patterns) + [(os.stat(path).st_mtime, path) for path in paths if os.path.exists(path)]
    return max(times) if times else None


def behind(output: str, seen: Optional[tuple[float, str]] = None, now: Optional[float] = None) -> str:
    """A sentence if the output of a program shows that this host's clock is behind; otherwise an empty text."""
    if not NOT_YET.search(output):
        return ""
    now = time.time() if now is None else now
    seen = seen or newest()
    late = seen is not None and seen[0] > now + TOLERANCE_SECONDS
    if not late and not CERTAIN.search(output):
        return ""

    def text(moment: float) -> str:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))
    known = f", and {seen[1]} is of {text(seen[0])}" if seen and late else ""
    return f"The clock of this host is behind: it shows {text(now)}{known}. Set it, for example with `date --utc --set='…'`, and run this again."
