"""Change a set of files as one: all of them, or none. No Ansible imports.

Every path keeps its old inode under a second, hidden name in the same directory until the set is validated. So a rollback
is a rename: it needs no disk space and restores bytes, owner, mode and times. A journal with the necessary steps is
flushed before the first change. A run that finds a journal, of an interrupted run, rolls back first. The hidden names end
in `.dpkg-new` and `.dpkg-old`, which cron, logrotate, sudo, systemd and others on Debian ignore.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Optional

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.former import Former
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import (
    ABSENT,
    Change,
    Problem,
    State,
    clear_error,
    kind_of,
    read_state,
)

JOURNAL, DONE, OWED, MANAGED = "journal.json", "done.json", "owed.json", "managed.json"


def _own_directory(path: str, uid: int, gid: int, mode: int) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(handle, uid, gid)
        os.fchmod(handle, mode)
    finally:
        os.close(handle)


def _second_name(path: str, name: str) -> None:
    """Give the file at `path` a second name. It is a copy where a hard link is not possible."""
    try:
        os.link(path, name, follow_symlinks=False)
        return
    except OSError:
        kind, status = kind_of(path), os.lstat(path)
        if kind == "other":
            raise
    if kind == "link":
        os.symlink(os.readlink(path), name)
        os.lchown(name, status.st_uid, status.st_gid)
        return
    with open(path, "rb") as stream:
        fs.write_new(name, stream.read(), status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns))


def _identity(path: str) -> Optional[list[int]]:
    """An identity of one version of a file."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]


