"""Kernel settings, mounts and accounts of a host: their state, and reasons for differences. No Ansible imports."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Callable, Optional

# In the order systemd-sysctl gives them: a file hides those of its name in later directories, all are read by name.
SYSCTL_DIRECTORIES = ("etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d")
HIDEPID = {"2": "invisible", "1": "noaccess", "0": "off"}


def path_of(name: str) -> str:
    """The path of a setting below /proc/sys. A name with slashes can have dots in its parts."""
    return name if "/" in name else name.replace(".", "/")


def name_of(path: str) -> str:
    """The usual notation of a setting, with dots."""
    return path.replace("/", ".") if "." not in path else path


def expand(root: Path, name: str) -> list[str]:
    """The settings that match a name, as paths below /proc/sys."""
    base = root / "proc/sys"
    return sorted(str(path.relative_to(base)) for path in base.glob(path_of(name)) if path.is_file())


def read(root: Path, path: str) -> Optional[str]:
    """The value of a setting, None if it cannot be read."""
    try:
        return " ".join((root / "proc/sys" / path).read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return None


def write(root: Path, path: str, value: str) -> str:
    """Write a setting; returns the kernel's error, empty on success."""
    try:
        (root / "proc/sys" / path).write_text(value, encoding="utf-8")
    except OSError as error:
        return error.strerror or str(error)
    return ""


def writable(root: Path, path: str) -> bool:
    """Whether a setting can be written; changes nothing."""
    place = root / "proc/sys" / path
    return bool(place.stat().st_mode & 0o200) and os.access(place, os.W_OK)


def overrides(root: Path, own: str) -> dict[str, tuple[str, str]]:
    """Settings of files that are read after our own: {name as written: (value, file)}."""
    files: dict[str, Path] = {}
    for directory in SYSCTL_DIRECTORIES:
        for path in sorted((root / directory).glob("*.conf")):
            files.setdefault(path.name, path)
    settings: dict[str, tuple[str, str]] = {}
    for path in (files[name] for name in sorted(files) if name > own):
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            name, equals, value = line.strip().lstrip("-").partition("=")
            if equals and not line.lstrip().startswith(("#", ";")):
                settings[name.strip()] = (" ".join(value.split()), "/" + str(path.relative_to(root)))
    return settings


def settle(root: Path, wanted: Mapping[str, Any], own: str, predict: bool,
           record: Callable[[str, Optional[str]], None] = lambda path, value: None) -> tuple[list[str], list[str]]:
    """Set or predict settings that differ. Returns the names that were set, and a message for each that could not be set.

    `record` gets each path and its value before it is changed.
    """
    done, refused = [], []
    later = {path: entry for name, entry in overrides(root, own).items() for path in expand(root, name)}
    values: dict[str, str] = {}
    for name, value in sorted(wanted.items(), key=lambda item: "*" not in item[0]):
        paths = expand(root, name)
        if not paths:
            refused.append(f"{name} = {value}: this kernel has no such setting")
        # A full name has precedence over a pattern.
        values.update({path: " ".join(str(value).split()) for path in paths})
    for path, value in sorted(values.items()):
        name, now = name_of(path), read(root, path)
        if now == value:
            continue
        if path in later and later[path][0] != value:
            refused.append(f"{name} = {value}: {later[path][1]} sets {later[path][0]} after it")
            continue
        reason = "" if writable(root, path) else "this host may not change it (read-only)"
        if not reason and not predict:
            record(path, now)
            reason = write(root, path, value)
            if not reason and (now := read(root, path)) not in (value, None):
                reason = "the kernel keeps its own value"
        if reason:
            refused.append(f"{name} = {value}: {reason}; it is {now if now is not None else 'unknown'}")
        else:
            done.append(name)
    return done, refused


def topmost_mount(table: str, where: str) -> Optional[tuple[list[str], list[str]]]:
    """The options of the topmost mount of a path, and those of its file system; None where nothing is mounted."""
    options = None
    for line in table.splitlines():
        before, _unused, after = line.partition(" - ")
        fields = before.split()
        if len(fields) > 5 and fields[4] == where:
            options = fields[5].split(","), after.split()[2].split(",")
    return options


def mount_options(table: str, where: str) -> set[str]:
    """All options of the topmost mount of a path."""
    own, of_file_system = topmost_mount(table, where) or ([], [])
    options = {*own, *of_file_system}
    return {f"hidepid={HIDEPID.get(option[8:], option[8:])}" if option.startswith("hidepid=") else option for option in options}


def mounts(table: str, wanted: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """By path, a message for each mount that lacks an option."""
    lacks = {where: [o for o in options if o not in mount_options(table, where)] for where, options in wanted.items()}
    return {where: f"{where} is mounted without {', '.join(options)}" for where, options in lacks.items() if options}


def password_policy(common_password: str) -> list[str]:
    """A message when PAM does not check new passwords with pam_pwquality."""
    used = any("pam_pwquality.so" in line for line in common_password.splitlines() if not line.lstrip().startswith("#"))
    return [] if used else ["passwords: /etc/pam.d/common-password does not use pam_pwquality, so no minimum length is enforced; it has local "
                            "changes, which Debian leaves alone. To use it: pam-auth-update --enable pwquality --force"]


def open_accounts(passwd: str, shadow: str) -> list[str]:
    """A message for each further account with user id 0, and for each without a password."""
    problems = []
    for line in passwd.splitlines():
        name, _unused, number = (line.split(":") + ["", "", ""])[:3]
        if number == "0" and name != "root":
            problems.append(f"accounts: {name} has user id 0, like root")
    for line in shadow.splitlines():
        name, password = (line.split(":") + ["", "*"])[:2]
        if name and not password:
            problems.append(f"accounts: {name} needs no password; lock it with `passwd --lock {name}`")
    return problems
