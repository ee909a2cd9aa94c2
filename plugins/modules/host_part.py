#!/usr/bin/python
"""Install, write and run one part of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_part
short_description: Install, write and run one part of a host, in one call
version_added: "0.1.0"
description:
  - A part is what one role has on a host, packages, accounts, directories, files and units. Each run looks at all of
    them, so what was removed, changed, stopped, disabled or masked by hand comes back, and check mode says so.
  - The order is packages, virtual environments, files and their validation, accounts, directories, the limit of disk space, systemd's
    configuration, O(apply), units.
    Files are written as M(bulwark.flask.file_set) writes them. When a step after the validation fails, the next run
    makes up for it, restarts included.
  - A file of the set below C(/etc/sysusers.d) or C(/etc/tmpfiles.d) is in effect after each run. The accounts and paths
    that it names are looked at in every run and made again when they are missing or have another owner or mode. An
    account that was deleted gets the number that it had.
  - An account of C(/etc/sysusers.d) that exists and was not made by this module is refused before anything is changed. A
    service never takes over the account of a person or of another program.
  - A file that exists and was not written by this collection is not replaced, unless its entry has C(backup), or a Debian
    package has installed it and it is unmodified.
options:
  name:
    description: Name of the part, unique on the host. Its files and units are recorded in C(<state_dir>/parts/<name>.json).
    type: str
    required: true
  requires:
    description:
      - Paths that other roles make, each with what makes it. When one is missing, nothing is changed. Check mode does not
        look at them, because an earlier task may have predicted them.
    type: dict
    default: {}
  packages:
    description:
      - Debian packages that are installed when missing, without what they recommend. V(a | b) is satisfied by
        each of the two; the first is installed where neither is.
      - Waits up to five minutes for another process that uses apt or dpkg. An interrupted run of dpkg is finished first.
    type: list
    elements: str
    default: []
  packages_absent:
    description: Packages that are removed; one that others need, or whose service is active, is kept and named in RV(kept).
    type: list
    elements: str
    default: []
  remove_active:
    description: Whether a package of O(packages_absent) is removed while its service is active.
    type: bool
    default: false
  start_services:
    description: Whether a package may start its services while it is installed.
    type: bool
    default: true
  venvs:
    description:
      - Virtual environments, each installed from a lock file with a hash for everything. The link C(<path>/current) is the
        one in use; the one before stays, so that what runs from it goes on. Needs python3-venv.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Directory of the tool.
        type: path
        required: true
      requirements:
        description: Text of the lock file.
        type: str
        required: true
      program:
        description: Program of the venv that must print its version before the link moves to the venv.
        type: str
        default: ""
      python:
        description: Interpreter of the venv; a link is followed to the versioned name.
        type: path
        default: /usr/bin/python3
      ca_bundle:
        description: Certificates that are trusted while downloading.
        type: path
        default: /etc/ssl/certs/ca-certificates.crt
      index_url:
        description: Package index; empty means PyPI. A password belongs into root's C(.netrc) on the host.
        type: str
        default: ""
  files:
    default: []
  validate:
    description: Commands that validate the files, as O(bulwark.flask.file_set#module:validate).
    type: list
    elements: list
    default: []
  apply:
    description: Commands that apply a change of files, in addition to O(units), as O(bulwark.flask.file_set#module:apply).
    type: list
    elements: list
    default: []
  units:
    description:
      - Units of systemd by their full name, in the order in which they are started. Each has the keys C(enabled),
        C(state), C(restart_on), C(reload_on), C(paths) and C(ports); what is left out is not looked at.
      - C(enabled) is V(true) or V(false). C(state) is V(started), V(stopped) or V(absent), which stops the unit and
        removes its file below C(/etc/systemd/system) and the links to it.
      - A unit that runs is restarted when its own file or a drop-in of it changed, or a path that matches a shell pattern
        of C(restart_on); it is reloaded when one of C(reload_on) did. It is restarted too when systemd has not read its
        files since they changed, or when the path of its socket was deleted.
      - C(paths) exist while the unit runs, such as the socket of a service. It is restarted when one was deleted.
      - C(ports) are TCP ports that the unit listens on. If another program has one of them, nothing is changed.
      - A unit that does not start and was not enabled before is disabled again.
    type: dict
    default: {}
  disk_limit:
    description:
      - Limit of the disk space and inodes of one account's directories, by a project quota. The number of the project is that of
        the account. Nothing happens on a file system that does not enforce project quotas.
      - A limit that was changed or removed by hand comes back. A number that something else uses is not taken.
    type: dict
    suboptions:
      account:
        description: Account whose directories they are.
        type: str
        required: true
      paths:
        description:
          - Directories that count. The first decides on the file system, and is made when it is missing and gets a limit. Others count
            if they belong to the account and are on the same file system.
        type: list
        elements: str
        required: true
      max_mb:
        description:
          - Maximum space in MiB, and 64 inodes for each. Fails where it cannot be set.
          - V(-1) is the space in use and 80 % of what is free, computed when the limit is set first and when the file system
            gets another size. A directory with a file system of its own gets no limit. V(0) is no limit.
        type: int
        default: -1
      variable:
        description: Name of the variable with the maximum, for messages.
        type: str
        required: true
      files:
        description: Entries of O(files) that are for a limit. Where there is none, they are left out; O(purge) removes them.
        type: list
        elements: path
        default: []
  packaged_absent:
    description:
      - Configuration files of Debian packages, or links to them, that are removed while they are as the package installed them.
      - One that was changed stays, and is named in a warning.
    type: list
    elements: path
    default: []
  state_dir:
    description: Directory on the host, accessible to root only, for journals and records.
    type: path
    default: /var/lib/file_set
extends_documentation_fragment:
  - bulwark.flask.fileset
  - bulwark.flask.fileset.purge
attributes:
  check_mode:
    description: Predicts all changes, writes and runs nothing.
    support: full
  diff_mode:
    description: Shows files as M(bulwark.flask.file_set) does, and packages, accounts, paths and units as lines of text.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Install, configure and run a cache
  bulwark.flask.host_part:
    name: page_cache
    packages: [valkey-tools]
    files:
      - {dest: /etc/sysusers.d/page-cache.conf, template: sysusers.conf.j2}
      - {dest: /etc/page-cache, state: directory}
      - {dest: /etc/page-cache/page-cache.conf, template: page-cache.conf.j2}
      - {dest: /etc/systemd/system/page-cache.service, template: page-cache.service.j2}
    units:
      page-cache.service: {enabled: true, state: started, restart_on: [/etc/page-cache/*], paths: [/run/page-cache/page-cache.sock]}

- name: Write a site
  bulwark.flask.host_part:
    name: site-shop
    requires: {/etc/nginx/nginx.conf: install nginx first}
    files:
      - {dest: /etc/nginx/sites-enabled/shop.conf, template: site.conf.j2}
    validate:
      - [nginx, -t]
    units:
      nginx.service: {state: started, reload_on: ["*"]}
"""

