#!/usr/bin/python
"""Change how a host is reached, and go back unless a new connection confirms it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: guarded_files
short_description: Write files that decide who can reach the host; what locks the operator out goes back by itself
version_added: "0.1.0"
description:
  - Does what M(bulwark.flask.file_set) does, for files of sshd and of a firewall, in one round trip when nothing changes.
  - Refuses, before anything is changed, what would close the way this run itself came in by. sshd is asked what it
    would make of the new files (C(sshd -T)) for this user from this address.
  - Before the first byte is changed, a timer of systemd's is armed that puts the old state back. A connection that is
    opened anew, and no existing one, can stop it. So the old state comes back when nobody can get in, when the
    controller dies, and when the host is restarted in between.
  - Works over C(ssh) alone.
options:
  files:
    description: The set, in order, as in M(bulwark.flask.file_set).
    type: list
    elements: dict
    required: true
  validate:
    description: Commands that prove the set; when one fails, nothing has changed.
    type: list
    elements: list
    default: []
  apply:
    description: Commands that make a change effective. When one fails, the old state is put back.
    type: list
    elements: list
    default: []
  effective:
    description: Commands that succeed while the set is in effect. When one fails, O(apply) runs although no file has changed.
    type: list
    elements: list
    default: []
  units:
    description: Units that are in their old state again after the change was undone.
    type: list
    elements: str
    default: []
  sshd_config:
    description: The file of the set, below C(/etc/ssh/sshd_config.d), that has to decide what it says.
    type: str
    required: true
  firewall:
    description: What the set's firewall lets through for SSH; left out when it has none.
    type: dict
    suboptions:
      unit:
        description: The unit that loads it.
        type: str
        required: true
      table:
        description: Its table, such as V(inet host_access).
        type: str
        required: true
      ports:
        description: Ports for SSH.
        type: list
        elements: int
        required: true
      sources:
        description: Addresses and networks SSH is open to; all when empty.
        type: list
        elements: str
        default: []
      tcp:
        description: Other TCP ports that are open. What listens on one that is not is named in a warning.
        type: list
        elements: int
        default: []
      udp:
        description: UDP ports that are open.
        type: list
        elements: int
        default: []
  confirm_seconds:
    description: How long after the change a new connection may confirm it.
    type: int
    default: 60
attributes:
  check_mode:
    description: Predicts what would change, and refuses what would be refused.
    support: full
  diff_mode:
    description: Shows contents.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Let only two people in
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
changed_files:
  description: Paths that were changed, or would be in check mode.
  type: list
  elements: str
  returned: always
confirmed:
  description: Whether a new connection has confirmed the change.
  type: bool
  returned: when something was changed
"""

import base64
import grp
import json
import os
import platform
import pwd
import re
import secrets
import shlex
import tempfile
import zlib
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils.fileset import plan as file_plan
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Change, Entry, Problem, State
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.transaction import Store, Transaction
from ansible_collections.bulwark.flask.plugins.module_utils.host_access import rollback_timer, ssh_access

SSH = "/etc/ssh"
MAIN, DROP_INS = f"{SSH}/sshd_config", f"{SSH}/sshd_config.d"


def text_of(state: State) -> str:
    """What a diff shows of a path."""
    if state.kind == "link":
        return f"-> {state.link}\n"
    return (state.data or b"").decode(errors="replace") if state.kind == "file" else ""


def keywords_of(text: str) -> list[str]:
    """The keywords that a configuration of sshd sets for everybody."""
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found: list[str] = []
    for words in lines:
        if words[0].lower() == "match":
            break
        found.append(words[0])
    return list(dict.fromkeys(found))


