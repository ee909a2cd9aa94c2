"""Turn the directory of a build into a read-only release: owners, modes, static files."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import subprocess
import zlib
from pathlib import Path, PurePosixPath

from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError

# Kinds of files that get a compressed one beside them, from this size on (bytes).
TEXTS = frozenset({".css", ".csv", ".htm", ".html", ".js", ".json", ".map", ".mjs", ".svg", ".txt", ".wasm", ".webmanifest", ".xml"})
SHORTEST = 1000


def static_target(prefix: str) -> str:
    """The path of a URL prefix below `static/`."""
    parts = PurePosixPath(prefix).parts
    if not prefix.startswith("/") or ".." in parts:
        raise ReleaseError("static", f"static: {prefix!r} is no URL prefix; write it like /static/.")
    return "/".join(part for part in parts if part != "/")


def find_static(roots: list[Path], wanted: str) -> Path:
    """The directory of static files, in the first root that has it and not outside of it."""
    if PurePosixPath(wanted).is_absolute() or ".." in PurePosixPath(wanted).parts:
        raise ReleaseError("static", f"static: {wanted!r} leads out of the source.")
    for root in roots:
        path = root / wanted
        if path.is_dir():
            if root.resolve() not in [path.resolve(), *path.resolve().parents]:
                raise ReleaseError("static", f"static: {wanted} is a link that leads out of the source.")
            return path.resolve()
    raise ReleaseError("static", f"static: the source has no directory {wanted}.")


def copy_static(source: Path, destination: Path) -> list[str]:
    """Copy files for the web server. Links are left out and returned."""
    left_out = []
    destination.mkdir(mode=0o755, parents=True, exist_ok=True)
    for item in sorted(os.scandir(source), key=lambda entry: entry.name):
        if item.is_symlink():
            left_out.append(item.path)
        elif item.is_dir(follow_symlinks=False):
            left_out += copy_static(Path(item.path), destination / item.name)
        elif item.is_file(follow_symlinks=False):
            shutil.copyfile(item.path, destination / item.name, follow_symlinks=False)
            shutil.copystat(item.path, destination / item.name, follow_symlinks=False)
    return left_out


def compress(root: Path) -> list[str]:
    """Compress texts below a directory once, as the web server sends `X.gz` for X to clients that take gzip.

    :returns: files `X.gz` of the source that were not the compressed X, and were replaced by it
    """
    replaced = []
    for folder, _unused, names in os.walk(root):
        for path in (Path(folder, name) for name in sorted(names)):
            packed = path.with_name(f"{path.name}.gz")
            if packed.is_file() and not _holds(packed, path):
                replaced.append(str(packed))
            elif packed.exists() or path.suffix.lower() not in TEXTS or path.stat().st_size < SHORTEST:
                continue
            packed.write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
            shutil.copystat(path, packed)
    return replaced


def _holds(packed: Path, path: Path) -> bool:
    """Whether a compressed file has the contents of another one."""
    data = path.read_bytes()
    try:
        with gzip.open(packed) as file:
            return file.read(len(data) + 1) == data
    except (OSError, EOFError, zlib.error):
        return False


def publish(root: Path, gid: int) -> None:
    """Make a tree readable by all accounts and writable by root only."""
    for folder, _unused, files in os.walk(root):
        os.chown(folder, 0, gid)
        os.chmod(folder, 0o755)  # noqa: S103  # the web server reads these
        for name in files:
            path = os.path.join(folder, name)
            os.chown(path, 0, gid, follow_symlinks=False)
            os.chmod(path, 0o644)


def hand_over(root: Path, uid: int, gid: int) -> None:
    """Give a tree to the build account."""
    os.chown(root, uid, gid)
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            os.chown(os.path.join(folder, name), uid, gid, follow_symlinks=False)


def copy_afresh(root: Path) -> None:
    """Replace a tree by a copy. Files of the old one that are still open, wherever a build passed them, are no longer in it."""
    fresh = root.with_name(f".{root.name}.fresh")
    done = subprocess.run(["cp", "--recursive", "--no-dereference", "--preserve=mode,timestamps", "--reflink=auto", "--no-target-directory",
                           "--", str(root), str(fresh)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError("seal", f"The release could not be copied: {done.stderr.strip()}")
    shutil.rmtree(root)
    fresh.rename(root)


def seal(root: Path, gid: int) -> None:
    """Make root the owner of a tree, readable by group `gid` only: no setuid, no special files, no .git.

    No process of the build runs any more, so no path can change meanwhile.
    """
    os.chown(root, 0, gid, follow_symlinks=False)
    os.chmod(root, 0o750)  # noqa: S103  # the application reads these
    for item in list(os.scandir(root)):
        mode = item.stat(follow_symlinks=False).st_mode
        if item.name == ".git":
            if stat.S_ISDIR(mode):
                shutil.rmtree(item.path)
            else:
                os.unlink(item.path)
        elif stat.S_ISDIR(mode):
            seal(Path(item.path), gid)
        elif stat.S_ISLNK(mode):
            os.chown(item.path, 0, gid, follow_symlinks=False)
        elif stat.S_ISREG(mode):
            os.chown(item.path, 0, gid, follow_symlinks=False)
            os.chmod(item.path, 0o750 if mode & 0o111 else 0o640)
        else:
            os.unlink(item.path)
