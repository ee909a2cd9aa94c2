"""What of this collection a host has, and what of it can be removed without taking what others use. No Ansible imports."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

# Files of others in these directories use a package that our runs have installed.
USED_IN = {
    "auditd": ("/etc/audit/rules.d",),
    "cron": ("/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly", "/var/spool/cron/crontabs"),
    "fail2ban": ("/etc/fail2ban",),
    "logrotate": ("/etc/logrotate.d",),
    "nftables": ("/etc/nftables.d",),
    "nginx": ("/etc/nginx",),
    "rsyslog": ("/etc/rsyslog.d",),
}
# Units that read the files below a directory, and how they take a change over.
READ_BY = {
    "/etc/ssh/": ("ssh.service", "reload"),
    "/etc/nginx/": ("nginx.service", "reload-or-restart"),
    "/etc/fail2ban/": ("fail2ban.service", "restart"),
    "/etc/audit/rules.d/": ("auditd.service", "restart"),
    "/etc/systemd/journald.conf.d/": ("systemd-journald.service", "restart"),
}
# What our units and programs leave in memory file systems.
RUN = ("/run/bulwark-packages.lock", "/run/host-access-firewall.loaded", "/run/nginx", "/run/pip-audit", "/run/session-stores")


@dataclass(frozen=True)
class Package:
    """An installed Debian package: what it needs, each as a set of alternatives, and the names it provides."""

    needs: tuple[frozenset[str], ...] = ()
    provides: frozenset[str] = frozenset()


QUERY = ["dpkg-query", "-W", r"-f=${Package}\t${db:Status-Status}\t${Pre-Depends}, ${Depends}\t${Provides}\n"]


def parse_packages(listing: str) -> dict[str, Package]:
    """The installed packages, from the output of QUERY."""
    def names(text: str, separator: str) -> list[str]:
        return [match[1] for part in text.split(separator) if (match := re.match(r"\s*([a-z0-9][a-z0-9.+-]*)", part))]
    packages = {}
    for line in listing.splitlines():
        name, status, needs, provides = line.split("\t")
        if status == "installed":
            groups = (frozenset(names(group, "|")) for group in needs.split(","))
            packages[name] = Package(tuple(group for group in groups if group), frozenset(names(provides, ",")))
    return packages


def _needed_by(names: Iterable[str], packages: Mapping[str, Package], preferred: frozenset[str] = frozenset()) -> set[str]:
    """These packages and all they need. Where one of the `preferred` satisfies a need, others that do so are not needed."""
    providers: dict[str, set[str]] = {}
    for name, package in packages.items():
        for provided in (name, *package.provides):
            providers.setdefault(provided, set()).add(name)
    needed, rest = set(), list(names)
    while rest:
        name = rest.pop()
        if name in needed:
            continue
        needed.add(name)
        for group in packages[name].needs:
            satisfied = {provider for one in group for provider in providers.get(one, ())}
            rest += [] if satisfied & preferred else satisfied
    return needed


def removable(asked: Iterable[str], packages: Mapping[str, Package], before: Iterable[str], automatic: Iterable[str]) -> set[str]:
    """The packages that our runs asked for and what came with them, without those that any other package needs."""
    wanted = {name for name in asked if name in packages}
    came_along = _needed_by(wanted, packages) & set(automatic)
    gone = (wanted | came_along) - set(before)
    while needed := _needed_by(packages.keys() - gone, packages, frozenset(packages.keys() - gone)) & gone:
        gone -= needed
    return gone


def users_of(package: str, is_ours: Callable[[str], bool]) -> list[str]:
    """Files of others that use a package."""
    paths = []
    for top in USED_IN.get(package, ()):
        for folder, folders, files in os.walk(top):
            paths += [path for name in [*files, *(one for one in folders if os.path.islink(os.path.join(folder, one)))]
                      if not is_ours(path := os.path.join(folder, name))]
    return sorted(paths)


def prune(path: str) -> bool:
    """Remove a directory that has no files in it; returns whether it is gone."""
    for folder, _folders, _files in os.walk(path, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            continue
    return not os.path.lexists(path)


@dataclass
class Plan:
    """What happens to a host, as text."""

    removed: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
