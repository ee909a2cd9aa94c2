#!/usr/bin/python
"""Remove everything of this collection from a host, and restore the state of before its first run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_removal
short_description: Remove everything of this collection from a host
version_added: "0.1.0"
description:
  - Removes files, units, accounts, virtual environments, records, and packages that the collection installed and nothing
    else uses. Files that it replaced, units, kernel settings and mounts get the state of before the first run.
  - Fails while an application is on the host, before anything is changed. M(bulwark.flask.application_removal) removes it.
  - sshd and nginx must accept their former configuration. When one does not, or this login would not be possible any
    more, nothing is removed.
  - A host that had a part of the collection before the former state was recorded has changes whose former state is
    unknown. They are named in RV(kept).
  - A run that was interrupted is finished by the next one.
options:
  expect_no_applications:
    description: Whether applications on the host are a failure. Without it, check mode predicts what happens after they are removed.
    type: bool
    default: true
attributes:
  check_mode:
    description: Lists what would be removed and restored.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Remove everything of this collection
  bulwark.flask.host_removal:
"""

RETURN = r"""
applications:
  description: Names of the applications that are on the host.
  returned: success
  type: list
  elements: str
removed:
  description: What was removed, or would be.
  returned: success
  type: list
  elements: str
restored:
  description: What has its former state again, or would have.
  returned: success
  type: list
  elements: str
kept:
  description: What stays, with the reason.
  returned: success
  type: list
  elements: str
"""

import functools
import glob
import grp
import os
import platform
import pwd
import shutil
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import application_layout as layout
from ansible_collections.bulwark.flask.plugins.module_utils import fs, host_removal, host_settings
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.former import LEFT_BY, TREES, mounts
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Entry, Problem, State, clear_error, kind_of, make_plan, problems, read_state
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.transaction import Store, Transaction
from ansible_collections.bulwark.flask.plugins.module_utils.host_access import ssh_access, sshd
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import claims, packages, units, venvs

NOT_RECORDED = "whether it was there before the first run is not recorded"
FIREWALL = ("inet", "host_access")


