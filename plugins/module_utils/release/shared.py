"""Files that an application writes beside its code: links in a release to its state directory.

A release is read-only and replaced by the next one. `instance` or `uploads` in it becomes a link to
`/var/lib/<application>/shared/…`, so that the inspection, hooks, commands and the server write to the same place in
every release. Files there are created as the application's account, which can put links there.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.writes import PACKAGES, folder_of, written

FILES = "/run/flask-files"  # the drop-in of the role app_secrets puts them there
SEED = "shared"  # below the release: the source's files of these paths
RECORD = "shared.json"  # below the application's base: paths that deployments have found
# An application that could write these could change what it runs.
CODE = {".py", ".pyc", ".pyd", ".so", ".html", ".htm", ".jinja", ".jinja2", ".j2", ".sh"}
MOST_FOUND = 20


def problems(entries: Iterable[str]) -> list[str]:
    """Problems of the list; each entry is a path below the application's directory."""
    messages: list[str] = []
    seen: list[PurePosixPath] = []
    for entry in entries:
        path = PurePosixPath(entry)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            messages.append(f"shared: '{entry}' must be a path below the application's directory, such as uploads or data/app.db")
        elif outer := next((other for other in seen if other == path or other in path.parents or path in other.parents), None):
            messages.append(f"shared: '{entry}' and '{outer}' overlap; keep the outer one")
        else:
            seen.append(path)
    return messages


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


def _place(release: Path, folder: Path, entry: str) -> tuple[Path, Path]:
    """The path of an entry in a release, and the tree that it is in: the application's directory or its packages."""
    if PurePosixPath(entry).parts[0] != PACKAGES:
        return folder, folder / entry
    root = next(release.glob(f"venv/lib/python3*/{PACKAGES}"), folder)
    return root, root / PurePosixPath(entry).relative_to(PACKAGES)


def _can_be_kept(root: Path, path: Path) -> bool:
    """Whether a path can lead out of the release: there is no code at it, and no link and no file on the way to it."""
    parents = [parent for parent in path.parents if root in parent.parents]
    if any(parent.is_symlink() or parent.exists() and not parent.is_dir() for parent in parents) or path.suffix in CODE:
        return False
    return not path.is_dir() or not any(PurePosixPath(file).suffix in CODE for _folder, _folders, files in os.walk(path) for file in files)


class Shared:
    """The shared paths of one application."""

    def __init__(self, name: str, given: list[str], state: Path | None = None, detected: Iterable[str] = ()) -> None:
        self.name = name
        self.given = given
        self.detected = [entry for entry in detected if not problems([*given, entry])]
        self.target = (state or Path("/var/lib") / name) / "shared"

    @property
    def entries(self) -> list[str]:
        """The paths of the inventory, and those that deployments have found."""
        return [*self.given, *self.detected]

    def link(self, release: Path, folder: Path, gid: int) -> None:
        """Replace each path in a release by its link. The source's files at that path are stored as the first contents."""
        for entry in self.entries:
            root, path = _place(release, folder, entry)
            _make_parents("shared", root, path, gid)
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
        if "instance" in self.given:
            self._link_instances_of_packages(release, gid)

    def _link_instances_of_packages(self, release: Path, gid: int) -> None:
        """Flask puts the instance folder of an installed application below `var` of the virtual environment."""
        place = release / "venv" / "var"
        if place.parent.is_dir() and not os.path.lexists(place):
            place.symlink_to(self.target / "instance")
            os.chown(place, 0, gid, follow_symlinks=False)

    def find(self, release: Path, folder: Path, paths: Iterable[str]) -> list[str]:
        """Add paths that the application writes to and that can be kept safely; returns the new entries.

        The paths may come from the application, so they are judged by what the release has there.
        """
        new: list[str] = []
        for path in paths:
            if len(self.detected) >= MOST_FOUND:
                break
            for entry in dict.fromkeys([folder_of(path), path]):
                if not problems([*self.entries, entry]) and _can_be_kept(*_place(release, folder, entry)):
                    self.detected.append(entry)
                    new.append(entry)
                    break
        return new

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
        line = self.line(text, subdirectory)
        return line and f"A release is read-only. Keep what the application writes there in {self.target}; in its entry of flask_apps:\n  {line}"

    def line(self, text: str, subdirectory: str = "") -> str:
        """The line of the entry for failed writes below a release; otherwise empty."""
        places = [place for place in dict.fromkeys(map(folder_of, written(text, subdirectory))) if place not in self.entries]
        return f"shared: [{', '.join([*self.entries, *places])}]" if places else ""
