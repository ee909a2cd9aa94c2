"""What a host has in the way of an application: things under its name, and server blocks with its domains. No Ansible imports."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from ansible_collections.bulwark.flask.plugins.module_utils.application_layout import ACCOUNTS, DIRECTORIES, FILES


@dataclass(frozen=True)
class Conflict:
    """One thing on the host. `final`: it is never taken over."""

    kind: str
    name: str
    text: str
    final: bool = False


def _account(name: str) -> Optional[Conflict]:
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        try:
            members = grp.getgrnam(name).gr_mem
        except KeyError:
            return None
        text = f"with the members {', '.join(members)}" if members else "without members"
        return Conflict("group", name, f"the group {name}, {text}: its rights would be the application's", final=True)
    groups = sorted(group.gr_name for group in grp.getgrall() if name in group.gr_mem)
    more = f", member of {', '.join(groups)}" if groups else ""
    return Conflict("account", name, f"the account {name}, number {user.pw_uid}, home {user.pw_dir}{more}", final=user.pw_uid >= 1000 or bool(groups))


def _has_contents(path: str) -> bool:
    if os.path.islink(path) or not os.path.isdir(path):
        return os.path.lexists(path)
    with os.scandir(path) as entries:
        return next(entries, None) is not None


def unmanaged(name: str, base: str, managed: Iterable[str], root: str = "") -> list[Conflict]:
    """What is on the host under the name of an application and was not made by this collection."""
    ours = set(managed)
    things = [thing for pattern in ACCOUNTS if (thing := _account(pattern.format(name=name)))]
    for pattern, what in DIRECTORIES.items():
        path = pattern.format(name=name, base=base)
        if path not in ours and _has_contents(root + path):
            things.append(Conflict("directory", path, f"{path}, where the {what} would be"))
    for pattern in FILES:
        path = pattern.format(name=name)
        if path not in ours and os.path.lexists(root + path):
            things.append(Conflict("file", path, f"{path}, which would be replaced"))
    return things


def served_by_others(domains: dict[str, list[str]], names: Iterable[tuple[str, str]], managed: Iterable[str]) -> list[str]:
    """A line for each server block of another file that has a domain of an application."""
    ours, lines = set(managed), []
    for path, name in names:
        for app, own in domains.items():
            if name not in own or path == f"/etc/nginx/sites-enabled/{app}.conf":
                continue
            if path in ours:
                other = os.path.basename(path)[:-len(".conf")]
                lines.append(f"{app}: {name} is served by the application {other} ({path}). Remove that application from the host first: "
                             f"ansible-playbook playbooks/remove.yml -e app={other}")
            else:
                lines.append(f"{app}: {name} is served by {path}, which this collection has not written. nginx would choose one of two "
                             "server blocks with the same name: remove the name there, or the file")
    return lines


def refusal(things: dict[str, list[Conflict]]) -> list[str]:
    """The lines of a run that stops before its first change."""
    lines = []
    for name, of_name in things.items():
        if not of_name:
            continue
        lines.append(f"{name}: the host has things of this name that this collection has not made:")
        lines += [f"  - {thing.text}" for thing in of_name]
        if any(thing.final for thing in of_name):
            lines.append("  Give the entry of flask_apps another name: an account of a person or of another program is not taken over.")
        else:
            lines.append("  Give the entry of flask_apps another name, or have them moved aside: "
                         f"ansible-playbook playbooks/adopt.yml -e app={name}")
    return lines
