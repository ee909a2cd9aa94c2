"""Unpack an archive that may be hostile. No Ansible imports."""

from __future__ import annotations

import gzip
import os
import posixpath
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, Callable, NamedTuple

# A small archive can unpack to more than a disk holds.
MOST_MEMBERS = 500_000
MOST_GIB = 10
GIB = 2**30


class ArchiveError(Exception):
    """A directory or archive that cannot be deployed; the text is for the operator."""


class Member(NamedTuple):
    """One thing in an archive: kind is file, folder, link (symbolic) or hardlink; size is in bytes."""

    name: str
    kind: str
    executable: bool
    target: str
    source: Any
    size: int = 0


def stays_inside(name: str, target: str) -> bool:
    """Whether a relative link at `name` points into the tree, read as text."""
    if not target or posixpath.isabs(target) or "\0" in target:
        return False
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    return resolved != ".." and not resolved.startswith("../")


def _safe_name(name: str) -> str:
    if posixpath.isabs(name) or "\0" in name or ".." in PurePosixPath(name).parts:
        raise ArchiveError(f"the archive is not safe to unpack: {name!r} leads out of it")
    return posixpath.normpath(name)


def _tar_members(archive: tarfile.TarFile) -> Iterator[Member]:
    sizes: dict[str, int] = {}
    for item in archive:
        name = _safe_name(item.name)
        if item.isdir():
            yield Member(name, "folder", False, "", item)
        elif item.issym():
            yield Member(name, "link", False, item.linkname, item)
        elif item.islnk():
            target = _safe_name(item.linkname)
            sizes[name] = sizes.get(target, 0)
            yield Member(name, "hardlink", False, target, item, sizes[name])
        elif item.isreg():
            sizes[name] = item.size
            yield Member(name, "file", bool(item.mode & 0o100), "", item, item.size)
        else:
            raise ArchiveError(f"the archive is not safe to unpack: {name!r} is a device or another special file")


def _zip_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    for item in archive.infolist():
        name, mode = _safe_name(item.filename.replace("\\", "/")), item.external_attr >> 16
        if item.is_dir():
            yield Member(name, "folder", False, "", item)
        elif stat.S_ISLNK(mode):
            yield Member(name, "link", False, archive.read(item).decode("utf-8", "surrogateescape"), item)
        else:
            yield Member(name, "file", bool(mode & 0o100), "", item, item.file_size)


def _bounded(members: Iterator[Member], free: int) -> list[Member]:
    """The members of an archive that fits the disk; a file is never longer than its archive states."""
    kept, total = [], 0
    for member in members:
        kept.append(member)
        total += member.size
        if len(kept) > MOST_MEMBERS:
            raise ArchiveError(f"the archive has more than {MOST_MEMBERS:,} files and directories")
        if total > MOST_GIB * GIB:
            raise ArchiveError(f"the archive unpacks to more than {MOST_GIB} GiB")
    if total > free * 9 // 10:
        raise ArchiveError(f"the archive unpacks to {total / GIB:.1f} GiB, and the disk has {free / GIB:.1f} GiB free, of which a tenth is kept free")
    return kept


def _common_top(members: list[Member]) -> str | None:
    """The single directory everything is in, as in archives made by code hosts."""
    tops = {PurePosixPath(member.name).parts[0] for member in members if member.name != "."}
    only = tops.pop() if len(tops) == 1 else None
    is_folder = all((member.name in (".", only) and member.kind == "folder") or "/" in member.name for member in members)
    return only if only and is_folder else None


def _make_folders(root: Path, name: str) -> Path:
    """The directory `name` below root, made as needed, never through a link."""
    path = root
    for part in PurePosixPath(name).parts:
        path = path / part
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise ArchiveError(f"the archive is not safe to unpack: {name!r} leads through a link or file")
        path.mkdir(mode=0o755, exist_ok=True)
    return path


def unpack(archive: Path, destination: Path, strip: bool) -> None:
    """Unpack a tar or zip into an empty directory; `strip` drops a single top directory.

    Absolute names, names and links that lead out, devices, writing through links and more than fits the disk are refused;
    owners, setuid bits and other modes than 0644 and 0755 are not taken over.
    """
    free = shutil.disk_usage(destination).free
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _unpack(_bounded(_zip_members(opened), free), opened.open, destination, strip)
        else:
            with tarfile.open(archive) as opened_tar:
                _unpack(_bounded(_tar_members(opened_tar), free), opened_tar.extractfile, destination, strip)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, gzip.BadGzipFile, RuntimeError) as error:
        raise ArchiveError(f"this is not a tar or zip archive that can be read: {error}") from error


def _unpack(members: list[Member], open_member: Callable[[Any], IO[bytes] | None], destination: Path, strip: bool) -> None:
    top = _common_top(members) if strip else None
    for member in members:
        name = posixpath.relpath(member.name, top) if top else member.name
        if name == "." or name.startswith(".."):
            continue
        if member.kind == "folder":
            _make_folders(destination, name)
            continue
        path = _make_folders(destination, posixpath.dirname(name)) / posixpath.basename(name)
        if os.path.lexists(path):
            if path.is_dir() and not path.is_symlink():
                raise ArchiveError(f"the archive is not safe to unpack: {name!r} is a file and a directory")
            path.unlink()
        if member.kind == "link":
            if not stays_inside(name, member.target):
                raise ArchiveError(f"the archive is not safe to unpack: the link {name!r} -> {member.target!r} leads out of it")
            path.symlink_to(member.target)
            continue
        # A hard link is unpacked as a copy of the file it names.
        content = open_member(member.source)
        if content is None:
            raise ArchiveError(f"the archive names {name!r} and does not hold it")
        with content, open(path, "xb") as file:
            shutil.copyfileobj(content, file)
            os.fchmod(file.fileno(), 0o755 if member.executable else 0o644)
    _refuse_escaping_links(destination)


def _refuse_escaping_links(root: Path) -> None:
    """Several links together can lead out though each one alone does not."""
    real = os.path.realpath(root)
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            if os.path.islink(path) and os.path.commonpath([real, os.path.realpath(path)]) != real:
                link = os.path.relpath(path, root)
                raise ArchiveError(f"the archive is not safe to unpack: the link {link!r} leads out of it")
