"""Change SSH or the firewall of a host, then confirm the change through a new connection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.utils.display import Display
from ansible_collections.bulwark.flask.plugins.action import file_set

MODULE = "bulwark.flask.guarded_files"
COMMANDS = ("validate", "apply", "effective")
REST = ("name", "packages", "units", "sshd_config", "firewall", "confirm_seconds", "local_run")
# First on the command line, so that they take precedence over settings that share an existing connection. One that gets no
# packet through ends after 15 seconds.
NEW_CONNECTION = "-o ControlMaster=no -o ControlPath=none -o ServerAliveInterval=5 -o ServerAliveCountMax=3"
# Pauses in seconds before each attempt. Few, as sshd and fail2ban count failed logins.
PAUSES = (0, 1, 5)
# Between two looks for a login on the host itself.
LOOK_SECONDS = 2
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
        local = self._connection.transport == "local"
        if self._connection.transport != "ssh" and not local:
            raise AnsibleActionFail(f"Nothing was changed: the connection is {self._connection.transport}, and only over ssh can a "
                                    "new connection confirm that SSH still works")
        rest = {key: arguments[key] for key in REST if arguments.get(key) is not None}
        rest["local_run"] = rest.get("local_run", "refuse") if local else None
        given = {**self.packed(arguments, variables, COMMANDS), **{key: value for key, value in rest.items() if value is not None}}
        result = self._execute_module(module_name=MODULE, task_vars=variables, module_args=given)
        token = result.pop("token", None)
        if token is None:
            return result
        confirmed = self._login_awaited if local else self._confirmed
        return confirmed(result, token, int(given.get("confirm_seconds", 60)), variables)

    def _login_awaited(self, result: dict[str, Any], token: str, seconds: int, variables: dict[str, Any]) -> dict[str, Any]:
        """On the host itself: wait for a login over SSH, without one restore the old state."""
        within, end = int(SHARE * seconds), time.monotonic() + SHARE * seconds
        Display().warning(f"SSH or the firewall was changed. Log in over SSH from another machine within {within} seconds, "
                          "or the old state is restored.")
        good, reason = False, ""
        while not good and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
            good, reason = self._ask(variables, phase="confirm", token=token, local_run="wait")
        if good:
            return {**result, "confirmed": True}
        back, _unused = self._ask(variables, phase="undo")
        state = "The old state is back." if back else "The host's own timer restores the old state."
        return {"failed": True, "changed": bool(result.get("installed")), "confirmed": False, "changed_files": [], "would_change": result["changed_files"],
                "msg": f"The change of SSH or the firewall was not confirmed by a login within {within} seconds. {state} "
                       f"Last error: {reason.strip().rstrip('.')}."}

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
        return {"failed": True, "changed": bool(result.get("installed")), "confirmed": False, "changed_files": [], "would_change": result["changed_files"],
                "msg": f"No new connection could be opened after the change. {state} Last error: {reason.strip().rstrip('.')}.{hint}"}
