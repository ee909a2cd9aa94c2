"""Files that an application writes beside its code: links in a release to its state directory.

A release is read-only and replaced by the next one. `instance` or `uploads` in it becomes a link to
`/var/lib/<application>/shared/…`, so that the inspection, hooks, commands and the server write to the same place in
every release. Files there are created as the application's account, which can put links there.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError

FILES = "/run/flask-files"  # the drop-in of the role app_secrets puts them there
SEED = "shared"  # below the release: the source's files of these paths
READ_ONLY = re.compile(r"\[Errno (?:30|13)\] (?:Read-only file system|Permission denied): '([^'\n]+)'")
BELOW_SOURCE = re.compile(r"/(?:releases|instances)/[^/]+/(?:release/)?src/(.+)")


def problems(entries: Iterable[str]) -> list[str]:
    """Problems of the list; each entry is a path below the application's directory."""
    found: list[str] = []
    seen: list[PurePosixPath] = []
    for entry in entries:
        path = PurePosixPath(entry)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            found.append(f"shared: '{entry}' must be a path below the application's directory, such as uploads or data/app.db")
        elif outer := next((other for other in seen if other == path or other in path.parents or path in other.parents), None):
            found.append(f"shared: '{entry}' and '{outer}' overlap; keep the outer one")
        else:
            seen.append(path)
    return found


def _make_parents(key: str, folder: Path, path: Path, gid: int) -> None:
    """Create the parents of a path in the source; links among them are refused."""
    for parent in list(reversed(path.parents))[len(folder.parts):]:
        if parent.is_symlink() or parent.exists() and not parent.is_dir():
            raise ReleaseError(key, f"{key}: {parent.relative_to(folder)} is no directory of the source; "
                                    f"remove {path.relative_to(folder)}.")
        if not parent.exists():
            parent.mkdir(mode=0o750)
            os.chown(parent, 0, gid)


def link_files(folder: Path, files: Mapping[str, str], gid: int) -> None:
    """Put links to the files that systemd passes to the unit into a sealed release; they replace samples of the source."""
    for entry, name in files.items():
        path = folder / entry
        _make_parents("files", folder, path, gid)
        if path.is_dir() and not path.is_symlink():
            raise ReleaseError("files", f"files: {entry} is a directory of the source; name a file in {name}.path.")
        path.unlink(missing_ok=True)
        path.symlink_to(Path(FILES) / name)
        os.chown(path, 0, gid, follow_symlinks=False)


class Shared:
    """The shared paths of one application."""

    def __init__(self, name: str, entries: list[str], state: Path | None = None) -> None:
        self.name = name
        self.entries = entries
        self.target = (state or Path("/var/lib") / name) / "shared"

    def link(self, release: Path, folder: Path, gid: int) -> None:
        """Replace each path in a release by its link. The source's files at that path are stored as the first contents."""
        for entry in self.entries:
            path = folder / entry
            _make_parents("shared", folder, path, gid)
            if path.is_symlink():
                if self.target.parent not in Path(os.path.normpath(path.parent / os.readlink(path))).parents:
                    raise ReleaseError("shared", f"shared: {entry} is a link in the source; remove the link or the entry.")
                continue
            if path.exists():
                seed = release / SEED / entry
                seed.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                path.rename(seed)
            path.symlink_to(self.target / entry)
            os.chown(path, 0, gid, follow_symlinks=False)
        for seed_folder, _unused, _unused in os.walk(release / SEED):
            os.chown(seed_folder, 0, gid)

    def _is_file(self, release: Path, entry: str) -> bool:
        seed = release / SEED / entry
        return seed.is_file() if seed.exists() else not entry.endswith("/") and bool(PurePosixPath(entry).suffix)

    def prepare(self, release: Path, uid: int, gid: int) -> None:
        """Create missing files in the state directory, as the application's account. Existing files are not changed."""
        folders = [str((self.target / entry).parent if self._is_file(release, entry) else self.target / entry) for entry in self.entries]
        commands = [["mkdir", "--parents", "--", *folders]] if folders else []
        if (release / SEED).is_dir():
            commands.append(["cp", "--recursive", "--no-dereference", "--no-clobber", "--", f"{release / SEED}/.", str(self.target)])
        for command in commands:
            done = subprocess.run(command, user=uid, group=gid, extra_groups=[], umask=0o077, capture_output=True, text=True, check=False)
            if done.returncode:
                raise ReleaseError("shared", f"{self.target} cannot be prepared as {self.name}: {done.stderr.strip()}")

    def advice(self, text: str, subdirectory: str = "") -> str:
        """The setting that fixes a failed write below a release; otherwise empty."""
        places = []
        for written in READ_ONLY.findall(text):
            below = BELOW_SOURCE.search(written)
            relative = below.group(1) if below else "" if written.startswith("/") else written
            path = PurePosixPath(relative)
            if subdirectory and below and PurePosixPath(subdirectory) in path.parents:
                path = path.relative_to(subdirectory)
            if relative:
                # A file's directory, because further files may follow; but never the whole source.
                places.append(str(path.parent if path.suffix and len(path.parts) > 1 else path))
        places = [place for place in dict.fromkeys(places) if place not in self.entries]
        if not places:
            return ""
        return (f"A release is read-only. Keep what the application writes there in {self.target}; in its entry of flask_apps:\n"
                f"  shared: [{', '.join([*self.entries, *places])}]")
