"""The state of a host before this collection first changed it, so that it can be restored. No Ansible imports.

Each path, unit, package, account, kernel setting and mount is recorded once, before its first change, in
`<state_dir>/former`, which only root can read. Contents of former files are kept there too. A host that this collection
changed before it kept such records has `complete: false`: what is not recorded there is unknown.
"""

from __future__ import annotations

import dataclasses
import glob
import grp
import hashlib
import os
import pwd
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Optional

from ansible_collections.bulwark.flask.plugins.module_utils import fs, host_settings
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import State, read_state

# Directories of this collection. One that is there before the first change is never removed as a whole.
TREES = (
    "/etc/acme-cert", "/etc/alarm-channel", "/etc/flask-logs", "/etc/flask-secrets", "/etc/gunicorn", "/etc/host-access",
    "/etc/pip-audit", "/etc/session-store", "/etc/ssl/acme-cert", "/opt/bandit", "/opt/certbot", "/opt/pip-audit", "/opt/uv",
    "/usr/local/lib/alarm-channel", "/var/cache/pip-audit", "/var/lib/acme-cert", "/var/lib/alarm-channel", "/var/lib/host-baseline",
    "/var/lib/host_access", "/var/lib/nginx/cache", "/var/lib/pip-audit", "/var/lib/session-stores", "/var/log/acme-cert",
)
# What packages leave when they are purged, the innermost first.
LEFT_BY = {"nginx": ("/var/www/html/index.nginx-debian.html", "/var/www/html", "/var/www")}
MOUNTS = ("/tmp", "/dev/shm", "/proc")
UNITS = "/etc/systemd/system"


def installed_packages() -> list[str]:
    """The names of all installed Debian packages; none where there is no dpkg."""
    try:
        done = subprocess.run(["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n"], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return sorted({line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")})


def account_names() -> list[str]:
    """The users and groups of this host, as `user NAME` and `group NAME`."""
    return sorted([f"user {user.pw_name}" for user in pwd.getpwall()] + [f"group {group.gr_name}" for group in grp.getgrall()])


def mount_options(table: str, where: str) -> Optional[str]:
    """The options of the topmost mount of a path that a remount can set; None where nothing is mounted."""
    mount = host_settings.topmost_mount(table, where)
    return mount and ",".join([*mount[0], *(option for option in mount[1] if option.startswith(("hidepid=", "gid=")))])


def mounts() -> dict[str, Optional[str]]:
    """The options of the mounts that roles change."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as stream:
        table = stream.read()
    return {where: mount_options(table, where) for where in MOUNTS}


class Former:
    """The records of one host, each a JSON file with one mapping."""

    def __init__(self, store: str) -> None:
        self.store, self.folder = store, os.path.join(store, "former")
        self.contents = os.path.join(self.folder, "contents")

    def read(self, name: str) -> dict[str, Any]:
        """The records of a kind: host, paths, units, packages, accounts or settings."""
        return fs.read_json(os.path.join(self.folder, f"{name}.json")) or {}

    def created(self) -> set[str]:
        """Paths that did not exist before the first change of this collection."""
        return {path for path, record in self.read("paths").items() if record["kind"] == "absent"}

    def own_trees(self) -> list[str]:
        """Directories of this collection that did not exist before its first change; empty where that is not known."""
        host = self.read("host")
        return [tree for tree in TREES if tree not in host["present"]] if host.get("complete") else []

    def is_created(self, path: str) -> bool:
        """Whether this collection has made a path: it is recorded so, or is below a directory of ours."""
        return path.startswith(tuple(f"{tree}/" for tree in self.own_trees())) or path in self.created()

    def begin(self) -> None:
        """Record what cannot be seen later, once: installed packages, accounts, mounts and directories."""
        if os.path.exists(os.path.join(self.folder, "host.json")):
            return
        with self.edit("host") as host:
            host.setdefault("complete", not os.path.exists(os.path.join(self.store, "managed.json")))
            host.setdefault("packages", installed_packages())
            host.setdefault("accounts", account_names())
            host.setdefault("mounts", mounts())
            host.setdefault("present", sorted([path for path in (*TREES, *(left for paths in LEFT_BY.values() for left in paths)) if os.path.lexists(path)]
                                              + glob.glob(f"{UNITS}/*")))

    @contextmanager
    def edit(self, name: str) -> Iterator[dict[str, Any]]:
        """Change the records of a kind."""
        for folder in (self.folder, self.contents):
            fs.make_private_directory(folder)
        with fs.locked(os.path.join(self.folder, "lock")):
            records = self.read(name)
            before = dict(records)
            yield records
            if records != before:
                fs.write_json(os.path.join(self.folder, f"{name}.json"), records)

    def add(self, name: str, states: dict[str, Any]) -> None:
        """Record what is not recorded yet."""
        if states.keys() - self.read(name).keys():
            with self.edit(name) as records:
                for key, value in states.items():
                    records.setdefault(key, value)

    def _copy(self, path: str) -> str:
        """The path of the copy of a former file."""
        return os.path.join(self.contents, hashlib.sha256(path.encode()).hexdigest()[:32])

    def note_paths(self, paths: Iterable[str], managed: set[str]) -> list[str]:
        """Record the state of paths that are about to change; returns those that were not recorded yet.

        A managed file without a record was written before records were kept.
        """
        self.begin()
        known = self.read("paths").keys() | managed
        new = [path for path in dict.fromkeys(paths) if path not in known]
        if new:
            with self.edit("paths") as records:
                for path in new:
                    state = read_state(path, limit=os.lstat(path).st_size if os.path.lexists(path) else 0)
                    if state.kind == "file":
                        fs.write(self._copy(path), state.data or b"")
                    records[path] = {key: value for key, value in dataclasses.asdict(state).items() if key != "data"}
        return new

    def forget_paths(self, paths: Iterable[str]) -> None:
        """Remove records of changes that were undone."""
        gone = list(paths)
        if gone:
            with self.edit("paths") as records:
                for path in gone:
                    records.pop(path, None)
                    fs.unlink(self._copy(path))

    def state(self, path: str, record: dict[str, Any]) -> State:
        """The former state of a path."""
        data = fs.read_regular(self._copy(path)) if record["kind"] == "file" else None
        return State(**record, data=data)
