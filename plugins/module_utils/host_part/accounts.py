"""Compare a host with lines of sysusers.d and tmpfiles.d. No Ansible imports."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Container
from typing import Optional

# The first account of a person, in /etc/login.defs of Debian.
FIRST_PERSON = 1000
NO_SHELLS = ("", "/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")


def _lines(text: str) -> list[list[str]]:
    """The words of each line that is not a comment."""
    return [shlex.split(line) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _user(name: str) -> Optional[pwd.struct_passwd]:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _group(name: str) -> Optional[grp.struct_group]:
    try:
        return grp.getgrnam(name)
    except KeyError:
        return None


def names(text: str) -> list[str]:
    """The users of a file of sysusers.d."""
    return [words[1] for words in _lines(text) if words[0].rstrip("!") == "u"]


def groups(text: str) -> list[str]:
    """The groups that a file of sysusers.d makes for others: those of its memberships."""
    return [words[2] for words in _lines(text) if words[0].rstrip("!") == "m"]


def lacking(text: str) -> list[str]:
    """The users, groups and memberships of a file of sysusers.d that the host lacks."""
    missing = []
    for kind, name, *rest in _lines(text):
        kind = kind.rstrip("!")
        if kind == "u" and _user(name) is None:
            missing.append(f"user {name}")
        elif kind == "g" and _group(name) is None:
            missing.append(f"group {name}")
        elif kind == "m":
            user, group = _user(name), _group(rest[0])
            if group is None or name not in group.gr_mem and (user is None or user.pw_gid != group.gr_gid):
                missing.append(f"user {name} in group {rest[0]}")
    return missing


def _password(name: str, shadow: str) -> bool:
    """Whether one can log in with a password."""
    try:
        with open(shadow, encoding="utf-8", errors="replace") as stream:
            fields = next((line.split(":") for line in stream if line.startswith(name + ":")), ["", "*"])
    except OSError:
        return False
    return not fields[1].startswith(("!", "*"))


def taken(text: str, known: Container[str] = (), known_groups: Container[str] = (), shadow: str = "/etc/shadow") -> list[str]:
    """A message for each user of a sysusers.d file that is the account of a person or of another program on this host.

    `known` are the accounts that earlier runs have made, `known_groups` the groups.
    """
    problems = []
    for name in names(text):
        user = _user(name)
        if user is None:
            if name not in known_groups and _group(name) is not None:
                problems.append(f"the group {name} exists already, and a service of that name would have its rights: choose another name, "
                                f"or remove the group with `delgroup {name}`")
            continue
        signs = [f"its number is {user.pw_uid}"] * (FIRST_PERSON <= user.pw_uid < 65534)
        signs += [f"its shell is {user.pw_shell}"] * (user.pw_shell not in NO_SHELLS)
        signs += ["it has a password"] * _password(name, shadow)
        if signs:
            problems.append(f"the account {name} exists already and can log in ({', '.join(signs)}). A service does not take over "
                            f"such an account: choose another name, or remove the account with `deluser {name}`")
        elif name not in known:
            problems.append(f"the account {name} exists already and another program may use it: choose another name, or remove the "
                            f"account with `deluser {name}`")
    return problems


def numbers(text: str) -> dict[str, int]:
    """The number of each user of a file of sysusers.d that exists."""
    return {name: user.pw_uid for name in names(text) if (user := _user(name))}


def with_numbers(text: str, known: dict[str, int]) -> str:
    """The file with the numbers that its users had: files of an account that was deleted belong to it again."""
    lines = []
    for line in text.splitlines():
        words = line.split(None, 3)
        if len(words) > 2 and words[0].rstrip("!") == "u" and words[2] == "-" and words[1] in known:
            line = " ".join([words[0], words[1], str(known[words[1]]), *words[3:]])
        lines.append(line)
    return "\n".join(lines) + "\n"


def _expanded(path: str, root: str) -> Optional[str]:
    """The path with %m replaced; None with a specifier that only systemd knows."""
    if "%m" in path:
        try:
            with open(f"{root}/etc/machine-id", encoding="ascii") as stream:
                path = path.replace("%m", stream.read().strip())
        except OSError:
            return None
    path = path.replace("%%", "\0")
    return None if "%" in path else path.replace("\0", "%")


def _has_acl(path: str) -> bool:
    """Whether a path has an access control list. File systems without them count as having one."""
    try:
        return bool(os.getxattr(path, "system.posix_acl_access", follow_symlinks=False))
    except OSError as error:
        return error.errno == errno.ENOTSUP


def _owned(state: os.stat_result, mode: str, user: str, group: str) -> bool:
    """Whether mode and owners are those of a line."""
    if mode != "-" and stat.S_IMODE(state.st_mode) != int(mode.lstrip("~:"), 8):
        return False
    wanted_user, wanted_group = _user(user), _group(group)
    return (user == "-" or wanted_user is not None and state.st_uid == wanted_user.pw_uid) and (
        group == "-" or wanted_group is not None and state.st_gid == wanted_group.gr_gid)


def lacking_paths(text: str, root: str = "") -> list[str]:
    """The paths of a file of tmpfiles.d that are missing, or are of another kind, owner or mode.

    Lines of the types d, f, L and a are compared; others are left to systemd-tmpfiles.
    """
    missing = []
    for words in _lines(text):
        kind, path, mode, user, group, _age, *argument = [*words, *["-"] * (6 - len(words))]
        kind = kind.rstrip("+!=-^$~")
        expanded = _expanded(path, root)
        if expanded is None or kind not in ("d", "f", "L", "a"):
            continue
        try:
            state = os.lstat(root + expanded)
        except (FileNotFoundError, NotADirectoryError):
            missing.append(expanded)
            continue
        if kind == "d":
            right = stat.S_ISDIR(state.st_mode) and _owned(state, mode, user, group)
        elif kind == "f":
            right = stat.S_ISREG(state.st_mode) and _owned(state, mode, user, group)
        elif kind == "L":
            right = stat.S_ISLNK(state.st_mode) and os.readlink(root + expanded) == (argument or ["-"])[0]
        else:
            right = _has_acl(root + expanded)
        if not right:
            missing.append(expanded)
    return missing
