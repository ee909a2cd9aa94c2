"""The disk space and inodes that the directories of one account may take: a project quota. No Ansible imports.

A file system with project quotas counts files by a number that each has. What is made in a directory gets the directory's number.
The number here is that of the account, so that no register of numbers is needed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import pwd
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

# Values of max_mb. The first is computed from the file system.
COMPUTED, NONE = -1, 0
# Of what is free when the limit is computed.
SHARE = 0.8
# As many inodes as ext4 makes for that space.
INODES_PER_MB = 64
# Numbers with a name, and numbers with a path.
REGISTERS = {"/etc/projid": -1, "/etc/projects": 0}
HOW_TO_ENFORCE = ("XFS needs the mount option prjquota. ext4 needs `tune2fs -O project,quota -Q prjquota` on the unmounted file system, and "
                  "the same mount option; for / it is rootflags=prjquota on the kernel's command line")

# Of linux/quota.h and linux/dqblk_xfs.h. The system call has this number on every architecture of Debian; Linux 5.14 has it first.
QUOTACTL_FD, PROJECT_QUOTA = 443, 2
GET_STATE, GET_QUOTA, SET_QUOTA = 0x5808, 0x800007, 0x800008
STATE_SIZE, STATE_VERSION, IS_ENFORCED = 160, 1, 1 << 5
BLOCK, LIMITS = 1024, 1 | 4
# Hard and soft limit of blocks, bytes in use, hard and soft limit of inodes, inodes in use, two times, and what is valid.
QUOTA = struct.Struct("=8QI4x")
# Of linux/fs.h.
GET_ATTRIBUTES, SET_ATTRIBUTES, INHERITED = 0x801C581F, 0x401C5820, 0x200
# Flags, two sizes of extents, project, another size.
ATTRIBUTES = struct.Struct("=5I8x")


class Amount(NamedTuple):
    """Space in bytes, and inodes."""

    space: int
    inodes: int

    def __str__(self) -> str:
        return f"{self.space >> 20} MiB and {self.inodes} inodes"


@dataclass(frozen=True)
class Wanted:
    """A limit as a role asks for it. The first path decides on the file system."""

    account: str
    paths: list[str]
    max_mb: int
    variable: str


# --- The kernel.

def _quotactl(path: str, command: int, project: int, data: bytes) -> bytes:
    """One call for the file system of a path."""
    libc, buffer = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(data, len(data))
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if libc.syscall(ctypes.c_long(QUOTACTL_FD), ctypes.c_uint(handle), ctypes.c_uint(command << 8 | PROJECT_QUOTA), ctypes.c_uint(project), buffer):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(handle)
    return buffer.raw


def is_enforced(path: str) -> bool:
    """Whether the file system of a path enforces project quotas."""
    try:
        state = _quotactl(path, GET_STATE, 0, bytes([STATE_VERSION]).ljust(STATE_SIZE, b"\0"))
    except OSError:
        return False
    return bool(struct.unpack_from("=2xH", state)[0] & IS_ENFORCED)


def look(path: str, project: int) -> tuple[Amount, Amount]:
    """What a project uses and its limit; 0 is none."""
    try:
        blocks, _soft, space, max_inodes, _soft_inodes, inodes, *_rest = QUOTA.unpack(_quotactl(path, GET_QUOTA, project, bytes(QUOTA.size)))
    except OSError as error:
        if error.errno != errno.ENOENT:  # XFS does not know a number that has no files
            raise
        return Amount(0, 0), Amount(0, 0)
    return Amount(space, inodes), Amount(blocks * BLOCK, max_inodes)


def _limit(path: str, project: int, limit: Amount) -> None:
    _quotactl(path, SET_QUOTA, project, QUOTA.pack(limit.space // BLOCK, 0, 0, limit.inodes, 0, 0, 0, 0, LIMITS))


# --- Files.

@contextmanager
def _opened(name: str, folder: Optional[int] = None) -> Iterator[int]:
    """A file or directory, never what a link leads to: a running application owns the tree."""
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)


def _attributes(handle: int) -> tuple[int, ...]:
    return ATTRIBUTES.unpack(fcntl.ioctl(handle, GET_ATTRIBUTES, bytes(ATTRIBUTES.size)))


def _renumber(handle: int, before: int, after: int) -> None:
    """Move one file or directory from one project to another; those of other projects stay as they are."""
    flags, extents, count, project, more = _attributes(handle)
    is_directory = stat.S_ISDIR(os.fstat(handle).st_mode)
    wanted = flags & ~INHERITED | INHERITED * bool(is_directory and after)
    if project in (before, after) and (project, flags) != (after, wanted):
        fcntl.ioctl(handle, SET_ATTRIBUTES, ATTRIBUTES.pack(wanted, extents, count, after, more))


def project_of(path: str) -> int:
    """The number that what is made in a directory gets."""
    with _opened(path) as handle:
        flags, _extents, _count, project, _more = _attributes(handle)
    return project if flags & INHERITED else 0


def renumber(top: str, before: int, after: int) -> None:
    """Move a directory with all below it on the same file system. Links, sockets and pipes have no number that can be changed."""
    device = os.stat(top).st_dev
    for _folder, names, files, handle in os.fwalk(top, follow_symlinks=False):
        if os.fstat(handle).st_dev != device:
            names.clear()
            continue
        _renumber(handle, before, after)
        for name in files:
            # It may be gone, or be immutable, and then it does not grow either.
            with suppress(FileNotFoundError, PermissionError):
                if stat.S_ISREG(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode):
                    with _opened(name, handle) as opened:
                        _renumber(opened, before, after)


# --- The limit of one account.

def _existing(path: str) -> str:
    """The path, or the nearest directory above it that exists."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _number(account: str) -> Optional[int]:
    try:
        return pwd.getpwnam(account).pw_uid
    except KeyError:
        return None


