"""Pack a directory or check an archive so that the same source always gives the same bytes.

No Ansible imports; packing runs on the controller, unpacking on the host.
"""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

# Never part of a release, whatever a .gitignore says: secrets, and what belongs to one machine.
NEVER = (".env", ".env.*", ".git", ".venv", "venv", "__pycache__", "*.pyc", "node_modules", ".pytest_cache", ".ruff_cache",
         "*.pem", "*.key", "id_rsa*", "id_ed25519*", ".DS_Store")
ALLOWED = (".env.example",)


class Unsafe(Exception):
    """The source holds something that is not put on a host; the text says what."""


def is_left_out(path: str) -> bool:
    """Whether any part of a relative path is on the list."""
    return any(part not in ALLOWED and any(fnmatch.fnmatch(part, pattern) for pattern in NEVER)
               for part in Path(path).parts)


def files_of(folder: Path) -> list[str]:
    """Relative paths that belong to a release: what git tracks or would, otherwise everything."""
    done = subprocess.run(["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "."],
                          capture_output=True, check=False)
    if done.returncode == 0 and done.stdout:
        found = [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
    else:
        found = [str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    return sorted({name for name in found if not is_left_out(name) and os.path.lexists(folder / name)})


def pack(folder: Path) -> bytes:
    """A tar.gz of a directory: sorted, without owners or times."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, compresslevel=6) as zipped, \
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in files_of(folder):
            path = folder / name
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                raise Unsafe(f"{name} is a link that leads out of {folder}")
            info = tarfile.TarInfo(name)
            if path.is_symlink():
                info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
                tar.addfile(info)
            elif path.is_file():
                data = path.read_bytes()
                info.size, info.mode = len(data), 0o755 if os.access(path, os.X_OK) else 0o644
                tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _inside(name: str, target: Path) -> Path:
    path = (target / name).resolve()
    if name.startswith("/") or not path.is_relative_to(target.resolve()):
        raise Unsafe(f"the archive has a member outside of itself: {name}")
    return path


def unpack(archive: Path, target: Path) -> None:
    """Unpack a tar or zip archive; devices, absolute paths and links that lead out are refused.

    A single directory at the top, as hosting sites make it, is taken away.
    """
    target.mkdir(parents=True)
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for name in zipped.namelist():
                _inside(name, target)
            zipped.extractall(target)
    else:
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                path = _inside(member.name, target)
                if member.issym() or member.islnk():
                    base = path.parent if member.issym() else target
                    if not (base / member.linkname).resolve().is_relative_to(target.resolve()):
                        raise Unsafe(f"the archive has a link that leads out of it: {member.name}")
                elif not (member.isfile() or member.isdir()):
                    raise Unsafe(f"the archive has a member that is neither file nor directory: {member.name}")
                member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
                member.uid = member.gid = 0
                member.uname = member.gname = ""
            tar.extractall(target)
    entries = list(target.iterdir())
    if len(entries) == 1 and entries[0].is_dir() and not (entries[0] / "__init__.py").exists():
        inner = entries[0].rename(target.with_name(target.name + ".top"))
        target.rmdir()
        inner.rename(target)
