"""What a host has in the way of an application: things under its name, and server blocks with its domains. No Ansible imports."""

from __future__ import annotations

import glob
import grp
import os
import pwd
import re
from collections.abc import Iterable, Iterator
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


TOKENS = re.compile(r'''"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|#[^\n]*|[{};]|[^\s{};"']+''')


def statements(text: str) -> Iterator[list[str]]:
    """The directives of an nginx configuration, blocks opened or not."""
    words: list[str] = []
    for token in TOKENS.findall(text):
        if token.startswith("#"):
            continue
        if token in "{};":
            if words:
                yield words
            words = []
        else:
            words.append(token.strip("\"'"))


def blocks(path: str = "/etc/nginx/nginx.conf", root: str = "", seen: Optional[set[str]] = None) -> Iterator[tuple[str, list[list[str]]]]:
    """Each file of nginx's configuration, with its directives.

    The files are read here, as `nginx -T` would also open the logs, and prints nothing where a file is broken.
    """
    seen = set() if seen is None else seen
    if path in seen:
        return
    seen.add(path)
    try:
        with open(root + path, encoding="utf-8", errors="replace") as stream:
            directives = list(statements(stream.read()))
    except OSError:
        return
    yield path, directives
    for words in directives:
        if words[0] == "include" and len(words) == 2:
            for included in sorted(glob.glob(root + os.path.join("/etc/nginx", words[1]))):
                yield from blocks(included[len(root):], root, seen)


def files(root: str = "") -> list[str]:
    """The files of nginx's configuration."""
    return [path for path, _unused in blocks(root=root)]


def server_names(path: str = "/etc/nginx/nginx.conf", root: str = "") -> Iterator[tuple[str, str]]:
    """Each file of nginx's configuration with each name that a server block in it has."""
    for file, directives in blocks(path, root):
        yield from ((file, name.lower()) for words in directives if words[0] == "server_name" for name in words[1:])


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
