"""Have the host record a complete run, with digests of the inputs of this one."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulwark.flask.plugins.plugin_utils import inputs_digest


class ActionModule(ActionBase):
    """Controller side of complete_run."""

    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module once, or not at all where nothing can be recorded."""
        super().run(tmp, task_vars)
        inputs = inputs_digest.Inputs(self._templar, task_vars or {}, self._loader.get_text_file_contents)
        digests = inputs.digests()
        asked = {*(self._task.args.get("applications") or {}), *([inputs_digest.HOST] if self._task.args.get("host") else [])}
        if not asked & set(digests):
            return {"changed": False, "recorded": []}
        return self._execute_module(module_name="bulwark.flask.complete_run", task_vars=task_vars or {}, module_args={
            **self._task.args, "_inputs": digests, "_calls": {name: inputs.calls(name) for name in inputs.entries}})