RETURN = r"""
changed_files:
  description: Paths that were changed, or would be in check mode; purged ones included.
  type: list
  elements: str
  returned: always
installed:
  description: Packages that were or would be installed.
  type: list
  elements: str
  returned: always
removed:
  description: Packages that were or would be removed.
  type: list
  elements: str
  returned: always
kept:
  description: For each unwanted package that is kept, a sentence with the reason.
  type: list
  elements: str
  returned: always
venvs:
  description: Paths of virtual environments that were or would be built.
  type: list
  elements: str
  returned: always
accounts:
  description: Users, groups and memberships that were or would be made.
  type: list
  elements: str
  returned: always
directories:
  description: Paths of C(/etc/tmpfiles.d) that were or would be made or corrected.
  type: list
  elements: str
  returned: always
limits:
  description: Limits of disk space that were or would be set or removed.
  type: list
  elements: str
  returned: always
steps:
  description: Commands of systemctl that ran, or would run.
  type: list
  elements: str
  returned: always
applied:
  description: Commands of O(apply) that ran and succeeded.
  type: list
  elements: list
  returned: always
validated:
  description: Whether commands of O(validate) ran and succeeded.
  type: bool
  returned: always
backup_files:
  description: Copies of foreign files that were made.
  type: list
  elements: str
  returned: always
"""

import os
import re
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import distributions, fs, systemd_bus
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Entry, Problem, make_plan
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.session import SPEC, TIMED_OUT, Session
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import accounts, claims, disk_limit, packages, ports, units, venvs

