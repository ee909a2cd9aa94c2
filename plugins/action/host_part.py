"""Render the files of a part of a host on the controller and pass the whole part to the module."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.bulwark.flask.plugins.action import file_set
from ansible_collections.bulwark.flask.plugins.module_utils.host_part.part import TITLES
from ansible_collections.bulwark.flask.plugins.plugin_utils import unchanged

REST = ("name", "packages", "packages_absent", "remove_active", "start_services", "venvs", "units", "packaged_absent", "requires", "disk_limit",
        "nginx_variables", "settings")
# The return values of a part for which there is nothing to do.
UNCHANGED = {**{key: [] for key in (*TITLES, "changed_files", "backup_files", "kept", "refused", "applied")}, "validated": False}


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
        given = {**self.packed(arguments, variables, file_set.COMMANDS), **rest}
        own = unchanged.digest_of(given)
        known = self._templar.template(variables.get(unchanged.UNCHANGED_PARTS) or {})
        if unchanged.is_unchanged(str(given.get("name")), own, known, variables):
            return {"changed": False, **UNCHANGED}
        result = self._execute_module(module_name="bulwark.flask.host_part", task_vars=variables, module_args={**given, "_digest": own})
        return unchanged.noted(result, variables)
