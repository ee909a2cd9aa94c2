#!/usr/bin/python
"""Write a set of files as one transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_set
short_description: Write a set of files as one, prove it, and put everything back when the proof fails
version_added: "0.1.0"
description:
  - Renders every template on the controller, replaces all files that differ in one round trip, runs
    the proof (such as C(nginx -t)), and then whatever makes the change effective (such as a reload).
  - When the proof fails, the disk is full, or a signal ends the run, every byte, owner, mode and
    time is as it was before. A run that is killed or loses power is undone by the next run of any set.
  - Contents never appear in the invocation, the process list or the system's log. Those of a
    O(files[].sensitive) file do not appear in a diff either, nor in what a failed command printed.
  - Needs root on the host, or whoever owns the files and O(state_dir).
options:
  files:
    description:
      - The set, in order. Each entry has O(files[].dest) and exactly one of O(files[].template),
        O(files[].content), O(files[].link) and O(files[].state).
      - The directory of an entry must exist, or be listed before it with V(directory).
    type: list
    elements: dict
    required: true
    suboptions:
      dest:
        description: Absolute path on the host. A link found there is replaced, never followed.
        type: str
        required: true
      template:
        description:
          - Template to render, found like the O(ansible.builtin.template#module:src) of
            M(ansible.builtin.template), and rendered with the same settings. An absolute path serves
            for a template that extends one of a role.
        type: str
      content:
        description: The text of the file. It is written as it is, without a newline added.
        type: str
      link:
        description: Makes O(files[].dest) a symbolic link to this target.
        type: str
      state:
        description:
          - V(directory) makes a directory, or gives an existing one its owner and mode. A link to a
            directory made by root is kept and its target used.
          - V(absent) removes a file, a link, or a directory that is empty.
        type: str
        choices: [directory, absent]
      owner:
        description: Owner of the file, a name or a number.
        type: str
        default: root
      group:
        description: Group of the file, a name or a number.
        type: str
        default: root
      mode:
        description:
          - Mode as a quoted octal number. Without it V(0755) for a directory, V(0600) for a file that
            is O(files[].sensitive), and V(0644) for any other.
        type: str
      sensitive:
        description: Keeps the contents out of the diff and out of the output of commands.
        type: bool
        default: false
      backup:
        description:
          - Keeps the file that is replaced as C(<dest>.orig), once, if neither this module has
            written it nor such a copy exists. Never done for a O(files[].sensitive) file.
        type: bool
        default: false
      vars:
        description: Variables for this template alone.
        type: dict
        default: {}
  purge:
    description:
      - Directories that the set owns. Files and links in them that match and are not in O(files) are
        removed; directories and what is below them are left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The directory. It need not exist.
        type: str
        required: true
      patterns:
        description: Shell patterns for names. A hidden file is matched only by a pattern that begins with a dot.
        type: list
        elements: str
        required: true
  validate:
    description:
      - Commands that prove the set, each a list of arguments (no shell). They run when anything has
        changed, with the new files in place; when one fails, everything is put back and the task fails.
    type: list
    elements: list
    default: []
  apply:
    description:
      - Commands that make a change effective, each a list of arguments. They run when anything has
        changed and is proven. After a failure, all of them run again in the next run.
    type: list
    elements: list
    default: []
  apply_always:
    description: Commands that run at the end of every successful run. They do not count as a change.
    type: list
    elements: list
    default: []
  state_dir:
    description: Directory on the host, root's alone, for the journal of a run that is under way.
    type: path
    default: /var/lib/file_set
attributes:
  check_mode:
    description:
      - Predicts what would change, writes and runs nothing. An owner or a directory that does not exist
        yet is no error.
    support: full
  diff_mode:
    description: Shows contents, owners and modes; the contents of a sensitive file are hidden.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Write the site
  bulwark.flask.file_set:
    files:
      - {dest: /var/log/nginx/shop, state: directory, group: adm, mode: "0750"}
      - {dest: /etc/nginx/sites-enabled/shop.conf, template: site.conf.j2, backup: true}
      - {dest: /etc/nginx/sites-enabled/default, state: absent}
    validate:
      - [nginx, -t]
    apply:
      - [systemctl, reload, nginx]

- name: Write an environment file that nobody but root reads
  bulwark.flask.file_set:
    files:
      - {dest: /etc/flask-secrets, state: directory, mode: "0700"}
      - dest: /etc/flask-secrets/shop.env
        content: "{{ shop_env | bulwark.flask.env_file }}"
        mode: "0600"
        sensitive: true
  no_log: true

- name: Own a directory of drop-ins
  bulwark.flask.file_set:
    files:
      - {dest: /etc/systemd/system/nginx.service.d, state: directory}
      - {dest: /etc/systemd/system/nginx.service.d/50-sandbox.conf, template: sandbox.conf.j2}
    purge:
      - {path: /etc/systemd/system/nginx.service.d, patterns: ["*.conf"]}
    apply:
      - [systemctl, daemon-reload]
    apply_always:
      - [systemctl, enable, --now, nginx]
"""

