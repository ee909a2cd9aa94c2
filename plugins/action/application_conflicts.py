"""Pass the key of this run to the module, so that the action plugin of host_part can compare the digests it returns."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulwark.flask.plugins.plugin_utils.run_key import RUN_KEY


class ActionModule(ActionBase):
    """Controller side of application_conflicts."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module once."""
        super().run(tmp, task_vars)
        return self._execute_module(module_name="bulwark.flask.application_conflicts", task_vars=task_vars or {},
                                    module_args={**self._task.args, "_key": RUN_KEY})
