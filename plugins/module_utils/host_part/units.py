"""systemd units: their state, the wanted state, and the commands between. No Ansible imports."""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import re
import time
from collections.abc import Iterable
from typing import Any, Callable, Optional

from ansible_collections.bulwark.flask.plugins.module_utils.fileset.former import Former

UNITS = "/etc/systemd/system"
KEYS = ("enabled", "state", "restart_on", "reload_on", "paths", "ports")
PROPERTIES = ("LoadState", "ActiveState", "NeedDaemonReload", "MainPID", "Listen")
# A file whose time is within this of a process's start may have been read by it.
CLOCK_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The wanted state of a unit; None is not checked. Patterns match paths of the set."""

    name: str
    enabled: Optional[bool] = None
    state: Optional[str] = None  # started, stopped or absent
    restart_on: tuple[str, ...] = ()
    reload_on: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()

    @property
    def path(self) -> str:
        """The path of a unit's file."""
        return f"{UNITS}/{self.name}"

    def own_patterns(self) -> list[str]:
        """The unit's own files: a change of them restarts it."""
        stem, _unused, suffix = self.name.rpartition(".")
        bases = [self.name] + ([f"{stem.partition('@')[0]}@.{suffix}"] if "@" in stem else [])
        return [pattern for base in bases for pattern in (f"{UNITS}/{base}", f"{UNITS}/{base}.d/*")]

    def touched(self, paths: set[str]) -> Optional[str]:
        """The action that a change of these paths needs: restart, reload or none."""
        def any_of(patterns: Any) -> bool:
            return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns for path in paths)
        if any_of([*self.own_patterns(), *self.restart_on]):
            return "restart"
        return "reload-or-restart" if any(map(self.reloads_on, paths)) else None

    def reloads_on(self, path: str) -> bool:
        """Whether a change of this path is taken over by a reload."""
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in self.reload_on)


def wanted_of(given: dict[str, Any]) -> list[Wanted]:
    """Parse the option `units`; all problems are one ValueError."""
    problems, wanted = [], []
    for name, options in given.items():
        options = options or {}
        if not re.fullmatch(r"[\w:.\\@-]+\.(service|socket|timer|path|target|mount|slice)", name):
            problems.append(f"{name}: must be the full name of a unit, such as nginx.service")
        if not isinstance(options, dict):
            problems.append(f"{name}: must be a mapping of {', '.join(KEYS)}")
            continue
        problems += [f"{name}: unknown key {key} (known are {', '.join(KEYS)})" for key in options if key not in KEYS]
        enabled, state = options.get("enabled"), options.get("state")
        if enabled not in (None, True, False):
            problems.append(f"{name}: enabled must be true or false")
        if state not in (None, "started", "stopped", "absent"):
            problems.append(f"{name}: state must be started, stopped or absent")
        patterns = {key: options.get(key) or [] for key in ("restart_on", "reload_on", "paths")}
        problems += [f"{name}: {key} must be a list of paths or patterns" for key, value in patterns.items()
                     if not isinstance(value, list) or not all(isinstance(one, str) for one in value)]
        ports = options.get("ports") or []
        if not isinstance(ports, list) or not all(isinstance(port, int) and 0 < port < 65536 for port in ports):
            problems.append(f"{name}: ports must be a list of numbers")
        if not problems:
            wanted.append(Wanted(name, enabled, state, tuple(patterns["restart_on"]), tuple(patterns["reload_on"]),
                                 tuple(patterns["paths"]), tuple(ports)))
    if problems:
        raise ValueError("\n".join(f"- units, {problem}" for problem in problems))
    return wanted


@dataclasses.dataclass(frozen=True)
class State:
    """The state of a unit."""

    load: str = "not-found"
    active: str = "inactive"
    stale: bool = False  # its files changed since systemd read them
    file: str = ""  # the output of `systemctl is-enabled`
    unreachable: bool = False  # a socket whose path was deleted while it listens
    pid: int = 0  # its main process

    @property
    def runs(self) -> bool:
        """Whether it is running or starting."""
        return self.active in ("active", "activating", "reloading", "refreshing")


def _listened_on(block: str) -> list[str]:
    """The paths of a socket's unit, from lines such as `Listen=/run/x.sock (Stream)`."""
    return re.findall(r"^Listen=(/.+) \(\w+\)$", block, re.MULTILINE)


