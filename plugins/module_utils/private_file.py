"""Files that nobody but root may read, written so that an interruption leaves the old or the new one. No Ansible imports."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager


def make_folder(folder: str) -> None:
    """Make a directory that is root's alone."""
    os.makedirs(folder, mode=0o700, exist_ok=True)


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Keep a second run out of the same directory."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def read(path: str) -> bytes | None:
    """What a regular file holds; None when there is nothing. Anything else in its place is a ValueError."""
    try:
        state = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(state.st_mode):
        raise ValueError(f"{path} is not a regular file")
    with open(path, "rb") as stream:
        return stream.read()


def is_private(path: str) -> bool:
    """Whether a file is there and its owner and mode are right."""
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_IMODE(state.st_mode) == 0o600 and (state.st_uid, state.st_gid) == (os.geteuid(), os.getegid())


def write(path: str, data: bytes) -> None:
    """Replace a file. What an interrupted run has left under the temporary name is written over."""
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f".{os.path.basename(path)}.new")
    if os.path.lexists(temporary):
        os.unlink(temporary)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    folder_handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(folder_handle)
    finally:
        os.close(folder_handle)
