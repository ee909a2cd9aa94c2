"""Change a set of files as one: all of them, or none.

No Ansible imports. A transaction keeps the old state of everything it is about to touch in a journal
below `state_dir`, flushed to disk before the first write; whoever finds a journal there (because the
process that wrote it died) restores that state first.
"""

from __future__ import annotations

import base64
import fnmatch
import grp
import json
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any


class Problem(Exception):
    """Something the operator has to mend; its text says what."""


def read_state(path: str) -> dict[str, Any]:
    """What is at `path` now: kind, owner, mode and contents."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return {"kind": "absent"}
    state: dict[str, Any] = {"uid": found.st_uid, "gid": found.st_gid, "mode": stat.S_IMODE(found.st_mode)}
    if stat.S_ISLNK(found.st_mode):
        return state | {"kind": "link", "link": os.readlink(path)}
    if stat.S_ISDIR(found.st_mode):
        return state | {"kind": "directory"}
    if stat.S_ISREG(found.st_mode):
        return state | {"kind": "file", "data": Path(path).read_bytes()}
    return state | {"kind": "other"}


def _sync_dir(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: str, data: bytes, uid: int, gid: int, mode: int) -> None:
    """Replace a file atomically; a link at `path` is replaced, not followed."""
    folder = os.path.dirname(path)
    handle, temporary = tempfile.mkstemp(prefix=".file_set.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchown(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise
    _sync_dir(folder)


def put_state(path: str, state: dict[str, Any]) -> None:
    """Make `path` what `state` says."""
    kind, now = state["kind"], read_state(path)["kind"]
    if now == "directory" and kind != "directory":
        try:
            os.rmdir(path)
        except OSError as error:
            raise Problem(f"{path} is a directory with contents and is not replaced") from error
    elif kind == "directory" and now not in ("absent", "directory"):
        os.unlink(path)
    if kind == "absent":
        if now not in ("absent", "directory"):
            os.unlink(path)
    elif kind == "directory":
        os.makedirs(path, exist_ok=True)
        os.chown(path, state["uid"], state["gid"])
        os.chmod(path, state["mode"])
    elif kind == "link":
        temporary = f"{path}.file_set.{os.getpid()}"
        os.symlink(state["link"], temporary)
        os.lchown(temporary, state["uid"], state["gid"])
        os.replace(temporary, path)
    else:
        _write(path, state["data"], state["uid"], state["gid"], state["mode"])


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return int(name) if name.isdigit() else None


def _gid(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return int(name) if name.isdigit() else None


def wanted_state(entry: dict[str, Any]) -> dict[str, Any]:
    """The state an entry of the set asks for; an unknown owner or group is None."""
    owned = {"uid": _uid(entry["owner"]), "gid": _gid(entry["group"]), "mode": int(entry["mode"], 8)}
    if entry["kind"] == "absent":
        return {"kind": "absent"}
    if entry["kind"] == "link":
        return owned | {"kind": "link", "link": entry["link"], "mode": 0o777}
    if entry["kind"] == "directory":
        return owned | {"kind": "directory"}
    return owned | {"kind": "file", "data": base64.b64decode(entry["data"])}


def differs(now: dict[str, Any], want: dict[str, Any]) -> bool:
    """Whether a path has to be changed."""
    keys = ["kind", "data", "link", "uid", "gid"] + (["mode"] if want["kind"] != "link" else [])
    return any(now.get(key) != want.get(key) for key in keys if key in want)


def strays(purge: list[dict[str, Any]], kept: set[str]) -> list[str]:
    """Files in directories of ours that match a pattern and are not part of the set."""
    found = []
    for rule in purge:
        if os.path.isdir(rule["path"]):
            for name in sorted(os.listdir(rule["path"])):
                path = os.path.join(rule["path"], name)
                if path not in kept and any(fnmatch.fnmatch(name, p) for p in rule["patterns"]):
                    found.append(path)
    return found


class Journal:
    """The old state of every path a transaction touches, on disk until the transaction is over."""

    def __init__(self, state_dir: str, set_id: str) -> None:
        self.folder = state_dir
        self.path = os.path.join(state_dir, f"{set_id}.journal")
        self.owed = os.path.join(state_dir, f"{set_id}.owed")

    def open(self, paths: list[str]) -> None:
        old = []
        for path in paths:
            state = read_state(path)
            if "data" in state:
                state["data"] = base64.b64encode(state["data"]).decode()
            old.append([path, state])
        _write(self.path, json.dumps(old).encode(), os.geteuid(), os.getegid(), 0o600)

    def restore(self) -> list[str]:
        """Bring back every byte, owner and mode; the last touched path first."""
        if not os.path.exists(self.path):
            return []
        old = json.loads(Path(self.path).read_text())
        for path, state in reversed(old):
            if "data" in state:
                state["data"] = base64.b64decode(state["data"])
            if differs(read_state(path), state):
                if state["kind"] == "absent" and os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path)
                put_state(path, state)
        self.close()
        return [path for path, _ in old]

    def close(self) -> None:
        os.unlink(self.path)

    def owe(self) -> None:
        """Remember that what the change asks for (a reload) has not been done yet."""
        Path(self.owed).touch(mode=0o600)

    def settle(self) -> None:
        if os.path.exists(self.owed):
            os.unlink(self.owed)

    def is_owed(self) -> bool:
        return os.path.exists(self.owed)