class Removal:
    """The removal of everything."""

    def __init__(self, module: AnsibleModule, store: Store) -> None:
        self.module, self.store, self.former = module, store, store.former
        self.host, self.paths = self.former.read("host"), self.former.read("paths")
        self.managed = self.store.managed()
        self.records = claims.records(f"{layout.STATE}/parts")
        self.applications = layout.deployed()
        self.plan = host_removal.Plan()
        self.unknown: list[str] = []
        self.conffiles = {line.split()[0] for line in self.output("dpkg-query", "-W", "-f=${Conffiles}\n").splitlines() if line.strip()}
        self.packages = host_removal.parse_packages(self.output(*host_removal.QUERY))
        self.purged = self.removable_packages()
        self.entries = self.former_files()
        self.changes = make_plan(self.entries)
        self.units = self.own_units()
        self.accounts = self.own_accounts()

    def output(self, *command: str) -> str:
        """The output of a command that may fail."""
        return str(self.module.run_command(list(command), environ_update={"LC_ALL": "C.UTF-8"})[1])

    def run(self, *command: str) -> str:
        """Run a command; a failure is a Problem with its own words."""
        status, out, err = self.module.run_command(list(command), environ_update={"LC_ALL": "C.UTF-8"})
        if status:
            raise Problem(f"`{' '.join(command)}` failed with status {status}: {err or out}\nThe next run goes on from here.")
        return str(out)

    @property
    def is_complete(self) -> bool:
        """Whether the former state was recorded from the first run on."""
        return bool(self.host.get("complete"))

    def is_ours(self, path: str) -> bool:
        """Whether a file is ours, or as a Debian package has installed it."""
        if self.written(path) or any(path.startswith(f"{tree}/") for tree in TREES):
            return True
        real = os.path.realpath(path)
        return claims.as_packaged(real) if real in self.conffiles else self.module.run_command(["dpkg-query", "-S", real])[0] == 0

    def written(self, path: str) -> bool:
        """Whether our runs wrote what is at a path. Links and copies of former files are not in the list of managed files."""
        record = self.paths.get(path, {})
        return path in self.managed or record.get("kind") == "absent" and (os.path.islink(path) or path.removesuffix(".orig") in self.managed)

    # --- The plan.

    def removable_packages(self) -> set[str]:
        """Packages that our runs installed, and that nothing else uses."""
        record = self.former.read("packages")
        asked = {name for name, what in record.items() if what == "installed"} & self.packages.keys()
        for name in sorted(asked):
            used = host_removal.users_of(name, self.is_ours)
            if used:
                asked.discard(name)
                self.plan.kept.append(f"package {name}, used by {', '.join(used[:5])}{' and others' * (len(used) > 5)}")
        gone = host_removal.removable(asked, self.packages, self.host.get("packages", []), self.output("apt-mark", "showauto").split())
        self.plan.kept += [f"package {name}, which another package needs" for name in sorted(asked - gone)]
        removed = sorted(name for name, what in record.items() if what == "removed" and name not in self.packages)
        self.plan.kept += [f"package {name} is not installed again: apt-get install {name}" for name in removed]
        if not self.is_complete:
            names = {name.strip() for part in self.records for entry in part.get("packages", []) for name in entry.split("|")}
            self.plan.kept += [f"package {name}: {NOT_RECORDED}" for name in sorted(names & self.packages.keys() - gone)]
        return gone

    def former_files(self) -> list[Entry]:
        """The former state of every file and link that was changed, and of the owner and mode of directories."""
        entries = [Entry(path, "absent") for path in self.unit_links()]
        for path in sorted({*self.paths, *self.managed}):
            now, want = kind_of(path), None
            if now in ("file", "link") and not self.written(path):
                self.plan.kept.append(f"{path}, which others have written since")
            elif path in self.paths:
                want = self.former.state(path, self.paths[path])
            elif os.path.isfile(f"{path}.orig"):
                want = read_state(f"{path}.orig", os.stat(f"{path}.orig").st_size)
                entries.append(Entry(f"{path}.orig", "absent"))
            elif path in self.conffiles:
                self.plan.kept.append(f"{path} as it is: the former file is not recorded")
            elif now == "file":
                want = State("absent")
                self.unknown.append(path)
            if want is None or (now == "directory") != (want.kind == "directory"):
                continue
            if want.kind == "absent":
                entries.append(Entry(path, "absent"))
            elif not os.path.isdir(os.path.dirname(path)):
                self.plan.kept.append(f"{path} is not put back: its directory is gone")
            # What a package of ours has brought, and our runs removed, was not there before.
            elif now != "absent" or not self.from_our_package(path):
                entries.append(Entry(path, want.kind, str(want.uid), str(want.gid), want.mode or 0o644, want.data or b"", want.link))
        return list({entry.dest: entry for entry in entries}.values())

    def from_our_package(self, path: str) -> bool:
        """Whether a path, or the directory that it is in, belongs to packages that our runs installed."""
        before = set(self.host.get("packages", []))
        for one in (path, os.path.dirname(path)):
            owners = {name.strip().partition(":")[0] for line in self.output("dpkg-query", "-S", one).splitlines()
                      for name in line.partition(": ")[0].split(",")}
            if owners:
                return not owners & before
        return False

    def unit_names(self) -> list[str]:
        """Names of our unit files, templates included."""
        return sorted(os.path.basename(path) for path in {*self.paths, *self.managed} if os.path.dirname(path) == layout.UNITS
                      and self.paths.get(path, {"kind": "absent"})["kind"] == "absent" and not path.endswith((".d", ".wants", ".requires")))

    def unit_links(self) -> list[str]:
        """Links that enable our units."""
        return [path for path in units.removed_paths([units.Wanted(name, state="absent") for name in self.unit_names()])
                if os.path.islink(path)]

    def own_units(self) -> list[str]:
        """Our units that run or have failed."""
        patterns = [name.replace("@.", "@*.") for name in self.unit_names()]
        text = self.output("systemctl", "list-units", "--all", "--plain", "--no-legend", "--", *patterns) if patterns else ""
        return [line.split()[0] for line in text.splitlines() if line.split()]

    def own_accounts(self) -> list[str]:
        """Users, groups and memberships that our runs made, in the order of their removal."""
        made = {*self.former.read("accounts"), *(f"user {name}" for record in self.records for name in record.get("users", {}))}
        order = [entry for entry in sorted(made) if " in group " in entry] + [entry for entry in sorted(made) if " in group " not in entry]
        order.sort(key=lambda entry: entry.startswith("group "))
        return [entry for entry in order if self.account_exists(entry)]

    @staticmethod
    def account_exists(entry: str) -> bool:
        """Whether a user, a group or a membership exists; a person's account never counts."""
        kind, name, *rest = entry.split()
        try:
            if rest:
                return name in grp.getgrnam(rest[-1]).gr_mem
            return (pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid) < 1000
        except KeyError:
            return False

    def own_trees(self) -> list[str]:
        """Directories that only our runs have filled."""
        return [tree for tree in self.former.own_trees() if os.path.isdir(tree)]

    def own_directories(self) -> list[str]:
        """Directories that our runs made, the innermost first; they go when nothing of others is in them."""
        made = [path for path in self.former.created() if kind_of(path) == "directory"]
        present = set(self.host.get("present", []))
        links = [path for path in glob.glob(f"{layout.UNITS}/*.wants") + glob.glob(f"{layout.UNITS}/*.requires") if path not in present and self.is_complete]
        return sorted({*made, *links, *self.own_trees()}, reverse=True)

    def former_units(self) -> list[list[str]]:
        """Commands of systemctl that give units of others their former state."""
        record, own = self.former.read("units"), set(self.unit_names())
        names = [name for name, was in record.items() if was["load"] != "not-found" and name not in own]
        commands: list[list[str]] = []
        for name, now in units.look(names, lambda command: self.output(*command)).items():
            was = record[name]
            if now.load == "not-found" or name in self.units_of_packages or was["file"] == now.file and was["active"] == now.runs:
                continue
            if was["file"] == "disabled" and now.file == "enabled":
                commands.append(["disable", name])
            elif was["file"] == "enabled" and now.file == "disabled":
                commands.append(["enable", name])
            if was["active"] != now.runs:
                commands.append(["start" if was["active"] else "stop", name])
            if was["file"].startswith("masked") and not now.file.startswith("masked"):
                commands.append(["mask", name])
        return commands

    @functools.cached_property
    def units_of_packages(self) -> frozenset[str]:
        """Units of packages that are removed, which stops them."""
        listing = self.output("dpkg-query", "-L", *sorted(self.purged)) if self.purged else ""
        return frozenset(os.path.basename(line) for line in listing.splitlines() if "/systemd/system/" in line)

    def former_settings(self) -> dict[str, str]:
        """Kernel settings whose former value is not in force."""
        return {path: value for path, value in self.former.read("settings").items() if value is not None and host_settings.read(Path("/"), path) != value}

    def former_mounts(self) -> dict[str, Optional[str]]:
        """Mounts with other options than before."""
        now, was = mounts(), self.host.get("mounts", {})
        return {where: was[where] for where in was if self.is_complete and set((was[where] or "").split(",")) != set((now[where] or "").split(","))}

    def describe(self) -> None:
        """Fill the plan."""
        for change in self.changes:
            (self.plan.removed if change.want.kind == "absent" else self.plan.restored).append(change.path)
        self.plan.removed += [f"unit {name}" for name in self.units] + self.accounts + self.own_trees()
        self.plan.removed += [f"package {name}" for name in sorted(self.purged)]
        self.plan.restored += [" ".join(["systemctl", *command]) for command in self.former_units()]
        self.plan.restored += [f"{host_settings.name_of(path)} = {value}" for path, value in sorted(self.former_settings().items())]
        self.plan.restored += [f"mount {where}" for where in self.former_mounts()]
        self.plan.kept += [f"{path} is removed: {NOT_RECORDED}" for path in self.unknown]
        if not self.is_complete:
            self.plan.kept += [f"{tree}: {NOT_RECORDED}" for tree in TREES if os.path.isdir(tree)]
            self.plan.kept.append("kernel settings and mounts that are not listed have their former values after a reboot")
        if os.path.isdir(layout.BACKUPS):
            self.plan.kept.append(f"{layout.BACKUPS}: archives of data, and what adopt.yml moved aside")

    # --- What must be true before anything changes.

    def check_ssh(self) -> None:
        """Raise a Problem unless sshd accepts its former configuration, and lets this account in."""
        texts = {entry.dest[len(sshd.SSH) + 1:]: entry.data.decode(errors="surrogateescape") if entry.kind == "file" else None
                 for entry in self.entries if entry.dest.startswith(f"{sshd.SSH}/") and entry.kind in ("file", "absent")}
        if not any(change.path.startswith(f"{sshd.SSH}/") for change in self.changes) or not os.path.exists("/usr/sbin/sshd"):
            return
        with tempfile.TemporaryDirectory(prefix="host_removal.", dir="/run") as folder:
            main = sshd.stage(folder, texts)
            general = sshd.parse(self.checked("/usr/sbin/sshd", "-T", "-f", main))
            session = ssh_access.own_session(os.getppid())
            if session is None:
                return
            who = ("-C", f"user={session.user},host={session.address},addr={session.address},laddr={session.server_address},lport={session.port}")
            before, after = (sshd.parse(self.checked("/usr/sbin/sshd", "-T", *file, *who)) for file in ((), ("-f", main)))
        if sshd.login_chains(before) and not sshd.login_chains(after):
            raise Problem(f"Nothing was removed: {session.user} could not log in with the former configuration of sshd. Log in with another account, "
                          f"or change {sshd.SSH}/{sshd.MAIN}.")
        if str(session.port) not in general.get("port", []):
            self.module.warn(f"{platform.node()}: sshd will listen on port {', '.join(general.get('port', []))} as before, and not on {session.port}.")

    def checked(self, *command: str) -> str:
        """The output of a command that must succeed before anything is changed."""
        status, out, err = self.module.run_command(list(command))
        if status:
            raise Problem(f"Nothing was removed: `{' '.join(command)}` failed with status {status}:\n{err or out}")
        return str(out)

    # --- The removal.

    def restore_files(self) -> None:
        """Restore all files as one: sshd and nginx must accept them, or everything is as before."""
        if not self.changes:
            return
        reasons = problems(self.entries, self.changes)
        if reasons:
            raise Problem("Nothing was removed, because:\n" + "\n".join(f"- {reason}" for reason in reasons))
        transaction = Transaction(self.store, [entry.dest for entry in self.entries], self.changes)
        try:
            transaction.write()
            if os.path.exists("/usr/sbin/sshd"):
                self.checked("/usr/sbin/sshd", "-t")
            if "nginx" in self.packages and "nginx" not in self.purged:
                self.checked("nginx", "-t", "-q")
            transaction.commit(False, self.managed)
        except BaseException:
            if not transaction.committed:
                transaction.rollback()
            raise

    def changed_units(self, paths: list[str]) -> list[tuple[str, str]]:
        """Units of others that read what was restored, and the command that makes them read it."""
        commands = {}
        for path in paths:
            unit = os.path.basename(os.path.dirname(path)).removesuffix(".d")
            if os.path.dirname(os.path.dirname(path)) == layout.UNITS and path.count(".d/") and "@" not in unit:
                commands[unit] = "restart"
            for folder, (name, verb) in host_removal.READ_BY.items():
                if path.startswith(folder):
                    commands.setdefault(name, verb)
        return sorted(commands.items())

    def restore_units(self, paths: list[str]) -> None:
        """Stop our units, and give those of others what they had."""
        if self.units:
            self.run("systemctl", "stop", "--", *self.units)
        if self.module.run_command(["nft", "list", "table", *FIREWALL])[0] == 0:
            self.run("nft", "delete", "table", *FIREWALL)
        self.run("systemctl", "daemon-reload")
        if self.units:
            self.module.run_command(["systemctl", "reset-failed", "--", *self.units])
        for name, verb in self.changed_units(paths):
            # What is done once, such as an upgrade, is not done again.
            once = "Type=oneshot" in self.output("systemctl", "show", "--property=Type", name)
            active = self.module.run_command(["systemctl", "is-active", "--quiet", name])[0] == 0
            if active and not once and name not in self.units_of_packages:
                self.run("systemctl", verb if verb == "reload" else f"try-{verb}", name)
        for command in self.former_units():
            self.run("systemctl", *command)
        for name in self.unit_names():
            fs.unlink(f"/var/lib/systemd/timers/stamp-{name}")

    def restore_kernel(self) -> None:
        """Former kernel settings and mount options."""
        for path, value in self.former_settings().items():
            reason = host_settings.write(Path("/"), path, value)
            if reason:
                self.plan.kept.append(f"{host_settings.name_of(path)} has its former value {value} after a reboot: {reason}")
        for where, options in self.former_mounts().items():
            command = ["umount", "--lazy", where]
            if options is not None:
                bind = [] if where == "/proc" else ["bind"]
                wanted = [option for option in options.split(",") if not option.startswith(("relatime", "gid="))]
                # What is not named keeps its value.
                wanted += [no for no, yes in (("exec", "noexec"), ("suid", "nosuid"), ("dev", "nodev")) if yes not in wanted]
                wanted += ["hidepid=off"] if where == "/proc" and not any(option.startswith("hidepid=") for option in wanted) else []
                command = ["mount", "-o", ",".join(["remount", *bind, *wanted]), where]
            status, _out, err = self.module.run_command(command)
            if status:
                self.plan.kept.append(f"{where} has its former options after a reboot: {err.strip()}")

    def remove_accounts(self, entries: list[str]) -> None:
        """Remove users, groups and memberships."""
        for entry in filter(self.account_exists, entries):
            kind, name, *rest = entry.split()
            self.run(*(["gpasswd", "--delete", name, rest[-1]] if rest else ["userdel", name] if kind == "user" else ["groupdel", name]))

    def remove_directories(self) -> None:
        """Remove what only our runs have filled, then directories that are empty now."""
        for tree in self.own_trees():
            shutil.rmtree(tree)
        # The records of applications, which name these too, are gone.
        for path in sorted({tree for tree in TREES if tree.startswith("/opt/")}.union(*(record.get("venvs", []) for record in self.records))):
            for old in venvs.venvs(Path(path)):
                shutil.rmtree(old)
            fs.unlink(f"{path}/current")
            fs.unlink(f"{path}/.lock")
        for path in self.own_directories():
            host_removal.prune(path)
        for path in host_removal.RUN:
            if os.path.isdir(path):
                shutil.rmtree(path)
            fs.unlink(path)

    def keep_logs(self) -> None:
        """Keep logs of applications, which the removal of nginx would remove."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        for path in glob.glob("/var/log/nginx/*/") if "nginx" in self.purged else []:
            kept = f"{layout.BACKUPS}/logs-{os.path.basename(path.rstrip('/'))}-{stamp}"
            fs.make_private_directory(layout.BACKUPS)
            shutil.move(path.rstrip("/"), kept)
            self.plan.kept.append(f"{path.rstrip('/')}, moved to {kept}")

    def purge_packages(self) -> None:
        """Remove packages with their configuration, and the accounts they leave."""
        names = sorted(self.purged)
        if names:
            out = self.run("apt-get", "-s", "purge", *names)
            others = {line.split()[1] for line in out.splitlines() if line.startswith(("Remv ", "Purg "))} - self.purged
            if others:
                raise Problem(f"apt would remove {', '.join(sorted(others))} too. The packages of this collection stay: {', '.join(names)}")
            loaded = self.output("systemctl", "list-units", "--plain", "--no-legend", "--", *self.units_of_packages) if self.units_of_packages else ""
            running = [line.split()[0] for line in loaded.splitlines() if line.split() and "@" not in line.split()[0]]
            if running:
                self.run("systemctl", "stop", "--", *running)
            packages.Apt(self.module).get("purge", *names, purpose=f"Could not remove {', '.join(names)}")
            if self.units_of_packages:
                # One that has failed would be listed until the next boot.
                self.module.run_command(["systemctl", "reset-failed", "--", *self.units_of_packages])
        for name in self.units_of_packages:
            fs.unlink(f"/var/lib/systemd/timers/stamp-{name}")
        for package, paths in LEFT_BY.items():
            for path in paths if package in self.purged and self.is_complete else ():
                if path not in self.host.get("present", []):
                    fs.unlink(path) if os.path.isfile(path) else host_removal.prune(path)
        left = [entry for entry, asked in self.former.read("package_accounts").items() if not set(asked) & (self.packages.keys() - self.purged)]
        self.remove_accounts(sorted(left, reverse=True))

    def execute(self) -> None:
        """Remove it: first what must be valid, the records last."""
        self.check_ssh()
        self.restore_files()
        # Of an interrupted removal too.
        self.restore_units([change.path for change in self.changes] or sorted(self.paths))
        self.restore_kernel()
        self.remove_accounts(self.accounts)
        self.keep_logs()
        self.remove_directories()
        self.purge_packages()
        self.run("systemctl", "daemon-reload")
        for path in self.own_directories():
            if not host_removal.prune(path) and self.is_complete:
                self.plan.kept.append(f"{path}, in which others have files")
        shutil.rmtree(layout.STATE)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"expect_no_applications": {"type": "bool", "default": True}}, supports_check_mode=True)
    if not os.path.isdir(layout.STATE):
        module.exit_json(changed=False, applications=[], removed=[], restored=[], kept=[])
    store = Store(layout.STATE)
    try:
        with nullcontext() if module.check_mode else store.locked():
            if not module.check_mode:
                store.recover()
            removal = Removal(module, store)
            if module.params["expect_no_applications"] and removal.applications:
                raise Problem(f"Nothing was removed: {', '.join(removal.applications)} is on the host. Remove the applications first.")
            removal.describe()
            if module.check_mode:
                removal.check_ssh()
            else:
                removal.execute()
    except Problem as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{clear_error(error, layout.STATE)}. The next run goes on from here.")
    plan = removal.plan
    module.exit_json(changed=True, applications=removal.applications, removed=plan.removed, restored=plan.restored, kept=plan.kept)


if __name__ == "__main__":
    main()
