"""Whether a file on the host is this collection's, a package's, or of others. No Ansible imports."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Change

OWNED = re.compile(rb"[Oo]wned by the role [a-z_]+")


def records(parts: str) -> list[dict[str, Any]]:
    """What the parts of this host have recorded."""
    paths = sorted(entry.path for entry in os.scandir(parts)) if os.path.isdir(parts) else []
    return [fs.read_json(path) or {} for path in paths if path.endswith(".json")]


def write_record(parts: str, name: str, **has: Any) -> None:
    """Record what a part of this host has, unless that is what its record says."""
    path, record = os.path.join(parts, f"{name}.json"), {"packages": [], "venvs": [], "files": [], "users": {}, "units": {}, **has}
    if record != fs.read_json(path):
        fs.make_private_directory(parts)
        fs.write_json(path, record)


def is_own(data: bytes) -> bool:
    """Whether a file has the header of a role of this collection: the mark that is left when the records are lost."""
    return bool(OWNED.search(data[:2000]))


def as_packaged(path: str, status: str = "/var/lib/dpkg/status") -> bool:
    """Whether a file, or the file that a link leads to, is an unmodified configuration file of a Debian package."""
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
    ours, paths = set(managed), []
    for change in changes:
        now, want, entry = change.now, change.want, change.entry
        is_file = now.kind in ("file", "link") and want.kind in ("file", "link")
        differs = (now.data, now.link) != (want.data, want.link)
        if is_file and differs and not entry.backup and entry.dest not in ours and not is_own(now.data or b"") and not as_packaged(change.path):
            paths.append(change.path)
    return paths
