"""Change SSH or the firewall of a host, then confirm the change through a new connection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible_collections.bulwark.flask.plugins.action import file_set

MODULE = "bulwark.flask.guarded_files"
COMMANDS = ("validate", "apply", "effective")
REST = ("units", "sshd_config", "firewall", "confirm_seconds")
# First on the command line, so that they take precedence over settings that share an existing connection.
NEW_CONNECTION = "-o ControlMaster=no -o ControlPath=none"
# Pauses in seconds before each attempt. Few, as sshd and fail2ban count failed logins.
PAUSES = (0, 1, 5)
# The share of the time that attempts may take; the rest is for an undo through the old connection.
SHARE = 0.6
REFUSED_LOGIN = ("sshd refuses this run's login: check host_access_ssh_users, host_access_ssh_groups and host_access_ssh_settings, and "
                 "that the account's authorized_keys has your key (ssh-copy-id)")


class ActionModule(file_set.ActionModule):
    """Controller side of guarded_files."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Change and confirm; without a confirmation, wait until the old state is back."""
        super(file_set.ActionModule, self).run(tmp, task_vars)
        arguments, variables = self._task.args, task_vars or {}
        problems = file_set.problems_of(arguments, ("files", *COMMANDS, *REST), COMMANDS)
        if problems:
            raise AnsibleActionFail("\n".join(["guarded_files found problems in its arguments:", *(f"- {text}" for text in problems)]))
        if self._connection.transport != "ssh":
            raise AnsibleActionFail(f"Nothing was changed: the connection is {self._connection.transport}, and only over ssh can a "
                                    "new connection confirm that SSH still works")
        given = {**self.packed(arguments, variables, COMMANDS), **{key: arguments[key] for key in REST if arguments.get(key) is not None}}
        result = self._execute_module(module_name=MODULE, task_vars=variables, module_args=given)
        token = result.pop("token", None)
        return result if token is None else self._confirmed(result, token, int(given.get("confirm_seconds", 60)), variables)

    @contextmanager
    def _new_connections(self) -> Iterator[None]:
        """Open a connection for each command."""
        before = self._connection.get_option("ssh_args")
        self._connection.set_option("ssh_args", f"{NEW_CONNECTION} {before or ''}")
        try:
            yield
        finally:
            self._connection.set_option("ssh_args", before)

    def _ask(self, variables: dict[str, Any], **arguments: Any) -> tuple[bool, str]:
        """Run one phase of the module; returns whether it succeeded, and the reason when it did not."""
        try:
            done = self._execute_module(module_name=MODULE, task_vars=variables, module_args=arguments)
        except AnsibleConnectionFailure as error:
            return False, str(error.message)
        return not done.get("failed") and not done.get("unreachable"), str(done.get("msg", ""))

    def _confirmed(self, result: dict[str, Any], token: str, seconds: int, variables: dict[str, Any]) -> dict[str, Any]:
        began, reason = time.monotonic(), ""
        with self._new_connections():
            for pause in PAUSES:
                time.sleep(pause)
                if time.monotonic() - began > SHARE * seconds:
                    break
                good, reason = self._ask(variables, phase="confirm", token=token)
                if good:
                    return {**result, "confirmed": True}
        # A shared connection from before the change is still open, and faster than the timer.
        back, _unused = self._ask(variables, phase="undo")
        with self._new_connections():
            while not back and time.monotonic() - began < seconds + 60:
                time.sleep(max(5, began + seconds - time.monotonic()))
                back, _unused = self._ask(variables, phase="undo")
        state = "The old state is back." if back else "The host does not respond; its own timer restores the old state."
        hint = f" {REFUSED_LOGIN}." if "Permission denied" in reason else ""
        return {"failed": True, "changed": False, "confirmed": False, "changed_files": [], "would_change": result["changed_files"],
                "msg": f"No new connection could be opened after the change. {state} Last error: {reason.strip().rstrip('.')}.{hint}"}
