"""Files, links and locks: every write is atomic and flushed to disk. No Ansible imports."""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, Optional

# Seconds to wait for a lock. Other runs hold it for less, even on a slow host.
WAIT_SECONDS = 300
LONGEST_OUTPUT = 10 * 2**20


def unlink(path: str | os.PathLike[str]) -> None:
    """Remove a file or link, if there is one."""
    try:
        os.unlink(path)
    except OSError:  # on a read-only file system also where there is none
        if os.path.lexists(path):
            raise


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Flush the names in a directory to disk."""
    with suppress(FileNotFoundError, NotADirectoryError):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_new(path: str | os.PathLike[str], data: bytes, uid: int = -1, gid: int = -1, mode: int = 0o600) -> None:
    """Write a file that does not exist yet and flush it. It is never readable by more accounts than at the end."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fchown(handle, uid, gid)
        os.fchmod(handle, mode)
        os.fsync(handle)


def temporary_name(path: str | os.PathLike[str]) -> str:
    """The hidden name beside `path` for its replacement. A file that an interrupted run left there is overwritten."""
    folder, name = os.path.split(os.fspath(path))
    return os.path.join(folder, f".{name}.new")


def stage(path: str | os.PathLike[str], data: bytes, uid: int = -1, gid: int = -1, mode: int = 0o600) -> str:
    """Write the replacement of a file under its temporary name, for a later `os.replace`. Only this step needs disk space."""
    temporary = temporary_name(path)
    unlink(temporary)
    try:
        write_new(temporary, data, uid, gid, mode)
    except OSError:
        unlink(temporary)
        raise
    return temporary


def write(path: str | os.PathLike[str], data: bytes, uid: int = -1, gid: int = -1, mode: int = 0o600) -> None:
    """Replace a file atomically, and flush it and its name."""
    temporary = stage(path, data, uid, gid, mode)
    try:
        os.replace(temporary, path)
    except OSError:
        unlink(temporary)
        raise
    sync_directory(os.path.dirname(os.fspath(path)) or ".")


def write_json(path: str | os.PathLike[str], value: Any, gid: int = -1, mode: int = 0o600) -> None:
    """Replace a JSON file atomically."""
    write(path, (json.dumps(value, sort_keys=True) + "\n").encode(), gid=gid, mode=mode)


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value of a JSON file of ours, or None where there is none that can be read. A damaged one is an OSError."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except ValueError as error:
        raise OSError(errno.EBADMSG, f"the file is damaged ({error}). Restore it from a backup, or remove it, and run this again", path) from error


def link(path: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Make `path` a symbolic link to `target`; a file or link that is there is replaced atomically."""
    temporary = temporary_name(path)
    unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, path)
    sync_directory(os.path.dirname(os.fspath(path)) or ".")


def read_regular(path: str | os.PathLike[str]) -> Optional[bytes]:
    """The contents of a regular file, None where there is nothing. Anything else in its place is a ValueError."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is not a regular file")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
        return stream.read()


def read_end(stream: IO[bytes], longest: int = LONGEST_OUTPUT) -> str:
    """The last bytes of a program's output as text. A program that prints without end must not fill the memory of root."""
    stream.seek(max(0, stream.seek(0, os.SEEK_END) - longest))
    return stream.read(longest).decode("utf-8", "replace")


def is_private(path: str | os.PathLike[str]) -> bool:
    """Whether a file exists, belongs to this process and is not readable by other accounts."""
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_IMODE(state.st_mode) == 0o600 and (state.st_uid, state.st_gid) == (os.geteuid(), os.getegid())


def make_private_directory(path: str | os.PathLike[str]) -> None:
    """Create a directory and its parents, accessible to this account only."""
    os.makedirs(path, mode=0o700, exist_ok=True)


def process(pid: int | str) -> str:
    """A process as text: its number and its program."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            words = stream.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        words = ""
    return f"process {pid} ({words[:200]})" if words else f"process {pid}"


def holders(path: str | os.PathLike[str]) -> list[str]:
    """The processes that keep a file locked, as text.

    They include processes that inherited the open file. /proc/locks lists only the one that took the lock.
    """
    wanted = os.stat(path)
    pids = []
    for handle in glob.iglob("/proc/[0-9]*/fd/*"):
        try:
            if not os.path.samestat(os.stat(handle), wanted):
                continue
            with open(handle.replace("/fd/", "/fdinfo/"), encoding="ascii", errors="replace") as stream:
                holds = any(line.startswith("lock:") for line in stream)
        except OSError:  # it has ended since
            continue
        if holds:
            pids.append(handle.split("/")[2])
    return [process(pid) for pid in dict.fromkeys(pids)]


class Locked(Exception):
    """Another process holds a lock; the text names the process."""

    def __init__(self, path: str | os.PathLike[str], wait_seconds: float) -> None:
        who = " and ".join(holders(path)) or "a process that is not visible from here"
        waited = f"has held {os.fspath(path)} for more than {wait_seconds:.0f} seconds" if wait_seconds else f"holds {os.fspath(path)}"
        super().__init__(f"{who} {waited}. Run this again when it has ended.")


@contextmanager
def locked(path: str | os.PathLike[str], wait_seconds: float = WAIT_SECONDS, shared: bool = False) -> Iterator[int]:
    """Hold the lock of a file (created if missing) or of a directory; yields its open handle.

    Raises Locked after `wait_seconds`. The kernel releases the lock when the process ends; its children do not inherit it.
    """
    if os.path.isdir(path):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    else:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        kind, give_up = fcntl.LOCK_SH if shared else fcntl.LOCK_EX, time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    raise Locked(path, wait_seconds) from None
                time.sleep(0.1)
        yield handle
    finally:
        os.close(handle)