class Store:
    """The state directory: journals, owed commands, the list of managed files, and the former state of the host."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.former = Former(folder)

    @contextmanager
    def locked(self, wait_seconds: float = fs.WAIT_SECONDS) -> Iterator[None]:
        """Hold the lock: one set at a time on a host."""
        with ExitStack() as stack:
            try:
                fs.make_private_directory(self.folder)
                os.chmod(self.folder, 0o700)
                stack.enter_context(fs.locked(os.path.join(self.folder, "lock"), wait_seconds))
            except fs.Locked as error:
                raise Problem(f"Nothing was changed: another run is writing files on this host. {error}") from None
            except OSError as error:
                raise Problem(f"cannot use {clear_error(error, self.folder)}; nothing was changed") from error
            yield

    def journal_of(self, dests: list[str]) -> str:
        """The directory of a set's journal."""
        return os.path.join(self.folder, hashlib.sha256("\0".join(sorted(dests)).encode()).hexdigest()[:16])

    def _all(self, name: str) -> list[tuple[str, Any]]:
        try:
            folders = sorted(entry.path for entry in os.scandir(self.folder) if entry.is_dir(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return []
        records = [(folder, fs.read_json(os.path.join(folder, name))) for folder in folders]
        return [(folder, content) for folder, content in records if content is not None]

    def due(self) -> dict[str, State]:
        """The paths that `recover` would restore."""
        states = {}
        for _folder, records in self._all(JOURNAL):
            for record in records:
                old = dict(record["old"])
                if old["kind"] in ("file", "link", "other") and os.path.lexists(record["keep"]):
                    states[record["path"]] = read_state(record["keep"])
                elif old["kind"] == "absent":
                    states[record["path"]] = ABSENT
                elif old["kind"] == "directory":
                    states[record["path"]] = State(**old)
        return states

    def recover(self) -> tuple[list[str], list[str]]:
        """Recover from interrupted runs. Returns the restored paths, and those that were changed since."""
        restored, foreign = [], []
        for folder, records in self._all(JOURNAL):
            for record in reversed(records):
                if _is_foreign(record):
                    foreign.append(record["path"])
                    fs.unlink(record["temp"])
                    fs.unlink(record["keep"])
                    continue
                try:
                    if restore(record, thorough=False):
                        restored.append(record["path"])
                except OSError as error:
                    raise Problem("an earlier run was interrupted, and this cannot be put back: "
                                  + clear_error(error, record["path"])) from error
            self.former.forget_paths(record["path"] for record in records if record.get("first"))
            _finish(folder, records, JOURNAL)
        for folder, records in self._all(DONE):
            _finish(folder, records, DONE)
        return restored, foreign

    def owed(self, dests: list[str]) -> list[str]:
        """Directories of sets that share a path with this one and whose commands failed or did not run."""
        return [folder for folder, marker in self._all(OWED) if set(marker["dests"]) & set(dests)]

    def paths_not_in_effect(self, folders: list[str]) -> set[str]:
        """The paths whose change is written but not in effect."""
        markers = [fs.read_json(os.path.join(folder, OWED)) or {} for folder in folders]
        return {path for marker in markers for path in marker.get("paths", [])}

    def settle(self, folders: list[str]) -> None:
        """The owed commands have succeeded."""
        for folder in folders:
            fs.unlink(os.path.join(folder, OWED))
            with suppress(OSError):
                os.rmdir(folder)

    def managed(self) -> set[str]:
        """Files that were written by an earlier run."""
        return set(fs.read_json(os.path.join(self.folder, MANAGED)) or [])

    def note_managed(self, paths: set[str], final: bool) -> None:
        """Record the managed files, in two steps: only the first needs disk space."""
        name = os.path.join(self.folder, MANAGED)
        if paths == self.managed():
            return
        if not final or not os.path.exists(fs.temporary_name(name)):
            fs.stage(name, json.dumps(sorted(paths)).encode())
        if final:
            os.replace(fs.temporary_name(name), name)


def _is_foreign(record: dict[str, Any]) -> bool:
    """Whether this path was changed since the interrupted run."""
    if "directory" in (record["old"]["kind"], record["kind"]):
        return False
    now, keep = _identity(record["path"]), _identity(record["keep"])
    if record["old"]["kind"] != "absent" and keep is None or now is None:
        return False
    return now not in (record["new"], keep) and (keep or record["new"]) is not None


def _remove(path: str, thorough: bool) -> None:
    """Remove a path that this transaction created; for a directory, with the files that its commands created."""
    if kind_of(path) != "directory":
        fs.unlink(path)
    elif thorough:
        shutil.rmtree(path)
    else:
        with suppress(OSError):
            os.rmdir(path)


def restore(record: dict[str, Any], thorough: bool) -> bool:
    """Restore one path; safe to repeat. Returns whether it was necessary."""
    path, old, keep = record["path"], record["old"], record["keep"]
    fs.unlink(record["temp"])
    before = _identity(path)
    if old["kind"] == "absent":
        if record["new"] is not None or record["kind"] == "directory":
            _remove(path, thorough and "made" in record)
    elif old["kind"] == "directory":
        if kind_of(path) != "directory":
            fs.unlink(path)
            os.mkdir(path, 0o700)
        _own_directory(path, old["uid"], old["gid"], old["mode"])
    elif os.path.lexists(keep) and (before is None or before != record.get("was")):
        if kind_of(path) == "directory":
            _remove(path, thorough and "made" in record)
        os.replace(keep, path)  # nothing happens when both still name one inode: _finish drops the second name
    return _identity(path) != before


def _finish(folder: str, records: list[dict[str, Any]], name: str) -> None:
    """Remove the second names, then the journal."""
    for record in records:
        fs.unlink(record["keep"])
    for parent in {os.path.dirname(record["path"]) for record in records}:
        fs.sync_directory(parent)
    fs.unlink(os.path.join(folder, name))
    with suppress(OSError):
        os.rmdir(folder)


class Transaction:
    """The execution of one plan."""

    def __init__(self, store: Store, dests: list[str], changes: list[Change]) -> None:
        self.store, self.dests, self.changes = store, dests, changes
        self.committing = False
        self.folder = store.journal_of(dests)
        self.was_owed = os.path.exists(os.path.join(self.folder, OWED))
        token, gone = secrets.token_hex(4), {c.path for c in changes if c.want.kind != "directory"}
        self.records: list[dict[str, Any]] = []
        for number, change in enumerate(changes):
            parent = os.path.dirname(change.path)
            keep = parent
            while keep in gone:
                keep = os.path.dirname(keep)
            self.records.append({
                "path": change.path, "kind": change.want.kind, "new": None,
                "old": {key: getattr(change.now, key) for key in ("kind", "uid", "gid", "mode")},
                "keep": os.path.join(keep, f".file_set-{token}-{number}.dpkg-old"),
                "temp": os.path.join(parent, f".file_set-{token}-{number}.dpkg-new"),
            })

    def _journal(self) -> None:
        fs.write_json(os.path.join(self.folder, JOURNAL), self.records)

    def write(self) -> None:
        """Write the whole set. All steps that need disk space happen before the first file is replaced."""
        path = self.folder
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            fs.sync_directory(self.store.folder)
            new = self.store.former.note_paths([change.path for change in self.changes], self.store.managed())
            for record in self.records:
                record["first"] = record["path"] in new
            self._journal()
            for change, record in zip(self.changes, self.records):
                path = change.path
                self._stage(change, record)
            self._journal()
            for change, record in zip(self.changes, self.records):
                path = change.path
                self._switch(change, record)
            for parent in {os.path.dirname(record["path"]) for record in self.records}:
                fs.sync_directory(parent)
        except OSError as error:
            raise Problem(f"could not write {clear_error(error, path)}") from error

    def _stage(self, change: Change, record: dict[str, Any]) -> None:
        now, want, path, temp = change.now, change.want, change.path, record["temp"]
        owner = (-1 if want.uid is None else want.uid, -1 if want.gid is None else want.gid)
        mode = 0o600 if want.mode is None else want.mode
        record["was"] = _identity(path)
        if now.kind in ("file", "link", "other"):
            _second_name(path, record["keep"])
        if want.kind == "directory":
            if now.kind != "directory":
                fs.unlink(path)
                os.mkdir(path, 0o700)
                record["made"] = True
            _own_directory(path, *owner, mode)
            return
        if want.kind == "backup":
            _second_name(want.link, temp)
        elif want.kind == "link":
            os.symlink(want.link, temp)
            os.lchown(temp, *owner)
        elif want.kind == "file":
            fs.write_new(temp, want.data or b"", *owner, mode)
        record["new"] = _identity(temp)

    def _switch(self, change: Change, record: dict[str, Any]) -> None:
        if change.want.kind == "directory":
            return
        if change.now.kind == "directory":
            os.rmdir(change.path)
        elif change.want.kind == "absent":
            fs.unlink(change.path)
        if change.want.kind != "absent":
            os.replace(record["temp"], change.path)

    def commit(self, owe: bool, managed: set[str]) -> None:
        """Commit the validated set. With `owe`, record first that it is not in effect."""
        try:
            if owe:
                paths = self.store.paths_not_in_effect(self.store.owed(self.dests)) | {change.path for change in self.changes}
                fs.write_json(os.path.join(self.folder, OWED), {"dests": self.dests, "paths": sorted(paths)})
            self.store.note_managed(managed, final=False)
            self.committing = True
            os.rename(os.path.join(self.folder, JOURNAL), os.path.join(self.folder, DONE))
        except OSError as error:
            raise Problem(f"could not write {clear_error(error, self.folder)}") from error
        with suppress(OSError):  # the next run cleans up what is left
            fs.sync_directory(self.folder)
            self.store.note_managed(managed, final=True)
            _finish(self.folder, self.records, DONE)

    @property
    def committed(self) -> bool:
        """Whether the set is committed."""
        return self.committing and not os.path.exists(os.path.join(self.folder, JOURNAL))

    def rollback(self) -> None:
        """Restore everything. Paths that cannot be restored stay in the journal for the next run."""
        failed = []
        for record in reversed(self.records):
            try:
                restore(record, thorough=True)
            except OSError as error:
                failed.append(clear_error(error, record["path"]))
        if failed:
            raise Problem(f"could not put back {'; '.join(failed)} (the next run tries again)")
        if not self.was_owed:
            fs.unlink(os.path.join(self.folder, OWED))
        self.store.former.forget_paths(record["path"] for record in self.records if record.get("first"))
        _finish(self.folder, self.records, JOURNAL)
