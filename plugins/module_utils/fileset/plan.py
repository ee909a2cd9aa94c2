"""The present and the wanted state of a set of files, and the differences. No Ansible imports."""

from __future__ import annotations

import dataclasses
import errno
import fnmatch
import grp
import os
import pwd
import stat
from typing import Any, Callable, Optional

# Ansible's own limit for a diff (MAX_FILE_SIZE_FOR_DIFF).
DIFF_LIMIT = 104448


class Problem(Exception):
    """A problem that the operator must fix. The text describes it; `details` go into the result."""

    def __init__(self, text: str, **details: Any) -> None:
        super().__init__(text)
        self.details = details


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of the set. `kind` is file, directory, link, absent, or backup (a copy of `link`)."""

    dest: str
    kind: str
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    data: bytes = b""
    link: str = ""
    sensitive: bool = False
    backup: bool = False
    purged: bool = False


@dataclasses.dataclass(frozen=True)
class State:
    """The present or wanted state of one path. An owner that does not exist on this host is None."""

    kind: str
    uid: Optional[int] = None
    gid: Optional[int] = None
    mode: Optional[int] = None
    data: Optional[bytes] = None
    link: str = ""

    def same(self, other: State) -> bool:
        """Whether two states are the same."""
        if self.kind != other.kind or self.kind == "absent":
            return self.kind == other.kind
        mine, theirs = ([s.uid, s.gid, s.link, s.data if s.kind == "file" else None] for s in (self, other))
        return mine == theirs and None not in mine[:2] and (self.kind == "link" or self.mode == other.mode)


ABSENT = State("absent")


@dataclasses.dataclass(frozen=True)
class Change:
    """One path that has to change."""

    entry: Entry
    path: str
    now: State
    want: State


def kind_of(path: str) -> str:
    """The kind of a path without following a link."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    for kind, test in (("file", stat.S_ISREG), ("directory", stat.S_ISDIR), ("link", stat.S_ISLNK)):
        if test(mode):
            return kind
    return "other"


