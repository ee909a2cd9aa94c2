"""Change how a host is reached, then come back through a new connection to confirm that it still can be."""

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
# First on the command line, so that no setting of the operator's shares an existing connection.
ALONE = "-o ControlMaster=no -o ControlPath=none"
# Pauses before each attempt: few, as somebody on the host may count failed logins. And of the time there is they take
# this much at most; the rest is for going back through the connection the change was made with.
ATTEMPTS, SHARE = (0, 1, 5), 0.6


class ActionModule(file_set.ActionModule):
    """Controller side of guarded_files."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Change, confirm; where that fails, see that the old state is back."""
        super(file_set.ActionModule, self).run(tmp, task_vars)
        arguments, variables = self._task.args, task_vars or {}
        found = file_set.problems_of(arguments, ("files", *COMMANDS, *REST), COMMANDS)
        if found:
            raise AnsibleActionFail("\n".join(["guarded_files found problems in its arguments:", *(f"- {text}" for text in found)]))
        if self._connection.transport != "ssh":
            raise AnsibleActionFail(f"Nothing was changed: the connection is {self._connection.transport}, and only over ssh can a "
                                    "new connection confirm that SSH still lets you in")
        given = {**self.packed(arguments, variables, COMMANDS), **{key: arguments[key] for key in REST if arguments.get(key) is not None}}
        result = self._execute_module(module_name=MODULE, task_vars=variables, module_args=given)
        token = result.pop("token", None)
        return result if token is None else self._confirmed(result, token, int(given.get("confirm_seconds", 60)), variables)

    @contextmanager
    def _new_connections(self) -> Iterator[None]:
        """Each command opens a connection of its own."""
        before = self._connection.get_option("ssh_args")
        self._connection.set_option("ssh_args", f"{ALONE} {before or ''}")
        try:
            yield
        finally:
            self._connection.set_option("ssh_args", before)

    def _ask(self, variables: dict[str, Any], **arguments: Any) -> tuple[bool, str]:
        """Whether a part of the module succeeded, and the reason when it did not."""
        try:
            done = self._execute_module(module_name=MODULE, task_vars=variables, module_args=arguments)
        except AnsibleConnectionFailure as error:
            return False, str(error.message)
        return not done.get("failed") and not done.get("unreachable"), str(done.get("msg", ""))

    def _confirmed(self, result: dict[str, Any], token: str, seconds: int, variables: dict[str, Any]) -> dict[str, Any]:
        began, reason = time.monotonic(), ""
        with self._new_connections():
            for pause in ATTEMPTS:
                time.sleep(pause)
                if time.monotonic() - began > SHARE * seconds:
                    break
                good, reason = self._ask(variables, phase="confirm", token=token)
                if good:
                    return {**result, "confirmed": True}
        # The connection of before is open yet where it is a shared one; it is quicker than the timer.
        back, _ = self._ask(variables, phase="undo")
        with self._new_connections():
            while not back and time.monotonic() - began < seconds + 60:
                time.sleep(max(5, began + seconds - time.monotonic()))
                back, _ = self._ask(variables, phase="undo")
        fate = "The old state is back." if back else "This host has not answered since; its own timer puts the old state back."
        return {"failed": True, "changed": False, "confirmed": False, "changed_files": [], "would_change": result["changed_files"],
                "msg": f"No new connection could be opened after the change. {fate} The last attempt said: {reason.strip()}"}