def look(names: list[str], run: Callable[[list[str]], str]) -> dict[str, State]:
    """The state of units: one `systemctl show` for all, and one `is-enabled`, which reads the disk and no cache."""
    if not names:
        return {}
    blocks = run(["systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", *names]).strip("\n").split("\n\n")
    states = {}
    for name, block in zip(names, blocks):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        states[name] = State(values.get("LoadState", "not-found"), values.get("ActiveState", "inactive"),
                             values.get("NeedDaemonReload") == "yes", pid=int(values.get("MainPID") or 0),
                             unreachable=not all(map(os.path.exists, _listened_on(block))))
    known = [name for name, state in states.items() if state.load != "not-found"]
    answers = run(["systemctl", "is-enabled", "--", *known]).split() if known else []
    if len(answers) != len(known):  # a unit file that was removed since has no line
        answers = [run(["systemctl", "is-enabled", "--", name]).strip() for name in known]
    files = dict(zip(known, answers))
    return {name: dataclasses.replace(state, file=files.get(name, "")) for name, state in states.items()}


def record(former: Former, names: Iterable[str], run: Callable[[list[str]], str]) -> None:
    """Record the former state of units whose state is about to be promised."""
    known = former.read("units")
    states = look([name for name in names if name not in known], run)
    former.add("units", {name: {"load": state.load, "file": state.file, "active": state.runs} for name, state in states.items()})


def newest_process(pid: int) -> Optional[float]:
    """When the newest of a process and its children started, in seconds since the epoch. None where there is no process."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    ticks = []
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as stream:
            processes = [str(pid), *stream.read().split()]
        for process in processes:
            with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as stream:
                ticks.append(int(stream.read().rpartition(")")[2].split()[19]))
    except OSError:
        return None
    return booted + max(ticks) / os.sysconf("SC_CLK_TCK")


def not_loaded(pid: int, paths: Iterable[str]) -> set[str]:
    """The files that changed after a process and its children started. A service that reloads starts new children."""
    started = newest_process(pid)
    return set() if started is None else {path for path in paths
                                          if os.path.isfile(path) and os.stat(path).st_ctime > started + CLOCK_SECONDS}


def removed_paths(wanted: list[Wanted]) -> list[str]:
    """The files and links of units that are to be absent."""
    paths = []
    for unit in wanted:
        if unit.state != "absent":
            continue
        paths.append(unit.path)
        for folder in sorted(os.listdir(UNITS)) if os.path.isdir(UNITS) else []:
            link = os.path.join(UNITS, folder, unit.name)
            if folder.endswith((".wants", ".requires")) and os.path.lexists(link):
                paths.append(link)
    return paths


def needs_reload(states: dict[str, State], changed: set[str]) -> bool:
    """Whether systemd has to read its files again."""
    return any(path.startswith("/etc/systemd/") for path in changed) or any(state.stale for state in states.values())


def steps(wanted: list[Wanted], states: dict[str, State], changed: set[str], stale: frozenset[str] = frozenset()) -> list[list[str]]:
    """systemctl commands, in order: enable first, then start. `stale` units run with older files."""
    first: list[list[str]] = []
    then: list[list[str]] = []
    for unit in wanted:
        state = states.get(unit.name, State())
        if unit.state == "absent":
            then += [["stop", unit.name]] * (state.runs or state.active == "deactivating")
            then += [["reset-failed", unit.name]] * (state.active == "failed")
            continue
        if state.file.startswith("masked") and (unit.enabled or unit.state == "started"):
            runtime = ["--runtime"] if state.file == "masked-runtime" else []
            first.append(["unmask", *runtime, unit.name])
        if unit.enabled and state.file in ("", "disabled", "not-found", "masked", "masked-runtime", "enabled-runtime", "linked"):
            first.append(["enable", unit.name])
        if unit.enabled is False and state.file in ("enabled", "enabled-runtime"):
            first.append(["disable", unit.name])
        unreachable = state.unreachable and (state.runs or unit.state == "started") or not all(map(os.path.exists, unit.paths))
        action = "restart" if unit.name in stale or unreachable else unit.touched(changed)
        if unit.state == "stopped":
            then += [["stop", unit.name]] * state.runs
        elif state.runs:
            if action and unit.state == "started":
                then.append([action, unit.name])
            elif action:
                # Whether a unit without a state runs is not promised: one that is still starting may fail for reasons of its own.
                then.append([*(["--no-block"] if state.active == "activating" else []), f"try-{action}", unit.name])
        elif unit.state == "started":
            then += [["reset-failed", unit.name]] * (state.active == "failed") + [["start", unit.name]]
    return first + then
