"""Debian packages: what is missing, and its installation under the locks of apt and dpkg."""

from __future__ import annotations

import fcntl
import os
import platform
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

from ansible_collections.bulwark.flask.plugins.module_utils import clock, fs
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.former import Former, account_names
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Problem

LISTS = "/var/lib/apt/lists"
FRESH_SECONDS = 3600
# The locks of apt and dpkg. DPkg::Lock::Timeout covers only the first two, if they are taken just before apt-get starts.
LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", f"{LISTS}/lock", "/var/cache/apt/archives/lock")
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
KEEP_SETTINGS = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]

POLICY = "/usr/sbin/policy-rc.d"
POLICY_LOCK = "/run/bulwark-packages.lock"
MARK = "# Written by the collection bulwark.flask"
# Denies as long as the run, or the apt-get it started, holds the lock: the file has no effect once both have ended.
POLICY_TEXT = f"""#!/bin/sh
{MARK} while it installs packages whose services must not start yet.
flock --nonblock --shared {POLICY_LOCK} true && exit 0
exit 101
"""


def installed(module: Any, names: list[str]) -> set[str]:
    """Which of the packages are installed."""
    out = module.run_command(["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n", *names])[1] if names else ""
    return {line.split()[0] for line in out.splitlines() if line.endswith(" installed")}


def missing(wanted: list[str], present: set[str]) -> list[str]:
    """The packages to install: the first of each entry without an installed alternative."""
    choices = [[name.strip() for name in entry.split("|")] for entry in wanted]
    return [names[0] for names in choices if not present & set(names)]


def removable(module: Any, unwanted: list[str]) -> tuple[list[str], list[str]]:
    """Packages that no other package needs, and a message for each of the others."""
    going, kept = [], []
    for name in unwanted:
        rc, out, err = module.run_command(["apt-get", "-s", "remove", name], environ_update={"LC_ALL": "C.UTF-8"})
        others = [line.split()[1] for line in out.splitlines() if line.startswith("Remv ")]
        others = [other for other in others if other not in unwanted]
        if rc or others:
            reason = f"{', '.join(others)} would be removed with it" if others else (err or out).strip()[-300:]
            kept.append(f"{name} is unwanted and stays: {reason}")
        else:
            going.append(name)
    return going, kept


def running_units(module: Any, name: str) -> list[str]:
    """Units of a package that are active: its own units, and those that systemd makes of its init scripts."""
    files = module.run_command(["dpkg-query", "-L", name])[1].splitlines()
    units = {os.path.basename(path) for path in files if "/systemd/system/" in path and path.endswith((".service", ".socket")) and "@" not in path}
    units |= {os.path.basename(path) + ".service" for path in files if path.startswith("/etc/init.d/")}
    return sorted(unit for unit in units if module.run_command(["systemctl", "is-active", "--quiet", unit])[0] == 0)


def removal_warning(host: str, running: dict[str, list[str]]) -> str:
    """A sentence that names the packages that are removed, with the active units of each."""
    names = [name + (f" (in use: {', '.join(units)} active)" if units else "") for name, units in running.items()]
    return f"{host}: unwanted packages are removed: {', '.join(names)}. To keep one, take it out of the list of unwanted packages."


def lists_are_old() -> bool:
    """Whether the package lists are older than an hour, or were never fetched."""
    if not os.path.isdir(LISTS) or not any("Packages" in name for name in os.listdir(LISTS)):
        return True
    return time.time() - os.stat(LISTS).st_mtime > FRESH_SECONDS


def holder(path: str) -> Optional[str]:
    """The process that holds a lock of apt or dpkg, as text; None if there is none."""
    request = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        with open(path, "rb") as stream:
            kind, _whence, _start, _length, pid = struct.unpack("hhqqi", fcntl.fcntl(stream, fcntl.F_GETLK, request))
    except OSError:
        return None
    if kind == fcntl.F_UNLCK:
        return None
    return fs.process(pid)


class Busy(Problem):
    """Another process keeps a lock of apt or dpkg."""


