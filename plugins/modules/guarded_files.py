#!/usr/bin/python
"""Change SSH or the firewall of a host, and undo the change unless a new connection confirms it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: guarded_files
short_description: Write files of sshd and a firewall, with a rollback timer
version_added: "0.1.0"
description:
  - Installs packages, then does what M(bulwark.flask.file_set) does, for files of sshd and of a firewall. It takes one round
    trip when nothing changes.
  - Refuses a change that would close this run's port, exclude its source address or turn key login off, and one
    that takes the last authentication method from any account with a shell. sshd itself says what it makes of the new
    files (C(sshd -T)). Nothing is changed then.
  - Starts a systemd timer that restores the old state before the first byte changes. Only a new connection can stop the
    timer. The old state is restored when no login is possible, when the controller dies and when the host reboots.
  - Fails when settings of O(sshd_config) are not in effect, also when no file has to change.
  - Requires the connection C(ssh), or O(local_run) with the connection C(local).
options:
  name:
    description: Name of the part, unique on the host, as of M(bulwark.flask.host_part). Its packages are recorded under it.
    type: str
    default: guarded_files
  packages:
    description: Debian packages that must be installed. Their services are not started.
    type: list
    elements: str
    default: []
  phase:
    description: Part of the change that this call does. The action plugin sets it.
    type: str
    choices: [change, confirm, undo]
    default: change
  token:
    description: Name of the change that is confirmed or undone. The action plugin sets it.
    type: str
  validate:
    description: Commands that validate the files. When one fails, the old files are restored.
    type: list
    elements: list
    default: []
  apply:
    description: Commands that apply a change. When one fails, the old state is restored.
    type: list
    elements: list
    default: []
  effective:
    description: Commands that succeed while the files are in effect. When one fails, O(apply) runs although no file has changed.
    type: list
    elements: list
    default: []
  units:
    description: Units whose state is restored when the change is undone.
    type: list
    elements: str
    default: []
  sshd_config:
    description: The file of O(files), below C(/etc/ssh/sshd_config.d), whose settings must be in effect.
    type: str
  firewall:
    description: The firewall among O(files); omit it without one.
    type: dict
    suboptions:
      unit:
        description: Unit that loads its table.
        type: str
        required: true
      table:
        description: Family and name of its table, such as V(inet host_access).
        type: str
        required: true
      ports:
        description: Open ports for SSH.
        type: list
        elements: int
        required: true
      sources:
        description: Addresses and networks that may connect to SSH; all when empty.
        type: list
        elements: str
        default: []
      tcp:
        description: Other open TCP ports. A warning names services on ports that are not open.
        type: list
        elements: int
        default: []
      udp:
        description: Open UDP ports.
        type: list
        elements: int
        default: []
  local_run:
    description:
      - What to do about a change when the run is on the host itself, where it cannot open a new connection. The action plugin
        passes it with the connection C(local) only.
      - V(refuse) fails, V(leave) changes nothing and warns. V(wait) makes the change and waits for a new login over SSH from
        anywhere; without one within O(confirm_seconds) the old state is restored.
    type: str
    choices: [refuse, leave, wait]
  confirm_seconds:
    description: Seconds in which a new connection must confirm the change.
    type: int
    default: 60
extends_documentation_fragment:
  - bulwark.flask.fileset
attributes:
  check_mode:
    description: Predicts changes and refusals.
    support: full
  diff_mode:
    description: Shows file contents.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Allow two accounts to log in
  bulwark.flask.guarded_files:
    files:
      - {dest: /etc/ssh/sshd_config.d/00-people.conf, content: "AllowUsers alice bob\n"}
    sshd_config: /etc/ssh/sshd_config.d/00-people.conf
    validate:
      - [sshd, -t]
    apply:
      - [systemctl, restart, ssh]
    units: [ssh.service]
"""

RETURN = r"""
installed:
  description: Packages that were or would be installed.
  type: list
  elements: str
  returned: always
changed_files:
  description: Changed paths; in check mode those that would change.
  type: list
  elements: str
  returned: always
confirmed:
  description: Whether a new connection confirmed the change.
  type: bool
  returned: when something was changed
"""

