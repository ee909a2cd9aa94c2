"""Pack a directory of the controller the same way every time, without its secrets. No Ansible imports."""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import os
import posixpath
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from ansible_collections.bulwark.flask.plugins.module_utils.release.source.unpack import ArchiveError, stays_inside

ALWAYS_LEFT_OUT = [".git", ".hg", ".svn", "__pycache__", "*.pyc", "node_modules", ".venv", ".env", ".env.*", ".envrc",
                   ".vault_pass*", ".tox", ".nox", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".DS_Store"]
NEVER_LEFT_OUT = [".env.example", ".env.sample", ".env.template", ".env.dist"]


class Entry(NamedTuple):
    """One file (target is None) or symbolic link of a source tree."""

    name: str
    path: Path
    executable: bool
    target: str | None


def is_left_out(name: str) -> bool:
    """Whether a file is never part of a release, by any part of its path."""
    return any(
        any(fnmatch.fnmatchcase(part, pattern) for pattern in ALWAYS_LEFT_OUT) and part not in NEVER_LEFT_OUT
        for part in PurePosixPath(name).parts
    )


def is_private_key(path: Path) -> bool:
    """Whether a file is a private key in text form, whatever its name."""
    with open(path, "rb") as file:
        head = file.read(64)
    return head.startswith(b"-----BEGIN ") and b"PRIVATE KEY" in head


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    # Programs that the directory's own configuration names are not run.
    command = ["git", "-C", str(root), "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    return subprocess.run([*command, *arguments], capture_output=True, check=False, env=environment)


def _in_work_tree(root: Path) -> bool:
    return any((folder / ".git").exists() for folder in [root, *root.parents])


def _is_ignored(root: Path) -> bool:
    """Whether the repository around a directory has nothing of it."""
    return not _git(root, "ls-files", "-z").stdout and _git(root, "check-ignore", "-q", ".").returncode == 0


def git_state(root: Path) -> dict[str, object]:
    """The commit a directory is at and whether it has changes of its own; empty outside of git."""
    if not _in_work_tree(root) or shutil.which("git") is None:
        return {}
    commit = _git(root, "rev-parse", "HEAD")
    if commit.returncode or _is_ignored(root):
        return {}
    changes = _git(root, "status", "--porcelain", "--", ".")
    return {"commit": commit.stdout.decode().strip(), "modified": bool(changes.stdout.strip())}


def _git_names(root: Path) -> list[str] | None:
    """The files of a directory that git does not ignore; None outside of a work tree."""
    if not _in_work_tree(root):
        return None
    if shutil.which("git") is None:
        raise ArchiveError(f"{root} is a git work tree; install git on the controller, so that .gitignore counts")
    listed = _git(root, "ls-files", "-co", "--exclude-standard", "-z")
    if listed.returncode:
        raise ArchiveError(f"git cannot list {root}: {listed.stderr.decode(errors='replace').strip()}")
    if not listed.stdout and _is_ignored(root):
        return None
    return sorted({os.fsdecode(name) for name in listed.stdout.split(b"\0") if name})


def _walked_names(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        here = os.path.relpath(folder, root)
        folders[:] = [name for name in folders
                      if not is_left_out(name) and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in files + links:
            yield os.path.normpath(os.path.join(here, name))


def _names(root: Path) -> Iterator[str]:
    names = _git_names(root)
    for name in _walked_names(root) if names is None else names:
        path = root / name
        if path.is_dir() and not path.is_symlink():  # a submodule, or a repository inside this one
            yield from (posixpath.join(name.rstrip("/"), inner) for inner in _names(path))
        else:
            yield name


def entries(root: Path) -> tuple[list[Entry], list[str]]:
    """The files of a release in a fixed order, and the private keys that were left out."""
    contents, keys, leaving = [], [], []
    for name in sorted(set(_names(root)), key=os.fsencode):
        path = root / name
        if is_left_out(name) or not os.path.lexists(path):
            continue
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            target = os.readlink(path)
            if not stays_inside(name, target):
                leaving.append(f"{name} -> {target}")
            contents.append(Entry(name, path, False, target))
        elif stat.S_ISREG(mode):
            if is_private_key(path):
                keys.append(name)
            else:
                contents.append(Entry(name, path, bool(mode & 0o100), None))
    if leaving:
        raise ArchiveError(f"{root} has symbolic links that leave it: {', '.join(leaving)}. "
                           "Replace them with files, or leave them out with .gitignore.")
    if not contents:
        raise ArchiveError(f"{root} contains no file that can be deployed")
    return contents, keys


def tree_digest(contents: list[Entry]) -> str:
    """A hash of names, contents, executable bits and link targets; of nothing else."""
    digest = hashlib.sha256()
    for entry in contents:
        if entry.target is None:
            kind = "x" if entry.executable else "f"
            with open(entry.path, "rb") as file:
                content = _sha256(file)
        else:
            kind, content = "l", entry.target
        digest.update(b"\0".join(os.fsencode(part) for part in (kind, entry.name, content)) + b"\n")
    return digest.hexdigest()


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()


def pack(contents: list[Entry], destination: Path) -> None:
    """Write a .tar.gz that depends on nothing but what `tree_digest` hashes."""
    with open(destination, "wb") as raw, \
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as compressed, \
            tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in contents:
            member = tarfile.TarInfo(entry.name)
            if entry.target is not None:
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, entry.target, 0o777
                archive.addfile(member)
                continue
            member.mode = 0o755 if entry.executable else 0o644
            member.size = entry.path.stat().st_size
            with open(entry.path, "rb") as content:
                archive.addfile(member, content)