class Apt:
    """apt-get on this host. It waits for other users of apt for `wait_seconds` in total, besides its own running time."""

    def __init__(self, module: Any, wait_seconds: float = fs.WAIT_SECONDS) -> None:
        self.module = module
        self.wait_seconds = wait_seconds
        self.waited = 0.0
        self.lock: Optional[int] = None

    def _wait(self) -> None:
        """Wait until no process holds a lock."""
        began = time.monotonic()
        while holders := {path: who for path in LOCKS if (who := holder(path))}:
            if self.waited + time.monotonic() - began >= self.wait_seconds:
                path, who = next(iter(holders.items()))
                raise Busy(f"{who} has held {path} for more than {self.wait_seconds:.0f} seconds. Run this again when it has ended.")
            time.sleep(1)
        self.waited += time.monotonic() - began

    def run(self, *words: str, purpose: str) -> None:
        """One call of apt-get or dpkg; repeated when another process took a lock in between, or when dpkg was interrupted."""
        configured = False
        while True:
            self._wait()
            # apt-get holds the lock of the policy too: it ends with the last of the two. dpkg alone would pass it on to
            # whatever a package leaves running; apt-get closes it there.
            inherited = [] if self.lock is None or words[0] != "apt-get" else [self.lock]
            began = time.monotonic()
            rc, out, err = self.module.run_command(list(words), environ_update=ENVIRONMENT, pass_fds=inherited)
            if rc == 0:
                return
            if "Could not get lock" in err or "is locked by another process" in err or "lock was locked" in err:
                self.waited += time.monotonic() - began + 1
                if self.waited >= self.wait_seconds:
                    raise Busy(f"{purpose}: another process took apt's lock again and again for {self.wait_seconds:.0f} seconds:\n"
                               f"{err[-2000:]}")
                time.sleep(1)
                continue
            if "dpkg was interrupted" in err and not configured:
                # A run that was killed left packages unpacked. Their configuration is finished first.
                configured = True
                self.module.warn("An earlier run of dpkg was interrupted; `dpkg --configure -a` finishes it.")
                self.run("dpkg", "--configure", "-a", "--force-confdef", "--force-confold",
                         purpose="An earlier run of dpkg was interrupted and cannot be finished")
                continue
            text = err or out
            raise Problem("\n".join(line for line in (f"{purpose}:", clock.behind(text), text[-2000:]) if line))

    def get(self, *words: str, purpose: str) -> None:
        """One call of apt-get."""
        self.run("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=10", *words, purpose=purpose)

    def install(self, names: list[str], start_services: bool) -> None:
        """Install packages, without what they recommend."""
        purpose = f"Could not install {', '.join(names)}"
        try:
            with fs.locked(POLICY_LOCK, self.wait_seconds) as self.lock, services_held(not start_services):
                outdated = self.update() if lists_are_old() else ""
                try:
                    self.get("install", "--no-install-recommends", *KEEP_SETTINGS, *names, purpose=purpose)
                except Problem as error:
                    raise Problem(f"{error}\n{outdated}".strip()) from None
                if outdated:
                    self.module.warn(f"{platform.node()}: {outdated}\nThe packages were installed from the other lists.")
        except fs.Locked as error:
            raise Problem(f"{purpose}: another run installs packages. {error}") from None

    def update(self) -> str:
        """Fetch the package lists; returns what went wrong. A repository that is broken may have none of the packages."""
        try:
            self.get("update", purpose="Could not fetch all package lists")
        except Busy:
            raise
        except Problem as error:
            return str(error)
        return ""

    def remove(self, names: list[str]) -> None:
        """Remove packages; their configuration stays."""
        self.get("remove", *names, purpose=f"Could not remove {', '.join(names)}")


def left_over() -> bool:
    """Whether there is a policy of ours. Under the lock it is what a killed run has left."""
    try:
        with open(POLICY, encoding="utf-8", errors="replace") as stream:
            return MARK in stream.read(500)
    except OSError:
        return False


@contextmanager
def services_held(hold: bool) -> Iterator[None]:
    """Keep packages from starting their services. A policy of the operator's stays and decides."""
    if left_over():
        fs.unlink(POLICY)
    if not hold or os.path.lexists(POLICY):
        yield
        return
    fs.write(POLICY, POLICY_TEXT.encode(), mode=0o755)
    try:
        yield
    finally:
        fs.unlink(POLICY)


def remove_leftover() -> bool:
    """Remove the policy that a killed run has left; returns whether there was one."""
    if not left_over():
        return False
    try:
        with fs.locked(POLICY_LOCK, wait_seconds=0):
            fs.unlink(POLICY)
        return True
    except fs.Locked:  # a run is installing right now
        return False


def ensure(module: Any, wanted: list[str], unwanted: list[str], remove_active: bool, start_services: bool, former: Former) -> dict[str, Any]:
    """Install what is missing and remove what is unwanted, or predict it in check mode: installed, removed, kept, changed."""
    present = installed(module, [*(name.strip() for entry in wanted for name in entry.split("|")), *unwanted])
    active = {name: running_units(module, name) for name in unwanted if name in present}
    in_use = [] if remove_active else [name for name, running in active.items() if running]
    removed, kept = removable(module, [name for name in active if name not in in_use])
    kept += [f"{name} is unwanted and stays: it is in use ({', '.join(active[name])}). Stop that, or allow the removal with remove_active"
             for name in in_use]
    added = missing(wanted, present)
    if removed:
        module.warn(removal_warning(platform.node(), {name: active[name] for name in removed}))
    if module.check_mode:
        policy = left_over()
    else:
        policy, apt = remove_leftover(), Apt(module)
        former.add("packages", {**dict.fromkeys(added, "installed"), **dict.fromkeys(removed, "removed")})
        if removed:
            apt.remove(removed)
        if added:
            before = set(account_names())
            apt.install(added, start_services)
            # Accounts of packages stay when the packages are purged.
            former.add("package_accounts", dict.fromkeys(sorted(set(account_names()) - before), added))
    return {"changed": bool(added or removed or policy), "installed": added, "removed": removed, "kept": kept}
