"""Render the files of a part of a host on the controller and pass the whole part to the module."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.bulwark.flask.plugins.action import file_set

REST = ("name", "packages", "packages_absent", "remove_active", "start_services", "venvs", "units", "packaged_absent", "requires", "disk_limit",
        "nginx_variables")


class ActionModule(file_set.ActionModule):
    """Controller side of host_part."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check the arguments, render, and run the module once."""
        super(file_set.ActionModule, self).run(tmp, task_vars)
        arguments, variables = {"files": [], **self._task.args}, task_vars or {}
        problems = file_set.problems_of(arguments, (*REST, *file_set.OPTIONS))
        if problems:
            raise AnsibleActionFail("\n".join([f"host_part: {len(problems)} problem(s) in the arguments:", *(f"- {text}" for text in problems)]))
        rest = {key: arguments[key] for key in (*REST, "purge", "state_dir") if arguments.get(key) is not None}
        return self._execute_module(
            module_name="bulwark.flask.host_part", task_vars=variables,
            module_args={**self.packed(arguments, variables, file_set.COMMANDS), **rest},
        )
