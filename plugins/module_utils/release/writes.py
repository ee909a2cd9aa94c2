"""Writes below a release that failed, as an application's log or output names them.

No imports but Python's own: the alerts of a host use it too.
"""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath

PACKAGES = "site-packages"  # the first part of an entry whose path is in a package of the virtual environment
# What Python says, of a copy or a link with its target, and what programs such as git and mkdir say.
READ_ONLY = re.compile(r"(?:\[Errno 30\] Read-only file system: '|\[Errno 13\] Permission denied: '(?=/))(?P<python>[^'\n]+)'(?: -> '(?P<target>[^'\n]+)')?|"
                       r"(?P<program>[\w./+@-]+)['\u2019]?: Read-only file system")
BELOW_RELEASE = re.compile(r"/(?:releases|instances)/[^/]+/(?:release/)?(?:src|venv/lib/[^/]+/(?=site-packages/))/?(.+)")
# SQLite's own error has no path; the line of the code may have it.
SQLITE = re.compile(r"\bconnect\(\s*f?['\"]([\w./-]+)['\"](?:[^\n]*\n){1,6}[^\n]*unable to open database file")


def written(text: str, subdirectory: str = "") -> list[str]:
    """The paths below a release that errors of writes name, as entries of `shared`."""
    paths = [match["target"] or match["python"] or match["program"] for match in READ_ONLY.finditer(text)] + SQLITE.findall(text)
    return [entry for path in paths if (entry := entry_of(path, subdirectory))]


def entry_of(path: str, subdirectory: str = "") -> str:
    """A path of the application as an entry of `shared`; empty where it is not below a release."""
    below = BELOW_RELEASE.search(path)
    if below is None or path != os.path.normpath(path):
        return "" if path.startswith("/") else path
    entry = PurePosixPath(below.group(1))
    if not subdirectory or entry.parts[0] == PACKAGES:
        return str(entry)
    return str(entry.relative_to(subdirectory)) if PurePosixPath(subdirectory) in entry.parents else ""


def folder_of(entry: str) -> str:
    """A file's directory, because further files may follow; but never the whole source or a whole package."""
    path = PurePosixPath(entry)
    return str(path.parent if path.suffix and len(path.parts) > (3 if path.parts[0] == PACKAGES else 1) else path)
