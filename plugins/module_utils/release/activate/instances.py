"""Instances of an application on a host: one running copy of a release, and which one is live.

`<base>/instances/<instance>/` holds a link to the release it runs, the socket it listens on, and two files:

- `keepalive`: its workers keep connections of the web server while their group may read it, and hold a shared lock
  on it as long as there is one that the web server may use again.
- `loaded`: each worker that has loaded the application holds a lock on one byte. The position of that byte is the number of
  workers.

`<base>/current` is a link to the live instance; only this link decides which instance serves.
No Ansible imports: everything here works on plain paths.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from pathlib import Path

from ansible_collections.bulwark.flask.plugins.module_utils import fs

SOCKET = "gunicorn.sock"
STAMP = "stamp.json"
KEEPALIVE = "keepalive"
LOADED = "loaded"


class Instances:
    """The instances below `base`, owned by root and readable by group `gid`."""

    def __init__(self, base: Path, gid: int) -> None:
        self.base = base
        self.gid = gid
        self.folder = base / "instances"
        self.releases = base / "releases"
        self.current = base / "current"

    def live(self) -> str | None:
        """The name of the live instance, or None before the first release."""
        try:
            return Path(os.readlink(self.current)).name
        except FileNotFoundError:
            return None

    def all(self) -> list[str]:
        """Every instance on disk, oldest name first."""
        return sorted(entry.name for entry in self.folder.iterdir()) if self.folder.is_dir() else []

    def release_of(self, instance: str) -> str | None:
        """The release an instance runs."""
        try:
            return Path(os.readlink(self.folder / instance / "release")).name
        except FileNotFoundError:
            return None

    def socket(self, instance: str) -> Path:
        """The unix socket an instance listens on."""
        return self.folder / instance / SOCKET

    def next_name(self, release: str) -> str:
        """An unused name: the release's own, then `<release>.2`, `<release>.3` and so on."""
        taken, number, name = set(self.all()), 1, release
        while name in taken:
            number += 1
            name = f"{release}.{number}"
        return name

    def create(self, instance: str, release: str) -> None:
        """Create the directory of an instance's socket and its link to the release."""
        for folder in (self.folder, self.folder / instance):
            folder.mkdir(exist_ok=True)
            os.chown(folder, 0, self.gid)
            folder.chmod(0o751)
        (self.folder / instance / "release").symlink_to(f"../../releases/{release}")
        for name in (KEEPALIVE, LOADED):
            path = self.folder / instance / name
            path.touch(mode=0o600)
            os.chown(path, 0, self.gid)
            path.chmod(0o640)

    def remove(self, instance: str) -> None:
        """Remove an instance; its release stays."""
        shutil.rmtree(self.folder / instance)

    def make_live(self, instance: str) -> None:
        """Point `current` at an instance, atomically."""
        fs.link(self.current, f"instances/{instance}")

    def loaded(self, instance: str, table: str = "/proc/locks") -> tuple[int, int]:
        """The number of workers that have loaded the application, and that of all; 0 and 0 where the server does not report it."""
        inode, workers = str((self.folder / instance / LOADED).stat().st_ino), {}
        with open(table, encoding="ascii") as lines:
            for line in lines:
                # 1: POSIX ADVISORY READ <pid> <device>:<inode> <first byte> <last byte>
                fields = line.split()
                if len(fields) == 8 and fields[1] == "POSIX" and fields[5].rpartition(":")[2] == inode:
                    workers[fields[4]] = int(fields[6])
        return len(workers), max(workers.values(), default=0)

    def keep_connections(self, instance: str) -> None:
        """Let an instance keep connections of the web server, where it can."""
        path = self.folder / instance / KEEPALIVE
        if path.exists():
            path.chmod(0o640)

    def end_kept_connections(self, instance: str, seconds: float) -> bool:
        """Let an instance keep no connection any more, and wait until the web server has none left; returns whether that is so."""
        try:
            file = os.open(self.folder / instance / KEEPALIVE, os.O_RDONLY)
        except FileNotFoundError:
            return True
        end = time.monotonic() + seconds
        try:
            os.fchmod(file, 0o600)
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > end:
                        return False
                    time.sleep(0.01)
                else:
                    return True
        finally:
            os.close(file)

    def temporary(self) -> list[Path]:
        """Temporary links of a killed run."""
        return list(self.base.glob(".current.*"))

    def remove_temporary(self) -> bool:
        """Remove them; returns whether there were any."""
        paths = self.temporary()
        for path in paths:
            path.unlink()
        return bool(paths)

    def stamp(self, instance: str) -> dict[str, list[int] | None] | None:
        """The state of the watched files when the instance started."""
        try:
            return json.loads((self.folder / instance / STAMP).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def write_stamp(self, instance: str, state: dict[str, list[int] | None]) -> None:
        """Store the state of the watched files when the instance started."""
        fs.write_json(self.folder / instance / STAMP, state)

    def releases_to_prune(self, keep: int) -> list[str]:
        """Finished and failed releases beyond the newest `keep`; never one an instance runs."""
        used = {self.release_of(name) for name in self.all()}
        releases = sorted((p.name for p in self.releases.iterdir() if not p.name.startswith(".")), reverse=True)
        return [name for name in releases[max(keep, 1):] if name not in used]


def file_state(paths: list[str]) -> dict[str, list[int] | None]:
    """Identify the contents of files by inode, size and time of change, without reading them."""
    state: dict[str, list[int] | None] = {}
    for path in paths:
        try:
            status = os.stat(path)
            state[path] = [status.st_ino, status.st_size, status.st_mtime_ns]
        except FileNotFoundError:
            state[path] = None
    return state


def open_connections(socket: Path, table: str = "/proc/net/unix") -> int:
    """The number of clients that are connected to a listening unix socket."""
    count = 0
    with open(table, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.split(None, 7)
            # The listener itself is in state 01 (unconnected); accepted and queued peers are not.
            if len(fields) == 8 and fields[7].rstrip("\n") == str(socket) and fields[5] != "01":
                count += 1
    return count
