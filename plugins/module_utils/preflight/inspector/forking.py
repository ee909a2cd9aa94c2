"""Whether workers can be forked from a process that has imported the application."""

from __future__ import annotations

import fcntl
import gc
import os
import random
import stat
import sys
import time

# Their libraries have threads, or random numbers that every worker would repeat, where the import does not show it.
NEVER_FORKED = {"cupy", "grpc", "jax", "numpy", "ray", "tensorflow", "torch"}
# A library may start a thread that ends at once, as flask-limiter's store does.
SHORT_SECONDS = 0.5
NAMED = ((stat.S_ISSOCK, "a socket"), (stat.S_ISFIFO, "a pipe"))


class Forking:
    """The state of the process before the import."""

    def __init__(self) -> None:
        self.files, self.threads = _files(), _threads()

    def obstacles(self) -> list[str]:
        """What the import has made that forked workers would share, or would not have."""
        seen = {f"the import opens {what}" for number, what in _files().items() if self.files.get(number) != what}
        if self._has_threads():
            seen.add("the import starts a thread")
        if _has_children():
            seen.add("the import starts a process")
        if any(type(thing) is random.Random and thing is not random._inst for thing in gc.get_objects()):  # type: ignore[attr-defined]
            seen.add("the import makes a random.Random, whose numbers every worker would repeat")
        seen |= {f"the import loads {name}" for name in NEVER_FORKED & sys.modules.keys()}
        return sorted(seen)

    def _has_threads(self) -> bool:
        end = time.monotonic() + SHORT_SECONDS
        while _threads() > self.threads and time.monotonic() < end:
            time.sleep(0.01)
        return _threads() > self.threads


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _has_children() -> bool:
    """Whether there is a child, also one that has ended."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _files() -> dict[int, str]:
    """The open files that processes cannot share. They have one position together; at the end of a log it does not matter."""
    files: dict[int, str] = {}
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            mode, flags, path = os.fstat(number).st_mode, fcntl.fcntl(number, fcntl.F_GETFL), os.readlink(f"/proc/self/fd/{number}")
        except OSError:  # that of the listing
            continue
        if stat.S_ISCHR(mode) or stat.S_ISDIR(mode) or stat.S_ISREG(mode) and flags & os.O_APPEND:
            continue
        files[number] = next((name for matches, name in NAMED if matches(mode)), path)
    return files
