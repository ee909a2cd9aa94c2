"""The sandbox of every systemd unit of this collection: one profile, and the lines in which a unit differs.

A unit's template has only the directives that differ, in systemd's syntax, each with its reason:

    {% filter bulwark.flask.sandbox %}
    # The TLS keys of the sites.
    ReadOnlyPaths=-/etc/ssl/acme-cert
    {% endfilter %}

- A directive that adds up in systemd (ADDITIVE) is added to the profile's lines of the same name.
- Any other directive takes the place of the profile's lines of the same name.
- A path that a unit lists in ReadOnlyPaths, ReadWritePaths or a bind mount is not hidden from it, with all paths below.
- A path that a unit lists in InaccessiblePaths or TemporaryFileSystem is hidden only in that way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Union

Value = Union[str, bool, int, "list[str]"]

PROFILE = """
# Files: read-only or hidden, but for what the lines above allow. /run and /dev/shm are named, because
# ProtectSystem=strict leaves both writable once /proc is mounted anew. /run/systemd is empty: the journals' sockets
# in it accept lines from any process.
UMask=0077
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
PrivateMounts=yes
PrivateIPC=yes
ReadOnlyPaths=/run
TemporaryFileSystem=/dev/shm:mode=1777 /run/systemd:ro
BindReadOnlyPaths=/run/systemd/notify -/run/systemd/resolve
InaccessiblePaths=-/etc/flask-secrets -/etc/acme-cert -/etc/ssl/acme-cert -/etc/ssl/private -/etc/ssh
InaccessiblePaths=-/run/dbus -/run/ssh-unix-local -/run/user -/var/backups -/var/spool

# Privileges.
CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
PrivateUsers=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
KeyringMode=private
RemoveIPC=yes

# Kernel.
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
ProcSubset=pid
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

# Network.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SocketBindDeny=any
"""
HEADING = "# The profile of every unit of bulwark.flask, except for the directives above."

# Directives whose lines systemd adds up.
ADDITIVE = frozenset({"BindPaths", "BindReadOnlyPaths", "InaccessiblePaths", "ReadOnlyPaths", "ReadWritePaths", "TemporaryFileSystem"})
HIDING = frozenset({"InaccessiblePaths", "TemporaryFileSystem"})
REVEALING = frozenset({"BindPaths", "BindReadOnlyPaths", "ReadOnlyPaths", "ReadWritePaths"})


def sandbox(own: str, changes: Mapping[str, Value] | None = None) -> str:
    """The lines of a unit's sandbox.

    :param own: the unit's own lines with their comments
    :param changes: an operator's values by directive, one or a list of them, which act as lines after the own ones
    :returns: the own lines, the operator's, then the profile: lines for the section [Service]
    """
    changed = [f"{name}={value}" for name, given in (changes or {}).items() for value in _values(given)]
    kept = [line for line in own.strip().splitlines() if _name(line) not in _replaced(changed)]
    own_lines = [*kept, *(["# Set by the operator.", *changed] if changed else [])]
    replaced = _replaced(own_lines)
    visible = [path for line in own_lines if _name(line) in REVEALING for path in _paths(line)]
    hidden = {path for line in own_lines if _name(line) in HIDING for path in _paths(line)}
    parts = [own_lines, [HEADING]] if own_lines else [[HEADING]]
    for group in PROFILE.strip().split("\n\n"):
        lines = [_without(line, visible, hidden) for line in group.splitlines() if _name(line) not in replaced]
        if any(_name(line) for line in lines):
            parts.append([line for line in lines if line])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def properties(own: str) -> list[str]:
    """The same lines as properties of systemd-run, `Name=value`."""
    return [line for line in sandbox(own).splitlines() if _name(line)]


def _values(given: Value) -> list[str]:
    """One value or several, as systemd writes them."""
    return [{True: "yes", False: "no"}[one] if isinstance(one, bool) else str(one) for one in (given if isinstance(given, list) else [given])]


def _replaced(lines: Iterable[str]) -> set[str]:
    """The directives whose earlier lines these lines replace."""
    return {_name(line) for line in lines} - ADDITIVE - {""}


def _name(line: str) -> str:
    """The directive of a line; empty for a comment or an empty line."""
    return "" if line.startswith("#") else line.partition("=")[0]


def _paths(line: str) -> Iterable[PurePosixPath]:
    """The paths of a line, as the unit sees them, without marks and options."""
    for word in line.partition("=")[2].split():
        source, _unused, rest = word.lstrip("-+").partition(":")
        yield PurePosixPath(rest.partition(":")[0] if rest.startswith("/") else source)


def _without(line: str, visible: list[PurePosixPath], own: set[PurePosixPath]) -> str:
    """A line of the profile without the paths that the unit names itself; empty when it hides no other."""
    if _name(line) not in HIDING:
        return line

    def is_named(path: PurePosixPath) -> bool:
        return path in own or any(path == seen or seen in path.parents for seen in visible)

    hidden = [word for word in line.partition("=")[2].split() if not any(map(is_named, _paths(f"={word}")))]
    return f"{_name(line)}={' '.join(hidden)}" if hidden else ""
