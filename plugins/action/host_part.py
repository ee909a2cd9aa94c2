"""Render the files of a part of a host on the controller and pass the whole part to the module."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.bulwark.flask.plugins.action import file_set
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import remembered
from ansible_collections.bulwark.flask.plugins.module_utils.host_part.part import TITLES
from ansible_collections.bulwark.flask.plugins.plugin_utils.run_key import RUN_KEY

REST = ("name", "packages", "packages_absent", "remove_active", "start_services", "venvs", "units", "packaged_absent", "requires", "disk_limit",
        "nginx_variables")

# A variable of a play: the parts for which a run would do nothing, from the module application_conflicts.
UNCHANGED_PARTS = "__host_parts_unchanged"
# A fact, under this name in `ansible_facts`: a part of this host was changed since. A cache of facts may have it from another run.
CHANGED, IN_THIS_RUN = "host_part_changed", remembered.digest(RUN_KEY, "changed")
# The return values of a part for which there is nothing to do.
UNCHANGED = {**{key: [] for key in (*TITLES, "changed_files", "backup_files", "kept", "applied")}, "validated": False}


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
        own = hashlib.sha256(json.dumps(given, sort_keys=True, default=str).encode()).hexdigest()
        if self._is_unchanged(str(given.get("name")), own, variables):
            return {"changed": False, **UNCHANGED}
        result = self._execute_module(module_name="bulwark.flask.host_part", task_vars=variables, module_args={**given, "_digest": own})
        # What changes one part may concern another one. Outside of such a play there is nothing to take back.
        changed = {"ansible_facts": {f"ansible_{CHANGED}": IN_THIS_RUN}} if result.get("changed") and UNCHANGED_PARTS in variables else {}
        return {**result, **changed}

    def _is_unchanged(self, name: str, own: str, variables: dict[str, Any]) -> bool:
        """Whether the host has said in this play, before its first change, that a run with these arguments would do nothing."""
        known = self._templar.template(variables.get(UNCHANGED_PARTS) or {})
        return variables.get("ansible_facts", {}).get(CHANGED) != IN_THIS_RUN and known.get(name) == remembered.digest(RUN_KEY, own)
