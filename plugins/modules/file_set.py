#!/usr/bin/python
"""Write a set of files as one transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_set
short_description: Write a set of files, validate it, and restore everything when the validation fails
version_added: "0.1.0"
description:
  - Renders every template on the controller, replaces all files that differ in one round trip, runs
    the proof (such as C(nginx -t)), and then whatever makes the change effective (such as a reload).
  - When the validation fails, the disk is full, or a signal ends the run, every byte, owner, mode and
    time is as it was before. A run that is killed or loses power is undone by the next run of any set.
  - Contents never appear in the invocation, the process list or the system's log. Those of a
    O(files[].sensitive) file do not appear in a diff either, nor in what a failed command printed.
  - Needs root on the host, or the owner of the files and of O(state_dir).
options:
  files:
    required: true
  _contents:
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
  state_dir:
    description: Directory on the host, accessible to root only, for the journal of a run in progress.
    type: path
    default: /var/lib/file_set
extends_documentation_fragment:
  - bulwark.flask.fileset
  - bulwark.flask.fileset.purge
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

- name: Write an environment file that only root can read
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

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.session import SPEC, Session


class Run(Session):
    """One run of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        super().__init__(module)
        self.applied: list[list[str]] = []

    def execute(self) -> None:
        """Write, prove, apply."""
        with self.begun():
            self.plan(final=True)
            self.write(owe=bool(self.module.params["apply"]))
            owed = self.store.owed(self.dests)
            if owed or self.changes:
                for command in self.module.params["apply"]:
                    self.run(command, "The files are written and valid, but not in effect; the next run tries again")
                    self.applied.append(command)
                self.store.settle(owed)

    def result(self) -> dict[str, Any]:
        """The return values, also on failure."""
        values = super().result()
        owed = self.module.check_mode and bool(self.store.owed(self.dests) or self.store.due())
        return {**values, "changed": bool(values["changed"] or self.applied or owed), "applied": self.applied}


def main() -> None:
    """Run the module."""
    spec = {**SPEC, "files": {**SPEC["files"], "required": True}, "_contents": {**SPEC["_contents"], "required": True}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    Run(module).finish()


if __name__ == "__main__":
    main()
