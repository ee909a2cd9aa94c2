"""One part of a host: its packages, virtual environments, files, accounts, directories, disk space and units.

The order and the promises are those of the module host_part.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import distributions, fs, nginx_files, systemd_bus
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Entry, Problem, make_plan
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.session import TIMED_OUT, Session
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import accounts, claims, disk_limit, in_effect, packages, ports, units, venvs

# Actions by kind: the key of the result, and the verb of the diff.
TITLES = {"installed": "install", "removed": "remove", "venvs": "build", "accounts": "create", "directories": "create or correct",
          "limits": "set", "steps": "run", "set": "set or start"}
# The lock of everything that changes accounts, such as useradd. systemd-sysusers waits for it without an end.
PASSWD_LOCK = "/etc/.pwd.lock"
PASSWD_SECONDS = 60
LATER = "The files are written and valid, but not everything is in effect; the next run tries again"


class Part(Session):
    """One run of the module host_part."""

    def __init__(self, module: AnsibleModule, wanted: list[units.Wanted]) -> None:
        super().__init__(module, [Entry(path, "absent") for path in units.removed_paths(wanted)])
        self.wanted = wanted
        self.parts = os.path.join(self.store.folder, "parts")
        self.record = fs.read_json(os.path.join(self.parts, f"{module.params['name']}.json")) or {}
        # Actions that were or would be taken, by kind.
        self.done: dict[str, list[str]] = {key: [] for key in TITLES}
        self.kept: list[str] = []
        self.refused: list[str] = []
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
        problems = distributions.unsupported()
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

    def conflicts_of_nginx(self) -> list[str]:
        """What nginx would refuse in files of others beside those of the set."""
        variables = self.module.params["nginx_variables"]
        if not variables:
            return []
        texts = {entry.dest: entry.data.decode(errors="replace") if entry.kind == "file" else None
                 for entry in self.entries if entry.dest.startswith(f"{nginx_files.FOLDER}/") and entry.kind in ("file", "absent")}
        return nginx_files.conflicts(texts, self.store.managed(), variables)

    def plan(self, final: bool) -> None:
        """As every set, without the files of packages that are removed unless they were changed, and those of a limit where there is none."""
        for path in self.module.params["packaged_absent"]:
            if os.path.lexists(path) and not claims.as_packaged(path):
                self.module.warn(f"{path} is not as a Debian package installed it, and stays. Remove it if nothing uses it.")
            else:
                self.entries.append(Entry(path, "absent"))
        # After the packages: dpkg does not know the files of one whose installation was interrupted.
        if problems := self.conflicts_of_nginx():
            raise Problem("No file was changed, because:\n" + "\n".join(f"- {problem}" for problem in problems))
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
        self.done["venvs"] = [options["path"] for options in params["venvs"] if venvs.ensure(self.module, options)]

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

    def settle(self) -> None:
        """Set what must be in effect besides files and units, or predict it."""
        options = self.module.params["settings"]
        if not options:
            return
        settings = in_effect.Settings(self.module, options, self.store.former)
        try:
            settings.ensure()
        except Problem as error:
            raise Problem(f"{LATER}:\n{error}") from error
        finally:
            self.done["set"], self.refused = settings.done, settings.refused

    def write_record(self) -> None:
        """Record the files and units of the part."""
        users: dict[str, int] = {}
        for entry in self.below("/etc/sysusers.d"):
            users.update(accounts.numbers(entry.data.decode()))
        claims.write_record(
            self.parts, self.module.params["name"],
            packages=self.module.params["packages"],
            venvs=[options["path"] for options in self.module.params["venvs"]],
            files=[entry.dest for entry in self.entries if entry.kind != "absent"],
            users=users,
            units={unit.name: {"enabled": unit.enabled, "state": unit.state} for unit in self.wanted},
            **({"disk_limit": self.disk_limit} if self.disk_limit else {}),
        )

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
            self.settle()

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
        self.settle()

    def is_as_left(self) -> bool:
        """Whether a run would do and report nothing. This is for a module in check mode; nothing is written."""
        if not self.record or self.store.due() or not all(map(os.path.exists, self.module.params["requires"])):
            return False
        self.refuse()
        self.software()
        self.plan(final=True)
        if self.changes or self.store.owed(self.dests) or self.ours() - self.store.managed():
            return False
        self.accounts()
        self.limit_disk()
        self.units(owed=False)
        self.settle()
        return not (self.result()["changed"] or self.kept or self.refused)

    def result(self) -> dict[str, Any]:
        """The return values, also on failure."""
        values = super().result()
        changed = values["changed"] or self.applied or self.packages_changed or any(self.done.values())
        if self.module._diff:
            lines = [f"{title}: {text}\n" for key, title in TITLES.items() for text in self.done[key]]
            values["diff"] += [{"prepared": "".join(lines)}] if lines else []
        return {**values, **self.done, "changed": bool(changed), "kept": self.kept, "refused": self.refused, "applied": self.applied}