# Actions by kind: the key of the result, and the verb of the diff.
TITLES = {"installed": "install", "removed": "remove", "venvs": "build", "accounts": "create", "directories": "create or correct",
          "limits": "set", "steps": "run"}
# The lock of everything that changes accounts, such as useradd. systemd-sysusers waits for it without an end.
OS_RELEASE = Path("/etc/os-release")
PASSWD_LOCK = "/etc/.pwd.lock"
PASSWD_SECONDS = 60
LATER = "The files are written and valid, but not everything is in effect; the next run tries again"


class Run(Session):
    """One run of the module."""

    def __init__(self, module: AnsibleModule, wanted: list[units.Wanted]) -> None:
        super().__init__(module, [Entry(path, "absent") for path in units.removed_paths(wanted)])
        self.wanted = wanted
        self.parts = os.path.join(self.store.folder, "parts")
        self.record_path = os.path.join(self.parts, f"{module.params['name']}.json")
        self.record = fs.read_json(self.record_path) or {}
        # Actions that were or would be taken, by kind.
        self.done: dict[str, list[str]] = {key: [] for key in TITLES}
        self.kept: list[str] = []
        self.applied: list[list[str]] = []
        self.packages_changed = False
        self.changed_paths: set[str] = set()
        self.disk_limit: dict[str, Any] = self.record.get("disk_limit", {})

    def below(self, folder: str) -> list[Entry]:
        """The files of the set in a directory of systemd."""
        return [entry for entry in self.entries if entry.kind == "file" and os.path.dirname(entry.dest) == folder]

    def known_accounts(self) -> tuple[set[str], set[str]]:
        """Accounts that earlier runs have made, and groups: by the records, and by the files of sysusers.d of this collection."""
        users = {name for record in claims.records(self.parts) for name in record.get("users", {})}
        groups: set[str] = set()
        managed = self.store.managed()
        for path in Path("/etc/sysusers.d").glob("*.conf"):
            data = path.read_bytes() if path.is_file() else b""
            if str(path) in managed or claims.is_own(data):
                text = data.decode(errors="replace")
                users.update(accounts.names(text))
                # A membership makes the group before the account of that name exists.
                groups.update(accounts.groups(text))
        return users, users | groups

    def refuse(self) -> None:
        """Fail before the first change when something required is missing, or the set would take what is others'."""
        users, groups = self.known_accounts()
        problems = distributions.unsupported(OS_RELEASE.read_text(encoding="utf-8", errors="replace") if OS_RELEASE.exists() else "")
        problems += [text for entry in self.below("/etc/sysusers.d") for text in accounts.taken(entry.data.decode(), users, groups)]
        if any(unit.ports for unit in self.wanted):
            listing = self.module.run_command(ports.LISTENERS)[1]
            problems += [text for unit in self.wanted if unit.state == "started" for text in ports.taken(listing, unit.ports, unit.name)]
        problems += [f"{path} is on the host and this collection has not written it: move it away"
                     for path in claims.replaced(make_plan(self.entries, self.store.due()), self.store.managed())]
        if self.module.params["disk_limit"]:
            problems += self.limit_of_disk().refusals()
        if not self.module.check_mode:
            problems += [f"{path} is missing: {maker}" for path, maker in self.module.params["requires"].items() if not os.path.exists(path)]
        if problems:
            raise Problem("Nothing was changed, because:\n" + "\n".join(f"- {problem}" for problem in problems))

    def plan(self, final: bool) -> None:
        """As every set, without the files of packages that are removed unless they were changed, and those of a limit where there is none."""
        for path in self.module.params["packaged_absent"]:
            if os.path.lexists(path) and not claims.as_packaged(path):
                self.module.warn(f"{path} is not as a Debian package installed it, and stays. Remove it if nothing uses it.")
            else:
                self.entries.append(Entry(path, "absent"))
        options = self.module.params["disk_limit"]
        if options and not self.limit_of_disk().is_wanted:
            self.entries = [entry for entry in self.entries if entry.dest not in options["files"]]
        super().plan(final)

    def software(self) -> None:
        """Install and remove packages, then build virtual environments; or predict it."""
        params = self.module.params
        if not self.module.check_mode:
            self.store.former.begin()
            promised = [unit.name for unit in self.wanted if unit.enabled is not None or unit.state in ("started", "stopped")]
            units.record(self.store.former, promised, self.run_systemctl)
        result = packages.ensure(self.module, params["packages"], params["packages_absent"], params["remove_active"],
                                 params["start_services"], self.store.former)
        self.done["installed"], self.done["removed"], self.kept = result["installed"], result["removed"], result["kept"]
        self.packages_changed = result["changed"]
        self.done["venvs"] = [options["path"] for options in params["venvs"] if self.venv(options)]

    def venv(self, options: dict[str, Any]) -> bool:
        """Install a virtual environment; returns whether anything changed."""
        try:
            return bool(venvs.ensure(self.module, options))
        except Problem as error:
            # Python's venv module does not print why it failed.
            if fs.is_full(options["path"]):
                raise Problem(f"{error}\nThe disk is full.") from None
            raise

    def accounts(self) -> None:
        """Make the users, groups, memberships and paths that are missing, or predict it."""
        for entry in self.below("/etc/sysusers.d"):
            text = entry.data.decode()
            missing = accounts.lacking(text)
            if missing and not self.module.check_mode:
                self.store.former.add("accounts", dict.fromkeys(missing, entry.dest))
                # It then reads only its standard input.
                text = accounts.with_numbers(text, self.record.get("users", {}))
                rc, out, err = self.module.run_command(["timeout", str(PASSWD_SECONDS), "systemd-sysusers", "-"], data=text)
                if rc == TIMED_OUT:
                    who = " and ".join(fs.holders(PASSWD_LOCK)) or "a process that is not visible from here"
                    raise Problem(f"{LATER}: `systemd-sysusers` of {entry.dest} waited {PASSWD_SECONDS} seconds for {PASSWD_LOCK}, "
                                  f"which {who} holds")
                if rc:
                    raise Problem(f"{LATER}: `systemd-sysusers` of {entry.dest} failed with status {rc}:\n{err or out}")
            self.done["accounts"] += missing
        for entry in self.below("/etc/tmpfiles.d"):
            missing = accounts.lacking_paths(entry.data.decode())
            if (missing or entry.dest in self.changed_paths) and not self.module.check_mode:
                self.run(["systemd-tmpfiles", "--create", entry.dest], LATER)
            self.done["directories"] += missing

    def limit_of_disk(self) -> disk_limit.DiskLimit:
        """The wanted limit of disk space beside the one that an earlier run has set."""
        options = {key: value for key, value in self.module.params["disk_limit"].items() if key != "files"}
        return disk_limit.DiskLimit(disk_limit.Wanted(**options), self.disk_limit)

    def limit_disk(self) -> None:
        """Set the limit of disk space, or predict it."""
        if not self.module.params["disk_limit"]:
            return
        limit = self.limit_of_disk()
        try:
            self.done["limits"] = limit.ensure(self.module.check_mode)
        except OSError as error:
            raise Problem(f"{LATER}: the disk space of {limit.wanted.account} could not be limited: {error}") from error
        self.disk_limit = limit.record
        for text in limit.warnings:
            self.module.warn(text)

    def run_systemctl(self, command: list[str]) -> str:
        """The output of a command that may fail."""
        return systemd_bus.patient(lambda: self.module.run_command(command, environ_update={"LC_ALL": "C.UTF-8"}))[1]

    def look(self) -> dict[str, units.State]:
        """The state of the units."""
        return units.look([unit.name for unit in self.wanted], self.run_systemctl)

    def units(self, owed: bool) -> None:
        """Reload systemd, run `apply`, then enable and start units; or predict it."""
        check = self.module.check_mode
        states = self.look()
        stale = frozenset(name for name, state in states.items() if state.stale and state.runs)
        changed = self.changed_paths.union(*(units.not_loaded(states[unit.name].pid, filter(unit.reloads_on, self.dests))
                                             for unit in self.wanted if unit.reload_on and states[unit.name].runs))
        if units.needs_reload(states, self.changed_paths):
            self.done["steps"].append("systemctl daemon-reload")
            if not check:
                self.run(["systemctl", "daemon-reload"], LATER)
                states = self.look()
        if owed and not check:
            for command in self.module.params["apply"]:
                self.run(command, LATER)
                self.applied.append(command)
        new = [unit.name for unit in self.wanted if unit.enabled and not states.get(unit.name, units.State()).runs
               and states.get(unit.name, units.State()).file not in ("enabled", "static")]
        for words in units.steps(self.wanted, states, changed, stale):
            if not check:
                try:
                    self.run(["systemctl", *words], LATER)
                except Problem:
                    # One that has never run is not left enabled, or trying again each second.
                    if words[0] == "start" and words[-1] in new:
                        self.module.run_command(["systemctl", "disable", "--now", words[-1]])
                    raise
            self.done["steps"].append(f"systemctl {' '.join(words)}")

    def write_record(self) -> None:
        """Record the files and units of the part."""
        users: dict[str, int] = {}
        for entry in self.below("/etc/sysusers.d"):
            users.update(accounts.numbers(entry.data.decode()))
        record = {
            "packages": self.module.params["packages"],
            "venvs": [options["path"] for options in self.module.params["venvs"]],
            "files": [entry.dest for entry in self.entries if entry.kind != "absent"],
            "users": users,
            "units": {unit.name: {"enabled": unit.enabled, "state": unit.state} for unit in self.wanted},
            **({"disk_limit": self.disk_limit} if self.disk_limit else {}),
        }
        if record != self.record:
            fs.make_private_directory(os.path.dirname(self.record_path))
            fs.write_json(self.record_path, record)

    def execute(self) -> None:
        """Install, write and run the part."""
        self.refuse()
        self.software()
        with self.begun():
            self.plan(final=True)
            self.write(owe=True)
            owed = self.store.owed(self.dests)
            self.changed_paths = set(self.paths) | self.store.paths_not_in_effect(owed)
            self.accounts()
            self.limit_disk()
            self.units(bool(owed))
            self.store.settle(owed)
            self.write_record()

    def predict(self) -> None:
        """Predict `execute`."""
        self.refuse()
        self.software()
        self.plan(final=False)
        owed = self.store.owed(self.dests)
        self.changed_paths = set(self.paths) | self.store.paths_not_in_effect(owed)
        self.accounts()
        self.limit_disk()
        self.units(bool(owed or self.store.due()))

    def result(self) -> dict[str, Any]:
        """The return values, also on failure."""
        values = super().result()
        changed = values["changed"] or self.applied or self.packages_changed or any(self.done.values())
        if self.module._diff:
            lines = [f"{title}: {text}\n" for key, title in TITLES.items() for text in self.done[key]]
            values["diff"] += [{"prepared": "".join(lines)}] if lines else []
        return {**values, **self.done, "changed": bool(changed), "kept": self.kept, "applied": self.applied}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **SPEC, "files": {**SPEC["files"], "default": []},
            "name": {"type": "str", "required": True},
            "requires": {"type": "dict", "default": {}},
            "packages": {"type": "list", "elements": "str", "default": []},
            "packages_absent": {"type": "list", "elements": "str", "default": []},
            "remove_active": {"type": "bool", "default": False},
            "start_services": {"type": "bool", "default": True},
            "venvs": {"type": "list", "elements": "dict", "default": [], "options": {
                "path": {"type": "path", "required": True},
                "requirements": {"type": "str", "required": True},
                "program": {"type": "str", "default": ""},
                "python": {"type": "path", "default": "/usr/bin/python3"},
                "ca_bundle": {"type": "path", "default": "/etc/ssl/certs/ca-certificates.crt"},
                "index_url": {"type": "str", "default": ""},
            }},
            "units": {"type": "dict", "default": {}},
            "packaged_absent": {"type": "list", "elements": "path", "default": []},
            "disk_limit": {"type": "dict", "options": {
                "account": {"type": "str", "required": True},
                "paths": {"type": "list", "elements": "str", "required": True},
                "max_mb": {"type": "int", "default": disk_limit.COMPUTED},
                "variable": {"type": "str", "required": True},
                "files": {"type": "list", "elements": "path", "default": []},
            }},
        },
        supports_check_mode=True,
    )
    if not re.fullmatch(r"\w[\w.@-]*", module.params["name"]):
        module.fail_json(msg="name must be letters, digits, _, -, . and @, such as session_store or site-shop")
    try:
        wanted = units.wanted_of(module.params["units"])
    except ValueError as error:
        module.fail_json(msg=f"Nothing was changed, because:\n{error}")
    Run(module, wanted).finish()


if __name__ == "__main__":
    main()
