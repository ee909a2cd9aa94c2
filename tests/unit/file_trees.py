"""The account that runs the tests, and pictures of a directory tree."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import Any

ME = {"owner": pwd.getpwuid(os.geteuid()).pw_name, "group": grp.getgrgid(os.getegid()).gr_name}


def picture(root: Path) -> dict[str, tuple[Any, ...]]:
    """Everything below `root`: kind, owner, mode, contents, and the time of a file."""
    found = {}
    for path in sorted(root.rglob("*")):
        stat = path.lstat()
        content: Any = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        time = stat.st_mtime_ns if path.is_file() and not path.is_symlink() else None
        found[str(path.relative_to(root))] = (oct(stat.st_mode), stat.st_uid, stat.st_gid, content, time)
    return found