import os
import platform
import pwd
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import distributions
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Problem, clear_error
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.session import SPEC, Session
from ansible_collections.bulwark.flask.plugins.module_utils.host_access import firewall, rollback_timer, ssh_access, sshd
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import claims, packages, units

# Shells of accounts without logins.
NO_LOGIN = ("/nologin", "/false", "/sync")


class Run(Session):
    """One run of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        super().__init__(module)
        self.given = module.params
        self.drifted = self.restored = self.packages_changed = False
        self.installed: list[str] = []
        self.token = ""

    def install(self) -> None:
        """Install the packages, or predict it. Their services start with the files, under the timer."""
        wanted = self.given["packages"]
        if not wanted:
            return
        self.refuse(distributions.unsupported())
        if not self.module.check_mode:
            self.store.former.begin()
        result = packages.ensure(self.module, wanted, [], False, False, self.store.former)
        self.installed, self.packages_changed = result["installed"], result["changed"]
        if not self.module.check_mode:
            claims.write_record(os.path.join(self.store.folder, "parts"), self.given["name"], packages=wanted)

    def in_effect(self) -> bool:
        """Whether the files are in effect."""
        return all(self.module.run_command([str(word) for word in command])[0] == 0 for command in self.given["effective"])

    def differs(self) -> bool:
        """Compare the host with the files; returns whether there is anything to do."""
        self.plan(final=not self.module.check_mode)
        self.drifted = not self.changes and not self.in_effect()
        return bool(self.changes or self.drifted)

    def session(self) -> Optional[ssh_access.Session]:
        """The connection of this run; None on the host itself."""
        own = ssh_access.own_session(os.getppid())
        if self.given["local_run"] == "refuse" or own is None and self.given["local_run"] is None:
            self.changes, self.drifted = [], False
            raise Problem("Nothing was changed: this run did not come over SSH, so it cannot open a new connection that confirms that SSH "
                          "still works. Run it from another machine, or set host_access_local_run: leave leaves SSH and the firewall as they "
                          "are, wait makes the change and waits for your next login.")
        return own

    def leaves(self) -> bool:
        """Whether a change is left out, because the run is on the host itself."""
        if self.given["local_run"] != "leave":
            return False
        paths = ", ".join(self.paths) or "what is in effect"
        self.changes, self.drifted = [], False
        self.module.warn(f"{platform.node()}: SSH and the firewall are left as they are, because this run is on the host itself "
                         f"(host_access_local_run: leave). Different are: {paths}")
        return True

    def sshd(self, *arguments: str) -> sshd.Config:
        """The effective configuration of sshd."""
        if os.path.exists("/usr/sbin/sshd"):
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # systemd removes it while it restarts sshd
        return sshd.parse(self.run(["sshd", "-T", *arguments], "Nothing was changed. sshd does not accept the configuration"))

    @contextmanager
    def staged(self) -> Iterator[str]:
        """The main file of a copy of sshd's configuration as it would be."""
        texts = {entry.dest[len(sshd.SSH) + 1:]: entry.data.decode(errors="surrogateescape") if entry.kind == "file" else None
                 for entry in self.entries if entry.dest.startswith(f"{sshd.SSH}/") and entry.kind in ("file", "absent")}
        with tempfile.TemporaryDirectory(prefix="guarded_files.", dir="/run") as folder:
            yield sshd.stage(folder, texts)

    def ineffective_settings(self, main: str) -> list[str]:
        """The settings of the set's drop-in that are not in effect."""
        drop_in = next((entry for entry in self.entries if entry.dest == self.given["sshd_config"]), None)
        if drop_in is None or drop_in.kind != "file":
            return []
        alone = self.sshd("-f", f"{os.path.dirname(main)}{drop_in.dest[len(sshd.SSH):]}")
        problems = sshd.overruled(alone, self.sshd("-f", main), sshd.global_keywords(drop_in.data.decode(errors="replace")))
        with open(main, encoding="utf-8", errors="surrogateescape") as stream:
            if problems and not sshd.includes_drop_ins(stream.read()):
                return [f"{sshd.SSH}/{sshd.MAIN} does not include {drop_in.dest}, which has no effect: write "
                        f"`Include {sshd.SSH}/{sshd.DROP_INS}/*.conf` as its first line"]
        return problems

    def accounts(self, session: Optional[ssh_access.Session], *arguments: str) -> dict[str, dict[str, list[str]]]:
        """The effective configuration of each account with a shell, for the client of this run."""
        names = [entry.pw_name for entry in pwd.getpwall() if not entry.pw_shell.endswith(NO_LOGIN)]
        client = session or ssh_access.Session("", "127.0.0.1", 0, "127.0.0.1", 22)
        return {name: self.sshd(*arguments, "-C", f"user={name},host={client.address},addr={client.address},"
                                                  f"laddr={client.server_address},lport={client.port}") for name in names}

    def refusals(self, session: Optional[ssh_access.Session], main: str) -> list[str]:
        """The reasons not to make the change."""
        given = self.given["firewall"]
        problems, general, after = self.ineffective_settings(main), self.sshd("-f", main), self.accounts(session, "-f", main)
        ports, sources = (given["ports"], given["sources"]) if given else (None, [])
        if session:
            problems += ssh_access.problems(after.get(session.user, general), session, ports, sources)
        try:
            before = self.accounts(session)
        except Problem:
            before = {}  # the present configuration is invalid: no login is possible, and the change may repair it
        problems += sshd.locked_out({name: (before[name], after[name]) for name in before}, general)
        if not sshd.without_key(general):
            exceptions = [name for name, config in after.items() if sshd.without_key(config)]
            if exceptions:
                self.module.warn(f"{platform.node()}: {', '.join(exceptions)} can log in without a key, by a Match block in {sshd.SSH}")
        return problems + self.other_owners(general)

    def other_owners(self, config: dict[str, list[str]]) -> list[str]:
        """Conflicts with other owners of ports: a socket unit that listens for sshd, a second firewall."""
        problems = []
        if rollback_timer.systemctl("is-active", "--quiet", "ssh.socket") == 0:
            listening = self.module.run_command(["systemctl", "show", "--property=Listen", "ssh.socket"])[1]
            missing = set(config.get("port", [])) - set(re.findall(r":(\d+) \(Stream\)", listening))
            if missing:
                problems.append(f"ssh.socket listens in place of sshd, and not on port {', '.join(sorted(missing))}: run `systemctl disable --now ssh.socket "
                                "&& systemctl enable --now ssh.service`, or add the port to the socket")
        if self.given["firewall"]:
            ufw = self.module.run_command(["grep", "-qsx", "ENABLED=yes", "/etc/ufw/ufw.conf"])[0] == 0
            others = ["ufw"] * ufw + ["firewalld"] * (rollback_timer.systemctl("is-active", "--quiet", "firewalld") == 0)
            problems += [f"{other} is active, and packets would have to pass both firewalls: turn {other} off, or set "
                         "host_access_firewall: false" for other in others]
        return problems

    def warn_of_closed_services(self) -> None:
        """Warn of services whose ports the firewall closes."""
        given = self.given["firewall"]
        if given:
            listing = self.module.run_command(["ss", "-Hlntup"])[1]
            closed = firewall.closed_services(listing, {"tcp": {*given["ports"], *given["tcp"]}, "udp": set(given["udp"])})
            if closed:
                # With the host's name: Ansible prints the same warning of two hosts once.
                self.module.warn(f"{platform.node()}: the firewall closes the ports of these services: {', '.join(closed)}. "
                                 "To open a port, add it to host_access_tcp_ports or host_access_udp_ports.")

    def units(self) -> dict[str, dict[str, bool]]:
        """The state of the units that an undo restores."""
        states, given = rollback_timer.states(self.given["units"]), self.given["firewall"]
        if given and self.module.run_command(["nft", "list", "table", *given["table"].split()])[0]:
            states[given["unit"]]["active"] = False  # the table is not loaded, whatever the state of the unit is
        return states

    def execute(self) -> None:
        """Install the packages; then refuse the change, or start the timer, write, validate and apply."""
        self.install()
        with self.begun():
            self.restored = rollback_timer.undo()
            if self.restored:
                self.module.warn("An earlier change was never confirmed. The old state was restored first.")
            due = self.differs()
            with self.staged() as main:
                if not due:
                    return self.refuse(self.ineffective_settings(main))
                if self.leaves():
                    return None
                session = self.session()
                self.refuse(self.refusals(session, main))
            self.warn_of_closed_services()
            self.store.former.begin()
            units.record(self.store.former, self.given["units"], lambda command: str(self.module.run_command(command)[1]))
            token, seconds = secrets.token_hex(8), self.given["confirm_seconds"]
            rollback_timer.arm(self.changes, self.units(), seconds, {
                "token": token, "since": time.time(), "address": session.address if session else "", "port": session.client_port if session else 0})
            try:
                self.write(owe=False)
            except BaseException:
                rollback_timer.drop()
                raise
            try:
                for command in self.given["apply"]:
                    self.run(command, "The change could not be applied, and was rolled back")
            except BaseException:
                rollback_timer.undo()
                self.changes, self.drifted = [], False
                raise
            self.token = token
        return None

    def refuse(self, problems: list[str]) -> None:
        """Fail with all reasons not to make the change."""
        if problems:
            self.changes, self.drifted = [], False
            raise Problem("Nothing was changed, because:\n" + "\n".join(f"- {problem}" for problem in problems))

    def predict(self) -> None:
        """Predict what `execute` would do."""
        self.install()
        due = self.differs()
        if not os.path.exists("/usr/sbin/sshd") or due and self.leaves():
            return
        with self.staged() as main:
            self.refuse(self.refusals(self.session(), main) if due else self.ineffective_settings(main))
        if due:
            self.warn_of_closed_services()

    def result(self) -> dict[str, Any]:
        """The return values, also of a failure."""
        values = super().result()
        values["changed"] = bool(values["changed"] or self.drifted or self.restored or self.packages_changed)
        values["installed"] = self.installed
        if self.module._diff and self.installed:
            values["diff"] += [{"prepared": "".join(f"install: {name}\n" for name in self.installed)}]
        return {**values, "token": self.token} if self.token else values


