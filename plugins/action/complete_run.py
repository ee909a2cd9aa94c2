"""Have the host record a complete run, with digests of the inputs of this one."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulwark.flask.plugins.plugin_utils import inputs_digest


class ActionModule(ActionBase):
    """Controller side of complete_run."""

    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module once."""
        super().run(tmp, task_vars)
        return self._execute_module(module_name="bulwark.flask.complete_run", task_vars=task_vars or {},
                                    module_args={**self._task.args, "_inputs": inputs_digest.Inputs(self._templar, task_vars or {}).digests()})