RETURN = r"""
changed_files:
  description: Paths that were changed, or would be in check mode; purged ones included.
  type: list
  elements: str
  returned: always
would_change:
  description: Paths that would have changed, had the set been written and proven.
  type: list
  elements: str
  returned: when the set could not be written or a command of O(validate) failed
backup_files:
  description: Copies of foreign files that were made.
  type: list
  elements: str
  returned: success
validated:
  description: Whether commands of O(validate) ran and succeeded.
  type: bool
  returned: always
applied:
  description: Commands of O(apply) that ran and succeeded.
  type: list
  elements: list
  returned: always
command:
  description: The command that failed. Its RV(rc), RV(stdout) and RV(stderr) come with it.
  type: list
  elements: str
  returned: when a command fails
rc:
  description: Exit status of the command that failed; 127 when it could not be started.
  type: int
  returned: when a command fails
stdout:
  description: The end of its standard output, sensitive contents hidden.
  type: str
  returned: when a command fails
stderr:
  description: The end of its standard error, sensitive contents hidden.
  type: str
  returned: when a command fails
"""

import base64
import grp
import json
import pwd
import shlex
import signal
import zlib
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils.fileset import plan as file_plan
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Change, Entry, Problem, State
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.transaction import Store, Transaction
from ansible_collections.bulwark.flask.plugins.module_utils.redaction import hide


class Interrupted(BaseException):
    """A signal asks the run to end; it goes back first."""


def _interrupt(number: int, frame: Any) -> None:
    raise Interrupted(signal.Signals(number).name)


def entries_of(files: list[dict[str, Any]], contents: list[Optional[str]]) -> list[Entry]:
    """The set, as the controller has checked and rendered it."""
    return [
        Entry(
            dest=f["dest"], owner=f["owner"], group=f["group"], mode=int(f["mode"], 8), link=f["link"] or "",
            kind=f["state"] or ("link" if f["link"] else "file"), data=base64.b64decode(content or ""),
            sensitive=f["sensitive"], backup=f["backup"],
        )
        for f, content in zip(files, contents)
    ]


def _name(number: Optional[int], lookup: Any, wanted: str) -> str:
    try:
        return str(lookup(number)[0])
    except (KeyError, TypeError):
        return wanted if number is None else str(number)


def _contents(state: State, hidden: bool) -> str:
    if state.kind == "link":
        return f"-> {state.link}\n"
    if state.kind != "file":
        return ""
    if hidden:
        return "[[ contents hidden: not readable by everybody ]]\n"
    if state.data is None or len(state.data) > file_plan.DIFF_LIMIT:
        return "[[ contents too long to show ]]\n"
    try:
        return state.data.decode()
    except UnicodeDecodeError:
        return f"[[ {len(state.data)} bytes that are not text ]]\n"


def _attributes(state: State, entry: Entry) -> str:
    if state.kind in ("absent", "backup"):
        return ""
    owner, group = _name(state.uid, pwd.getpwuid, entry.owner), _name(state.gid, grp.getgrgid, entry.group)
    mode = "" if state.kind == "link" else f"mode: {state.mode:04o}\n"
    return f"kind: {state.kind}\nowner: {owner}\ngroup: {group}\n{mode}"


