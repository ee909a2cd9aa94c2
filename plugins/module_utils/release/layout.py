"""The releases of an application on disk, finished and unfinished.

A release is finished when its directory has a manifest, which is written last. Other directories below `releases/` were
left by an interrupted run. No Ansible imports.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.release.lock import DeployLock

MANIFEST = "manifest.json"
LOG = "build.log"
FAILED = ".failed-"


class Cache:
    """What builds of an application keep, below a directory of root: mirrors of repositories, and downloaded wheels.

    Both belong to the build account, whose commands see them only while git or uv runs and no code of others does.
    """

    OLD = ("git", "uv")  # Until 0.1, all of it was the build account's, and any build could write to it.

    def __init__(self, account: str) -> None:
        self.folder = Path("/var/cache") / account
        self.mirrors = self.folder / "mirrors"
        self.wheels = self.folder / "wheels"

    def prepare(self, uid: int, gid: int) -> None:
        """Create the directories before the first build."""
        if any((self.folder / name).exists() for name in self.OLD):
            shutil.rmtree(self.folder)
        self.folder.mkdir(mode=0o755, exist_ok=True)
        os.chown(self.folder, 0, 0)
        self.folder.chmod(0o755)
        for folder in (self.mirrors, self.wheels):
            folder.mkdir(mode=0o700, exist_ok=True)
            os.chown(folder, uid, gid)


class Releases:
    """The directory tree of one application."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.folder = base / "releases"
        self.lock = DeployLock(base / ".deploy.lock")
        self.known_hosts = base / ".known_hosts"

    def manifests(self) -> list[dict[str, Any]]:
        """The manifests of all finished releases, newest first."""
        contents = []
        for path in sorted(self.folder.glob(f"[!.]*/{MANIFEST}"), reverse=True):
            try:
                manifest = json.loads(path.read_text())
            except (OSError, ValueError):
                continue
            if isinstance(manifest, dict) and manifest.get("release") == path.parent.name:
                contents.append(manifest)
        return contents

    def find(self, fingerprint: str) -> dict[str, Any] | None:
        """The newest finished release with this fingerprint that can still run."""
        return next((manifest for manifest in self.manifests() if manifest.get("fingerprint") == fingerprint and self._is_whole(manifest["release"])), None)

    def _is_whole(self, release: str) -> bool:
        """Whether source, virtual environment and interpreter are still there."""
        folder = self.folder / release
        return (folder / "src").is_dir() and os.access(folder / "venv" / "bin" / "python", os.X_OK)

    def commit_starting_with(self, prefix: str) -> str | None:
        """The full commit of a finished release, for an abbreviated one."""
        commits = [str(manifest.get("commit") or "") for manifest in self.manifests()]
        return next((commit for commit in commits if commit.startswith(prefix)), None)

    def unfinished(self) -> list[Path]:
        """Builds that were interrupted."""
        return [path for path in sorted(self.folder.glob("[!.]*")) if not (path / MANIFEST).exists()]

    def remove_leftovers(self, failed: bool) -> list[str]:
        """Remove builds that were interrupted and, with `failed`, the one failed build kept until now."""
        paths = self.unfinished() + (list(self.folder.glob(f"{FAILED}*")) if failed else [])
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        return [path.name for path in paths]

    def keep_failed(self, release: Path) -> Path:
        """Store a failed build with its log and source, without its venv and its home."""
        for name in ("venv", "home"):
            if (release / name).exists():
                shutil.rmtree(release / name)
        kept = self.folder / f"{FAILED}{release.name}"
        release.rename(kept)
        kept.chmod(0o700)
        for folder, folders, files in os.walk(kept):
            for entry in folders + files:
                os.chown(os.path.join(folder, entry), 0, 0, follow_symlinks=False)
        return kept

    def write_manifest(self, release: Path, manifest: dict[str, Any], gid: int) -> None:
        """Finish a release: write its manifest and flush it to disk."""
        text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
        fs.write(release / MANIFEST, text.encode(), gid=gid, mode=0o640)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(identity: dict[str, Any]) -> str:
    """One value for all properties that decide the result of a build."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def new_id(fingerprint: str, moment: datetime.datetime) -> str:
    """The name of a release: sorts by time, and ends with a part of its fingerprint."""
    return f"{moment:%Y%m%d-%H%M%S}-{fingerprint[:8]}"
