#!/usr/bin/python
"""Write a set of files as one transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_set
short_description: Write a set of files as one, prove it, and put everything back when the proof fails
version_added: "0.1.0"
description:
  - Renders templates on the controller, writes all files that differ in one round trip, runs proof
    commands such as C(nginx -t), and then whatever makes the change effective, such as a reload.
  - When a proof fails, or the disk is full, or the run is interrupted, every byte, owner and mode is
    as it was before; an interrupted run is undone at the beginning of the next one.
options:
  files:
    description:
      - The set, in order. Each entry has C(dest) and one of C(template), C(content), C(link) and
        C(state) (V(directory) or V(absent)).
      - Besides C(owner) and C(group) (V(root)), C(mode) (V('0644'), directories V('0755')), C(vars)
        for a template, C(sensitive) to keep contents out of the diff, and C(backup) to keep the first
        foreign version of a file as C(<dest>.orig).
    type: list
    elements: dict
    required: true
  purge:
    description: Directories (C(path)) from which files that match C(patterns) and are not in the set are removed.
    type: list
    elements: dict
    default: []
  validate:
    description: Commands, each a list of arguments, that must succeed after the files are written.
    type: list
    elements: list
    default: []
  apply:
    description: Commands that make a change effective. One that failed is run again by the next run.
    type: list
    elements: list
    default: []
attributes:
  check_mode:
    description: Predicts what would change, writes and runs nothing.
    support: full
  diff_mode:
    description: Shows every file that is not sensitive.
    support: full
author:
  - The bulwark.flask authors
"""

EXAMPLES = r"""
- name: Write the site
  bulwark.flask.file_set:
    files:
      - {dest: /etc/nginx/sites-enabled/shop.conf, template: site.conf.j2}
      - {dest: /var/log/nginx/shop, state: directory, group: adm, mode: "0750"}
    validate:
      - [nginx, -t]
    apply:
      - [systemctl, reload, nginx]
"""

RETURN = r"""
changed_files:
  description: Paths that were or would be changed.
  type: list
  elements: str
  returned: always
validated:
  description: Whether proof commands ran and succeeded.
  type: bool
  returned: always
applied:
  description: Commands of O(apply) that ran.
  type: list
  returned: always
"""

import base64
import fcntl
import hashlib
import json
import os
import zlib

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import transaction
from ansible_collections.bulwark.flask.plugins.module_utils.transaction import Problem

STATE_DIR = "/var/lib/file_set"


def text_of(state, sensitive):
    """What a diff shows of one side."""
    if state["kind"] == "absent":
        return ""
    if state["kind"] == "link":
        return f"-> {state['link']}\n"
    if state["kind"] == "directory":
        return f"directory {state['mode']:04o} {state['uid']}:{state['gid']}\n"
    if sensitive:
        return "[contents hidden]\n"
    data = state.get("data", b"")
    return f"# mode {state['mode']:04o} owner {state['uid']}:{state['gid']}\n" + data.decode("utf-8", "replace")


def missing_parents(entries):
    """Directories nobody makes."""
    made = {e["dest"] for e in entries if e["kind"] == "directory"}
    parents = {os.path.dirname(e["dest"]) for e in entries if e["kind"] in ("file", "link")}
    return sorted(p for p in parents if not os.path.isdir(p) and not any(p == m or m.startswith(p + "/") for m in made))


class Run:
    """One transaction, from plan to proof."""

    def __init__(self, module):
        self.module = module
        packed = module.params["payload"]
        self.entries = json.loads(zlib.decompress(base64.b64decode(packed)))
        wanted = {e["dest"] for e in self.entries}
        self.entries += [{"dest": path, "kind": "absent", "owner": "root", "group": "root", "mode": "0644"}
                         for path in transaction.strays(module.params["purge"], wanted)]
        digest = hashlib.sha256("\n".join(sorted(wanted)).encode()).hexdigest()[:16]
        self.journal = transaction.Journal(STATE_DIR, digest)

    def plan(self):
        """Entries that differ, each with its old and its wanted state."""
        found = []
        for entry in self.entries:
            now, want = transaction.read_state(entry["dest"]), transaction.wanted_state(entry)
            if transaction.differs(now, want):
                found.append((entry, now, want))
        return found

    def run_all(self, commands):
        """Run commands until one fails; returns what went wrong, or None."""
        for command in commands:
            rc, out, err = self.module.run_command(command)
            if rc:
                return f"`{' '.join(command)}` failed with status {rc}:\n{(err.strip() or out.strip())[-3000:]}"
        return None

    def write(self, plan):
        unknown = sorted({f"{key} {e[key]}" for e, _, want in plan for key, field in (("owner", "uid"), ("group", "gid"))
                          if want["kind"] != "absent" and want[field] is None})
        if unknown:
            raise Problem(f"this host has no {', '.join(unknown)}")
        paths = []
        for entry, now, _ in plan:
            orig = f"{entry['dest']}.orig"
            if entry.get("backup") and now["kind"] == "file" and not os.path.lexists(orig) \
                    and b"Ansible managed" not in now["data"][:400]:
                paths.append((orig, now))
        self.journal.open([p for p, _ in paths] + [e["dest"] for e, _, _ in plan])
        for path, state in paths + [(e["dest"], want) for e, _, want in plan]:
            transaction.put_state(path, state)

    def undo(self, reason):
        paths = self.journal.restore()
        self.module.fail_json(msg=f"{reason}\nEvery file is as it was before.", changed_files=[],
                              would_change=paths, validated=False, applied=[])

    def execute(self):
        """Write, prove, apply."""
        os.makedirs(STATE_DIR, mode=0o700, exist_ok=True)
        with open(os.path.join(STATE_DIR, "lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            healed = bool(self.journal.restore())
            plan = self.plan()
            if plan:
                try:
                    self.write(plan)
                except (Problem, OSError) as error:
                    self.undo(f"Could not write the files: {error}")
                failure = self.run_all(self.module.params["validate"])
                if failure:
                    self.undo(failure)
                self.journal.owe()
                self.journal.close()
            applied = []
            if self.journal.is_owed():
                applied = self.module.params["apply"]
                failure = self.run_all(applied)
                if failure:
                    self.module.fail_json(msg=f"The files are written and proven, but {failure}\n"
                                              "The next run tries that command again.")
                self.journal.settle()
            return plan, applied, healed


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "payload": {"type": "str", "required": True, "no_log": True},
            "purge": {"type": "list", "elements": "dict", "default": []},
            "validate": {"type": "list", "elements": "list", "default": []},
            "apply": {"type": "list", "elements": "list", "default": []},
        },
        supports_check_mode=True,
    )
    run = Run(module)
    if module.check_mode:
        plan, applied, healed = run.plan(), [], False
    else:
        parents = missing_parents(run.entries)
        if parents:
            module.fail_json(msg=f"These directories do not exist and are not in the set: {', '.join(parents)}")
        try:
            plan, applied, healed = run.execute()
        except Problem as error:
            module.fail_json(msg=str(error))
    diff = [{"before_header": e["dest"], "after_header": e["dest"], "before": text_of(now, e.get("sensitive")),
             "after": text_of({"uid": "?", "gid": "?", **want}, e.get("sensitive"))} for e, now, want in plan]
    module.exit_json(changed=bool(plan or applied or healed), changed_files=[e["dest"] for e, _, _ in plan], diff=diff,
                     validated=bool(plan and module.params["validate"] and not module.check_mode), applied=applied)


if __name__ == "__main__":
    main()
