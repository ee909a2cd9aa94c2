"""Compare installed files with the hashes that their packages list (RECORD). No Ansible imports."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError

SHOWN = 5
# What an installer writes about itself.
ABOUT_THE_INSTALLATION = ("INSTALLER", "REQUESTED", "direct_url.json")


class Records:
    """The hashes of the files in a venv, by path. A file that several packages list can have the hash of each of them."""

    def __init__(self, venv: Path) -> None:
        self.venv = venv
        self.packages: set[str] = set()
        self.hashes: dict[str, set[str]] = {}

    def read(self) -> None:
        """Add the packages that are not known yet. A known one is not read again, as code of others may have changed its list."""
        for folder in sorted(self.venv.glob("lib/python3*/site-packages/*.dist-info")):
            if folder.is_symlink() or folder.name in self.packages:
                continue
            self.packages.add(folder.name)
            for path, value in self._lines(folder / "RECORD"):
                self.hashes.setdefault(os.path.normpath(folder.parent / path), set()).add(value)

    @staticmethod
    def _lines(record: Path) -> Iterator[tuple[str, str]]:
        if record.is_symlink() or not record.is_file():
            return
        with open(record, encoding="utf-8", errors="surrogateescape", newline="") as lines:
            for row in csv.reader(lines):
                if len(row) > 1 and row[1].startswith("sha256=") and os.path.basename(row[0]) not in ABOUT_THE_INSTALLATION:
                    yield row[0], row[1].partition("=")[2]

    def compare(self) -> None:
        """Refuse files with another hash. One that is missing is no error, because it runs no code.

        Packages that were built have their own lists, as they are now.
        """
        self.read()
        changed = sorted(os.path.relpath(path, self.venv) for path, known in self.hashes.items()
                         if Path(path).is_relative_to(self.venv) and self._is_there(Path(path)) and sha256_of(Path(path)) not in known)
        if changed:
            names = ", ".join(changed[:SHOWN]) + (f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else "")
            raise ReleaseError("dependencies", f"These files are not the ones of their packages: {names}. A package, the project's own build or a "
                                               "command of app_release.build has changed them while it ran. Find out which before you deploy it.")

    def _is_there(self, path: Path) -> bool:
        """Whether it is a file, and no link on its way leads out of the venv."""
        return path.is_file() and not path.is_symlink() and path.parent.resolve().is_relative_to(self.venv.resolve())


def sha256_of(path: Path) -> str:
    """The hash of a file as RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