def read_state(path: str, limit: int = DIFF_LIMIT) -> State:
    """The present state of `path`. Contents longer than `limit` are not read (`data` is None)."""
    kind = kind_of(path)
    if kind == "absent":
        return ABSENT
    status = os.lstat(path)
    state = State(kind, status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
    if kind == "link":
        return dataclasses.replace(state, link=os.readlink(path))
    if kind == "file" and status.st_size <= limit:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
            return dataclasses.replace(state, data=stream.read())
    return state


def _number(name: str, lookup: Callable[[str], Any], field: int) -> Optional[int]:
    try:
        return int(lookup(name)[field])
    except KeyError:
        return int(name) if name.isdigit() else None


def wanted_state(entry: Entry) -> State:
    """The wanted state of an entry."""
    if entry.kind in ("absent", "backup"):
        return State(entry.kind, link=entry.link)
    owner, group = _number(entry.owner, pwd.getpwnam, 2), _number(entry.group, grp.getgrnam, 2)
    if entry.kind == "link":
        return State("link", owner, group, 0o777, link=entry.link)
    return State(entry.kind, owner, group, entry.mode, entry.data if entry.kind == "file" else None)


def _real(path: str) -> str:
    """`path` with links in its folder (not in its last part) resolved."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def unmanaged_files(purge: list[dict[str, Any]], entries: list[Entry], is_created: Callable[[str], bool]) -> list[Entry]:
    """Files and links in the folders of `purge` that match and are not in the set; hidden ones only by a hidden pattern.

    Then the folder itself where the rule has `remove_empty`, an earlier run created it, the set has nothing in it, and nothing
    else is left.
    """
    kept = {_real(path) for e in entries for path in (e.dest, e.dest + ".orig")}
    paths: list[str] = []
    for rule in purge:
        folder = rule["path"]
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            path = os.path.join(folder, name)
            matches = any(fnmatch.fnmatch(name, p) and p.startswith(".") == name.startswith(".") for p in rule["patterns"])
            if matches and kind_of(path) in ("file", "link") and _real(path) not in kept and path not in paths:
                paths.append(path)
        used = any(entry.kind != "absent" and (entry.dest + "/").startswith(folder.rstrip("/") + "/") for entry in entries)
        if rule.get("remove_empty") and not used and kind_of(folder) == "directory" and is_created(folder):
            gone = {*paths, *(entry.dest for entry in entries if entry.kind == "absent")}
            if all(os.path.join(folder, name) in gone for name in os.listdir(folder)):
                paths.append(folder)
    return [Entry(path, "absent", purged=True) for path in paths]


def _directory_path(entry: Entry) -> str:
    """The real path of a directory entry. A link to a directory that root created is kept."""
    if entry.kind == "directory" and os.path.islink(entry.dest) and os.path.isdir(entry.dest):
        if os.lstat(entry.dest).st_uid in (0, os.geteuid()):
            return os.path.realpath(entry.dest)
    return entry.dest


def make_plan(entries: list[Entry], before: Optional[dict[str, State]] = None) -> list[Change]:
    """The necessary changes, in the order of the set. `before` overrides the state on disk (a recovery that is due)."""
    changes = []
    for entry in entries:
        path, want = _directory_path(entry), wanted_state(entry)
        now = (before or {}).get(path) or read_state(path, max(DIFF_LIMIT, len(entry.data)))
        if not now.same(want):
            changes.append(Change(entry, path, now, want))
    return changes


def add_backups(changes: list[Change], managed: set[str]) -> list[Change]:
    """Add a backup `<dest>.orig` before a file that is not managed is replaced; never of a sensitive file."""
    with_backups = []
    for change in changes:
        entry, orig = change.entry, change.path + ".orig"
        if entry.backup and not entry.sensitive and change.now.kind == "file" and entry.dest not in managed \
                and not os.path.lexists(orig):
            copy = Entry(orig, "backup", link=change.path)
            with_backups.append(Change(copy, orig, ABSENT, wanted_state(copy)))
        with_backups.append(change)
    return with_backups


def _stays_full(change: Change, removed: set[str]) -> bool:
    return any(os.path.join(change.path, name) not in removed for name in os.listdir(change.path))


def problems(entries: list[Entry], changes: list[Change], final: bool = True) -> list[str]:
    """All reasons why this plan cannot be executed on this host.

    Unless `final`, missing accounts and directories are no reason: an earlier task may create them.
    """
    messages = []
    planned: set[str] = set()
    for entry in entries:
        parent = os.path.dirname(entry.dest)
        if final and entry.kind != "absent" and not os.path.isdir(parent) and parent not in planned:
            messages.append(f"{parent}, the directory of {entry.dest}, does not exist: list it before as state: directory")
        if entry.kind == "directory":
            planned.add(entry.dest)
    removed: set[str] = set()
    for change in changes:
        now, want, path = change.now, change.want, change.path
        for key, value, name in (("user", want.uid, change.entry.owner), ("group", want.gid, change.entry.group)):
            if final and want.kind not in ("absent", "backup") and value is None:
                messages.append(f"{path}: this host has no {key} {name}")
        if now.kind == "directory" and want.kind != "directory" and _stays_full(change, removed):
            fate = "removed" if want.kind == "absent" else "replaced"
            messages.append(f"{path} is a directory with contents, which is not {fate}")
        if now.kind == "other" and want.kind != "absent":
            messages.append(f"{path} is a device, pipe or socket, which is not replaced")
        if now.kind == "link" and want.kind == "directory":
            messages.append(f"{path} is a link to {now.link}, which is not replaced by a directory")
        if want.kind == "absent":
            removed.add(path)
    return messages


def clear_error(error: OSError, path: str) -> str:
    """The text of an OSError, with the path."""
    hint = " (is the disk full?)" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    # The modules run as root, to whom nothing else is refused.
    hint = hint or (" (is it immutable? See lsattr and chattr)" if error.errno == errno.EPERM else "")
    # Of two names, the second is the one that could not be written.
    return f"{error.filename2 or error.filename or path}: {error.strerror or error}{hint}"