def diff_of(change: Change) -> list[dict[str, str]]:
    """One change the way Ansible shows differences: contents, then kind, owner and mode."""
    path, entry, now, want = change.path, change.entry, change.now, change.want
    if want.kind == "backup":
        return [{"prepared": f"{path}: a copy of {want.link}\n"}]
    found = []
    # What is removed may never have been ours to show.
    unknown = want.kind == "absent" and not (now.mode or 0) & 0o004
    before, after = _contents(now, unknown), _contents(want, False)
    header = {"before_header": path, "after_header": path}
    if now.kind == "absent" and want.kind in ("file", "link"):
        header["after_header"] += f" (new, {' '.join(_attributes(want, entry).split()[3::2])})"
    if now.kind == want.kind == "file" and now.data == want.data:
        pass
    elif entry.sensitive and "file" in (now.kind, want.kind):
        found.append({**header, "prepared": f"--- before: {path}\n+++ after: {header['after_header']}\n"
                                           "[[ sensitive: contents hidden ]]\n"})
    elif before != after:
        found.append({**header, "before": before, "after": after})
    elif before:  # both are too long, or no text
        found.append({**header, "prepared": f"--- before: {path}\n+++ after: {path}\n{after}"})
    before, after = _attributes(now, entry), _attributes(want, entry)
    if before != after and not (found and "absent" in (now.kind, want.kind)):
        header = {"before_header": f"{path} (attributes)", "after_header": f"{path} (attributes)"}
        found.append({**header, "before": before, "after": after})
    return found