def confirm(module: AnsibleModule) -> None:
    """Confirm the change, over a new connection or because of one."""
    waiting, session = rollback_timer.armed(), ssh_access.own_session(os.getppid())
    if module.params["local_run"]:
        if waiting and not ssh_access.login_since(waiting["since"]):
            module.fail_json(msg="there was no login over SSH since the change")
    elif waiting and session and (session.address, session.client_port) == (waiting["address"], waiting["port"]):
        module.fail_json(msg="this is the connection of the change; a new one is needed")
    if not rollback_timer.confirm(module.params["token"]):
        module.fail_json(msg="too late: the old state is already back")
    module.exit_json(changed=True)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **{name: SPEC[name] for name in ("files", "_contents", "validate", "apply")},
            "name": {"type": "str", "default": "guarded_files"},
            "packages": {"type": "list", "elements": "str", "default": []},
            "effective": SPEC["apply"],
            "units": {"type": "list", "elements": "str", "default": []},
            "sshd_config": {"type": "str"},
            "firewall": {"type": "dict", "options": {
                "unit": {"type": "str", "required": True},
                "table": {"type": "str", "required": True},
                "ports": {"type": "list", "elements": "int", "required": True},
                "sources": {"type": "list", "elements": "str", "default": []},
                "tcp": {"type": "list", "elements": "int", "default": []},
                "udp": {"type": "list", "elements": "int", "default": []},
            }},
            "local_run": {"type": "str", "choices": ["refuse", "leave", "wait"]},
            "confirm_seconds": {"type": "int", "default": 60},
            "phase": {"type": "str", "choices": ["change", "confirm", "undo"], "default": "change"},
            "token": {"type": "str", "no_log": False},
        },
        supports_check_mode=True,
    )
    run: Optional[Run] = None
    try:
        if module.params["phase"] == "undo":
            module.exit_json(changed=rollback_timer.undo())
        if module.params["phase"] == "confirm":
            confirm(module)
        run = Run(module)
        if module.check_mode:
            run.predict()
        else:
            run.execute()
    except Problem as error:
        module.fail_json(**{**(run.result() if run else {}), "msg": str(error)})
    except OSError as error:
        module.fail_json(**{**(run.result() if run else {}), "msg": clear_error(error, rollback_timer.FOLDER)})
    module.exit_json(**run.result())


if __name__ == "__main__":
    main()
