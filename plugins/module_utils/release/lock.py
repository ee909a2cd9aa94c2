"""One run per application at a time. No Ansible imports."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError


def now() -> datetime.datetime:
    """The time, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


class DeployLock:
    """The deploy lock of an application. The kernel releases it when the process that holds it ends."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def is_held(self) -> bool:
        """Whether another run holds the lock now; changes nothing."""
        if not self.file.exists():
            return False
        try:
            with fs.locked(self.file, wait_seconds=0, shared=True):
                return False
        except fs.Locked:
            return True

    @contextmanager
    def hold(self, name: str, holder: str) -> Iterator[None]:
        """Hold the lock; the error of a second run names the holder."""
        with ExitStack() as stack:
            try:
                handle = stack.enter_context(fs.locked(self.file, wait_seconds=0))
            except fs.Locked:
                held_by = self.file.read_text(encoding="utf-8").strip() or "an unknown process"
                raise ReleaseError("lock", f"Another run is deploying {name} right now: {held_by}. "
                                           "Try again when it is done.") from None
            os.ftruncate(handle, 0)
            os.write(handle, f"{holder}, since {now():%Y-%m-%d %H:%M:%S} UTC, process {os.getpid()} on the host\n".encode())
            yield