class Run:
    """One run of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.given = module, module.params
        contents = json.loads(zlib.decompress(base64.b64decode(self.given["_contents"])))
        self.entries = [
            Entry(dest=f["dest"], owner=f["owner"], group=f["group"], mode=int(f["mode"], 8), link=f.get("link") or "",
                  kind=f.get("state") or ("link" if f.get("link") else "file"), data=base64.b64decode(content or ""))
            for f, content in zip(self.given["files"], contents)
        ]
        self.store = Store("/var/lib/file_set")
        self.changes: list[Change] = []
        self.drifted = self.went_back = False
        self.token = ""

    def run(self, command: list[Any], introduction: str) -> str:
        """Run one command; a failure is a Problem."""
        words = [str(word) for word in command]
        try:
            rc, out, err = self.module.run_command(words, handle_exceptions=False, errors="replace",
                                                   environ_update={"LC_ALL": "C.UTF-8"})
        except OSError as error:
            rc, out, err = 127, "", file_plan.clear_error(error, words[0])
        if rc:
            raise Problem(f"{introduction}: `{shlex.join(words)}` failed with status {rc}:\n{err or out or '(it printed nothing)'}")
        return str(out)

    def in_effect(self) -> bool:
        """Whether the host does what the files say."""
        return all(self.module.run_command([str(word) for word in command])[0] == 0 for command in self.given["effective"])

    def plan(self) -> bool:
        """Look at the host; returns whether there is anything to do."""
        self.changes = file_plan.make_plan(self.entries, self.store.due() if self.module.check_mode else None)
        reasons = file_plan.problems(self.entries, self.changes, not self.module.check_mode)
        if reasons:
            self.changes = []
            raise Problem("Nothing was changed, because:\n" + "\n".join(f"- {reason}" for reason in reasons))
        self.drifted = not self.changes and not self.in_effect()
        return bool(self.changes or self.drifted)

    def session(self) -> ssh_access.Session:
        """The connection of this run."""
        found = ssh_access.own_session(os.getppid())
        if found is None:
            raise Problem("Nothing was changed: this run did not come over SSH, so no new connection could confirm that SSH "
                          "still lets you in. Run it from another machine.")
        pattern = rf"Accepted .* from {re.escape(found.address)} port {found.client_port} "
        log = self.module.run_command(["journalctl", "--quiet", "--output=cat", "--lines=5", "--identifier=sshd",
                                       "--identifier=sshd-session", f"--grep={pattern}"])[1]
        return ssh_access.with_login(found, log)

    def sshd(self, *arguments: str) -> dict[str, list[str]]:
        """What sshd makes of a configuration."""
        return ssh_access.parse(self.run(["sshd", "-T", *arguments], "Nothing was changed. sshd does not accept the new configuration"))

    def staged(self, folder: str) -> str:
        """A copy of sshd's files as they would be; the path of the main one."""
        texts = {}
        for path in [MAIN, *(f"{DROP_INS}/{name}" for name in (os.listdir(DROP_INS) if os.path.isdir(DROP_INS) else ()))]:
            if path.endswith((".conf", "/sshd_config")) and os.path.isfile(path):
                with open(path, encoding="utf-8", errors="surrogateescape") as stream:
                    texts[path] = stream.read()
        for entry in self.entries:
            if entry.dest.startswith(f"{SSH}/"):
                texts.pop(entry.dest, None)
                if entry.kind == "file":
                    texts[entry.dest] = entry.data.decode(errors="surrogateescape")
        os.mkdir(f"{folder}/sshd_config.d")
        for path, text in texts.items():
            # An Include of the drop-ins is one of their copies.
            text = re.sub(r"(?im)^(\s*Include\s.*)$", lambda m: re.sub(r"(/etc/ssh/)?sshd_config\.d/", f"{folder}/sshd_config.d/", m[1]), text)
            with open(folder + path[len(SSH):], "w", encoding="utf-8", errors="surrogateescape") as stream:
                stream.write(text)
        return f"{folder}/sshd_config"

    def refusals(self, session: ssh_access.Session) -> list[str]:
        """Why the change would lock out whoever makes it, or would not do what it says."""
        found, firewall = [], self.given["firewall"]
        drop_in = next((entry for entry in self.entries if entry.dest == self.given["sshd_config"]), None)
        with tempfile.TemporaryDirectory(prefix="guarded_files.", dir="/run") as folder:
            main = self.staged(folder)
            who = f"user={session.user},host={session.address},addr={session.address},laddr={session.server_address},lport={session.port}"
            config = self.sshd("-f", main, "-C", who)
            if drop_in is not None and drop_in.kind == "file":
                alone = self.sshd("-f", f"{folder}{drop_in.dest[len(SSH):]}")
                found += ssh_access.overruled(alone, self.sshd("-f", main), keywords_of(drop_in.data.decode(errors="replace")))
        account = self.account(session.user)
        paths = ssh_access.authorized_key_files(config, session, account)
        found += ssh_access.account_problems(config, session, account)
        found += ssh_access.method_problems(config, session, paths, ssh_access.keys_in(paths))
        found += ssh_access.network_problems(config, session, firewall["ports"] if firewall else None, firewall["sources"] if firewall else [])
        return found + self.other_owners(config)

    @staticmethod
    def account(name: str) -> ssh_access.Account:
        """An account of this host."""
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise Problem(f"Nothing was changed: this host does not know {name}, who this run came as") from None
        groups = [grp.getgrgid(gid).gr_name for gid in os.getgrouplist(name, entry.pw_gid)]
        return ssh_access.Account(groups, entry.pw_dir, entry.pw_uid)

    def other_owners(self, config: dict[str, list[str]]) -> list[str]:
        """Others that decide about the same: a socket of systemd's that listens, a second firewall."""
        found = []
        if rollback_timer.systemctl("is-active", "--quiet", "ssh.socket") == 0:
            listening = self.module.run_command(["systemctl", "show", "--property=Listen", "ssh.socket"])[1]
            missing = set(config.get("port", [])) - set(re.findall(r":(\d+) \(Stream\)", listening))
            if missing:
                found.append(f"ssh.socket listens in place of sshd, and not on {', '.join(sorted(missing))}: "
                             "`systemctl disable --now ssh.socket && systemctl enable --now ssh.service`, or let the socket listen there")
        if self.given["firewall"]:
            ufw = self.module.run_command(["grep", "-qsx", "ENABLED=yes", "/etc/ufw/ufw.conf"])[0] == 0
            others = ["ufw"] * ufw + ["firewalld"] * (rollback_timer.systemctl("is-active", "--quiet", "firewalld") == 0)
            found += [f"{other} is on, and a packet has to get through both: switch {other} off, or leave the firewall to it "
                      "(host_access_firewall: false)" for other in others]
        return found

    def name_closed(self) -> None:
        """Say what visitors of this host reach now and would not any more."""
        firewall = self.given["firewall"]
        if firewall:
            listing = self.module.run_command(["ss", "-Hlntup"])[1]
            closed = ssh_access.closed(listing, {"tcp": {*firewall["ports"], *firewall["tcp"]}, "udp": set(firewall["udp"])})
            if closed:
                # By its name, as Ansible prints the same warning of two hosts once.
                self.module.warn(f"{platform.node()}: the firewall closes what listens here and is not named: {', '.join(closed)}. "
                                 "To leave a port open, name it in host_access_tcp_ports or host_access_udp_ports.")

    def units(self) -> dict[str, dict[str, bool]]:
        """The state to go back to."""
        found, firewall = rollback_timer.states(self.given["units"]), self.given["firewall"]
        if firewall and self.module.run_command(["nft", "list", "table", *firewall["table"].split()])[0]:
            found[firewall["unit"]]["active"] = False  # whatever systemd thinks of it, there is no such table
        return found

    def execute(self) -> None:
        """Refuse, or arm, write, prove and apply."""
        with self.store.locked():
            self.went_back = rollback_timer.undo()
            if self.went_back:
                self.module.warn("An earlier change was never confirmed. The old state was put back first.")
            for path in self.store.recover()[0]:
                self.module.warn(f"An earlier run was interrupted. Put back: {path}")
            if not self.plan():
                return
            session = self.session()
            self.refuse(self.refusals(session))
            self.name_closed()
            token, seconds = secrets.token_hex(8), self.given["confirm_seconds"]
            rollback_timer.arm(self.changes, self.units(), seconds, {"token": token, "address": session.address, "port": session.client_port})
            try:
                self.write()
            except BaseException:
                rollback_timer.drop()
                raise
            try:
                for command in self.given["apply"]:
                    self.run(command, "The change could not be made effective, and was undone")
            except BaseException:
                rollback_timer.undo()
                self.changes, self.drifted = [], False
                raise
            self.token = token

    def refuse(self, problems: list[str]) -> None:
        """Fail with everything that speaks against the change."""
        if problems:
            self.changes, self.drifted = [], False
            raise Problem("Nothing was changed, because:\n" + "\n".join(f"- {problem}" for problem in problems))

    def write(self) -> None:
        """Write the set and prove it, or put everything back."""
        if not self.changes:
            return
        transaction = Transaction(self.store, [entry.dest for entry in self.entries], self.changes)
        try:
            transaction.write()
            for command in self.given["validate"]:
                self.run(command, "Nothing was changed. The proof")
            transaction.commit([], self.store.managed())
        except BaseException:
            if not transaction.committed:
                transaction.rollback()
                self.changes = []
            raise

    def predict(self) -> None:
        """What `execute` would do."""
        if self.plan() and os.path.exists("/usr/sbin/sshd"):
            self.refuse(self.refusals(self.session()))
            self.name_closed()

    def result(self) -> dict[str, Any]:
        """What is returned, also on failure."""
        found: dict[str, Any] = {"changed": bool(self.changes or self.drifted or self.went_back), "changed_files": [change.path for change in self.changes]}
        if self.token:
            found["token"] = self.token
        if self.module._diff:
            found["diff"] = [{"before_header": change.path, "after_header": change.path, "before": text_of(change.now),
                              "after": text_of(change.want)} for change in self.changes]
        return found


def confirm(module: AnsibleModule) -> None:
    """The second part, over a connection of its own."""
    waiting, session = rollback_timer.armed(), ssh_access.own_session(os.getppid())
    if waiting and session and (session.address, session.client_port) == (waiting["address"], waiting["port"]):
        module.fail_json(msg="this is the connection the change was made through, which proves nothing about a new one")
    if not rollback_timer.confirm(module.params["token"]):
        module.fail_json(msg="too late, the old state is back already")
    module.exit_json(changed=True)


def main() -> None:
    """Run the module."""
    commands = {name: {"type": "list", "elements": "list", "default": []} for name in ("validate", "apply", "effective")}
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "list", "elements": "dict"},
            "_contents": {"type": "str", "no_log": True},
            **commands,
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
        module.fail_json(**{**(run.result() if run else {}), "msg": file_plan.clear_error(error, rollback_timer.FOLDER)})
    module.exit_json(**run.result())


if __name__ == "__main__":
    main()
