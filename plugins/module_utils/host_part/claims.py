"""Whether a file on the host is this collection's, a package's, or of others. No Ansible imports."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Change


def records(parts: str) -> list[dict[str, Any]]:
    """What the parts of this host have recorded."""
    paths = sorted(entry.path for entry in os.scandir(parts)) if os.path.isdir(parts) else []
    return [fs.read_json(path) or {} for path in paths if path.endswith(".json")]


def as_packaged(path: str, status: str = "/var/lib/dpkg/status") -> bool:
    """Whether a file, or the file that a link leads to, is a configuration file of a Debian package that nobody has changed."""
    real = os.path.realpath(path)
    try:
        with open(real, "rb") as stream:
            digest = hashlib.md5(stream.read(), usedforsecurity=False).hexdigest()
        with open(status, encoding="utf-8", errors="replace") as stream:
            return f" {real} {digest}" in (line.rstrip("\n") for line in stream)
    except OSError:
        return False


def replaced(changes: Iterable[Change], managed: Iterable[str]) -> list[str]:
    """Paths of a plan where a file would be replaced that this collection has not written, and no copy is asked for."""
    ours = set(managed)
    return [change.path for change in changes
            if change.now.kind in ("file", "link") and change.want.kind in ("file", "link") and not change.entry.backup
            and change.entry.dest not in ours and (change.now.data, change.now.link) != (change.want.data, change.want.link)
            and not as_packaged(change.path)]