class Run:
    """One run of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        contents = json.loads(zlib.decompress(base64.b64decode(module.params["_contents"])))
        self.entries = entries_of(module.params["files"], contents)
        self.dests = [entry.dest for entry in self.entries]
        self.purge = module.params["purge"]
        self.store = Store(module.params["state_dir"])
        self.changes: list[Change] = []
        self.healed: list[str] = []
        self.applied: list[list[str]] = []
        self.validated = False

    def plan(self, before: Optional[dict[str, State]] = None) -> None:
        """Look at the host."""
        self.everything = self.entries + file_plan.strays(self.purge, self.entries)
        self.changes = file_plan.make_plan(self.everything, before)

    @property
    def paths(self) -> list[str]:
        """What changes, without the copies of foreign files."""
        return [change.path for change in self.changes if change.want.kind != "backup"]

    def run(self, command: list[str], introduction: str) -> None:
        """Run one command; a failure is a Problem that shows all about it but secrets."""
        try:
            rc, out, err = self.module.run_command(
                command, handle_exceptions=False, errors="replace", environ_update={"LC_ALL": "C.UTF-8"})
        except OSError as error:
            rc, out, err = 127, "", file_plan.clear_error(error, command[0])
        if rc == 0:
            return
        secrets = [e.data for e in self.entries if e.sensitive]
        secrets += [c.now.data for c in self.changes if c.entry.sensitive and c.now.data]
        texts = [data.decode("utf-8", "replace") for data in secrets]
        out, err = hide(out, texts), hide(err, texts)
        printed = err or out or "(it printed nothing)"
        raise Problem(f"{introduction}: `{shlex.join(command)}` failed with status {rc}:\n{printed}", command=command,
                      rc=rc, stdout=out, stderr=err)

    def refuse(self, final: bool) -> None:
        """Fail when the plan cannot be carried out."""
        reasons = file_plan.problems(self.everything, self.changes, final)
        if reasons:
            self.changes = []
            raise Problem("Nothing was changed, because:\n" + "\n".join(f"- {reason}" for reason in reasons))

    def write(self) -> None:
        """Write the set and prove it, or put everything back."""
        transaction = Transaction(self.store, self.dests, self.changes)
        try:
            transaction.write()
            for command in self.module.params["validate"]:
                self.run(command, "The proof")
            transaction.commit(self.module.params["apply"], self.ours())
        except BaseException as error:
            if transaction.committed:
                raise
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            paths, self.changes = self.paths, []
            transaction.rollback()
            if isinstance(error, (Problem, Interrupted)):
                reason = str(error) if isinstance(error, Problem) else f"The run was ended by {error}"
                raise Problem(f"{reason}\nEverything is as it was before. These would have changed: {', '.join(paths)}",
                              would_change=paths, **getattr(error, "details", {})) from error
            raise
        self.validated = bool(self.module.params["validate"])

    def ours(self) -> set[str]:
        """Files written by this or an earlier run."""
        gone = {entry.dest for entry in self.everything if entry.kind == "absent"}
        return self.store.managed() - gone | {entry.dest for entry in self.entries if entry.kind == "file"}

    def execute(self) -> None:
        """Go back to the beginning of a run that died, write, prove, apply."""
        with self.store.locked():
            self.healed, foreign = self.store.recover()
            for paths, text in ((self.healed, "Put back"), (foreign, "Left alone, because somebody has changed it since")):
                if paths:
                    self.module.warn(f"An earlier run was interrupted. {text}: {', '.join(paths)}")
            self.plan()
            self.refuse(final=True)
            self.changes = file_plan.add_backups(self.changes, self.store.managed())
            if self.changes:
                self.write()
            else:
                self.store.note_managed(self.ours(), final=True)
            owed = self.store.owed(self.dests)
            if owed or self.changes:
                for command in self.module.params["apply"]:
                    self.run(command, "The files are written and proven, but not in effect; the next run tries again")
                    self.applied.append(command)
                self.store.settle(owed)
            for command in self.module.params["apply_always"]:
                self.run(command, "The files are in place, but")

    def predict(self) -> None:
        """What `execute` would do."""
        self.plan(self.store.due())
        self.refuse(final=False)
        self.changes = file_plan.add_backups(self.changes, self.store.managed())

    def result(self) -> dict[str, Any]:
        """What is returned, also on failure."""
        owed = self.module.check_mode and bool(self.store.owed(self.dests) or self.store.due())
        found: dict[str, Any] = {
            "changed": bool(self.changes or self.applied or self.healed or owed),
            "changed_files": self.paths, "validated": self.validated, "applied": self.applied,
            "backup_files": [change.path for change in self.changes if change.want.kind == "backup"],
        }
        if self.module._diff:
            found["diff"] = [part for change in self.changes for part in diff_of(change)]
        return found


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "list", "elements": "dict", "required": True, "options": {
                "dest": {"type": "str", "required": True},
                "template": {"type": "str"},
                "content": {"type": "str", "no_log": True},
                "link": {"type": "str"},
                "state": {"type": "str", "choices": ["directory", "absent"]},
                "owner": {"type": "str", "default": "root"},
                "group": {"type": "str", "default": "root"},
                "mode": {"type": "str"},
                "sensitive": {"type": "bool", "default": False},
                "backup": {"type": "bool", "default": False},
                "vars": {"type": "dict", "default": {}},
            }},
            "_contents": {"type": "str", "required": True, "no_log": True},
            "purge": {"type": "list", "elements": "dict", "default": [], "options": {
                "path": {"type": "str", "required": True},
                "patterns": {"type": "list", "elements": "str", "required": True},
            }},
            "validate": {"type": "list", "elements": "list", "default": []},
            "apply": {"type": "list", "elements": "list", "default": []},
            "apply_always": {"type": "list", "elements": "list", "default": []},
            "state_dir": {"type": "path", "default": "/var/lib/file_set"},
        },
        supports_check_mode=True,
    )
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _interrupt)
    run = Run(module)
    try:
        if module.check_mode:
            run.predict()
        else:
            run.execute()
    except Problem as error:
        module.fail_json(**{**run.result(), "msg": str(error), **error.details})
    except Interrupted as error:
        module.fail_json(**{**run.result(), "msg": f"The run was ended by {error}; the next one finishes what is left"})
    except OSError as error:
        module.fail_json(**{**run.result(), "msg": file_plan.clear_error(error, module.params["state_dir"])})
    module.exit_json(**run.result())


if __name__ == "__main__":
    main()