def registered(number: int, root: str = "") -> str:
    """The file in which an operator gave the number to something else; empty if there is none."""
    for path, field in REGISTERS.items():
        lines = Path(root + path).read_text(encoding="utf-8", errors="replace").splitlines() if os.path.exists(root + path) else []
        if any(line.split("#")[0].split(":")[field].strip() == str(number) for line in lines):
            return path
    return ""


def wanted_limit(max_mb: int, size: Amount, used: Amount, free: Amount, record: Mapping[str, Any]) -> Amount:
    """The limit. One that was computed stays until the file system has another size: what is free changes all the time."""
    if max_mb > 0:
        return Amount(max_mb << 20, max_mb * INODES_PER_MB)
    if record.get("size") == list(size):
        return Amount(*record["limit"])
    return Amount(used.space + int(free.space * SHARE) >> 20 << 20, used.inodes + int(free.inodes * SHARE))


class DiskLimit:
    """The limit of one account, and the record of the run that set it."""

    def __init__(self, wanted: Wanted, record: Optional[Mapping[str, Any]]) -> None:
        self.wanted, self.record = wanted, dict(record or {})
        self.home = os.path.realpath(wanted.paths[0])
        self.place = _existing(self.home)
        self.enforced = is_enforced(self.place)
        self.number = _number(wanted.account)
        self.warnings: list[str] = []

    @classmethod
    def of_record(cls, account: str, home: str, part: Mapping[str, Any]) -> DiskLimit:
        """The limit that the record of a part has, for its removal."""
        return cls(Wanted(account, [home], NONE, ""), part.get("disk_limit"))

    @property
    def is_mount(self) -> bool:
        """Whether the directory has a file system of its own, which limits it."""
        return os.path.ismount(self.home)

    def others(self) -> str:
        """Why the number is not free, or the directory has another; empty if it is ours or free."""
        has = project_of(self.home) if os.path.isdir(self.home) else 0
        if has and has != self.number and has != self.record.get("project"):
            return f"{self.home} has the project {has} already: remove it with `chattr -R -p 0 -P {self.home}`"
        if self.number is None or self.number in (has, self.record.get("project")):
            return ""
        if name := registered(self.number):
            return f"{name} has the number {self.number} of this account for something else: remove it there"
        if any(map(any, look(self.place, self.number))):
            return f"files or a limit of others have the number {self.number} of this account as their project: see `repquota -P`"
        return ""

    @property
    def is_wanted(self) -> bool:
        """Whether there is a limit after the run."""
        return self.enforced and self.wanted.max_mb != NONE and not (self.is_mount and self.wanted.max_mb == COMPUTED) and not self.others()

    def refusals(self) -> list[str]:
        """Why a limit that was asked for cannot be set."""
        if self.wanted.max_mb <= 0:
            return []
        asked = f"{self.wanted.variable} is {self.wanted.max_mb}, and"
        if not self.enforced:
            return [f"{asked} the file system of {self.home} does not enforce project quotas. {HOW_TO_ENFORCE}. Without a limit set it to 0, or leave it out"]
        return [f"{asked} {reason}" for reason in [self.others()] if reason]

    def trees(self) -> list[str]:
        """The directories that count: the first, and those of the account on the same file system."""
        wanted, others = (os.stat(self.place).st_dev, self.number), sorted({os.path.realpath(path) for path in self.wanted.paths[1:]})
        return [self.home, *(path for path in others if os.path.isdir(path) and not path.startswith(self.home + "/")
                             and (os.stat(path).st_dev, os.stat(path).st_uid) == wanted)]

    def ensure(self, check: bool) -> list[str]:
        """Set the limit, or remove it; or predict it. Returns what changes, in words."""
        if not self.enforced:
            return []
        if reason := self.others():
            self.warnings += [f"The disk space of {self.wanted.account} has no limit: {reason}"] * (self.wanted.max_mb != NONE)
            return []
        if not self.is_wanted:
            return self.remove(check)
        if self.number is None:
            return [f"a limit of the disk space of {self.wanted.account}"]
        lines = []
        if self.record.get("project", self.number) != self.number:
            lines += self.remove(check)
        lines += self.mark(check)
        used, current = look(self.place, self.number)
        # Not of the directory itself: it shows its limit as its size.
        disk = os.statvfs(_existing(os.path.dirname(self.home)))
        size = Amount(disk.f_blocks * disk.f_frsize, disk.f_files)
        limit = wanted_limit(self.wanted.max_mb, size, used, Amount(disk.f_bavail * disk.f_frsize, disk.f_favail), self.record)
        if current != limit:
            lines.append(f"a limit of {limit} for {self.wanted.account} below {self.home}")
        if used.space > limit.space or used.inodes > limit.inodes:
            self.warnings.append(f"{self.wanted.account} uses {used}, more than {self.wanted.variable} allows: it cannot write until it has deleted something")
        if not check:
            if current != limit:
                _limit(self.place, self.number, limit)
            self.record = {"project": self.number, "limit": list(limit), "trees": self.trees(),
                           **({"size": list(size)} if self.wanted.max_mb == COMPUTED else {})}
        return lines

    def mark(self, check: bool) -> list[str]:
        """Give the account's number to its directories. One that a run has not finished is done again."""
        lines, number = [], self.number or 0
        if not os.path.isdir(self.home) and not check:
            os.makedirs(self.home, mode=0o700)
            os.chown(self.home, number, pwd.getpwnam(self.wanted.account).pw_gid)
            self.place = self.home
        for tree in self.trees():
            has = project_of(tree) if os.path.isdir(tree) else 0
            if has == 0:
                lines.append(f"the project {number} for {tree}")
            if not check and (has == 0 or has == number and tree not in self.record.get("trees", [])):
                renumber(tree, 0, number)
        return lines

    def remove(self, check: bool) -> list[str]:
        """Remove the limit and the number from the directories; what is not ours stays."""
        number = self.record.get("project", self.number)
        if not self.enforced or not number:
            return []
        trees = [tree for tree in {self.home, *self.record.get("trees", [])} if os.path.isdir(tree)]
        marked = [tree for tree in trees if project_of(tree) == number]
        if not marked and not self.record:
            return []
        if not check:
            _limit(self.place, number, Amount(0, 0))
            for tree in marked:
                renumber(tree, number, 0)
            self.record = {}
        return [f"no limit for {self.wanted.account} below {self.home}"]
