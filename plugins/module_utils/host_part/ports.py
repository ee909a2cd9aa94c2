"""TCP ports that a unit needs and another program listens on. No Ansible imports."""

from __future__ import annotations

import re

LISTENERS = ["ss", "-Hltnp"]


def _unit_of(pid: str) -> str:
    """The unit a process belongs to; empty for one that has ended."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="ascii", errors="replace") as stream:
            units = re.findall(r"/([^/\n]+\.(?:service|scope|socket))(?:/|$)", stream.read(), re.MULTILINE)
    except OSError:
        return ""
    return units[-1] if units else ""


def taken(listing: str, ports: tuple[int, ...], unit: str) -> list[str]:
    """A sentence for each port of a unit that a program outside of it listens on. `listing` is the output of LISTENERS."""
    problems: dict[int, str] = {}
    for line in listing.splitlines():
        words = line.split(None, 5)
        port = int(words[3].rpartition(":")[2]) if len(words) > 4 and words[3].rpartition(":")[2].isdigit() else 0
        if port not in ports or port in problems:
            continue
        listeners = re.findall(r'\("([^"]*)",pid=(\d+)', words[5] if len(words) > 5 else "")
        units = {pid: _unit_of(pid) for _unused, pid in listeners}
        if unit in units.values():
            continue
        who = "a program that this account cannot see"
        if listeners:
            program, pid = listeners[0]
            who = f"{program} (process {pid}" + (f" of {units[pid]})" if units[pid] else ")")
        problems[port] = f"{who} listens on port {port}, which {unit} needs. Stop it for good, or have it listen on another port"
    return [problems[port] for port in sorted(problems)]
