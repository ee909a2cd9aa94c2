"""Activate a release that is on the host: adds the operator's name on the controller."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulwark.flask.plugins.plugin_utils.operator import operator


class ActionModule(ActionBase):
    """One round trip."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the action."""
        super().run(tmp, task_vars)
        arguments = {**self._task.args, "built_by": operator()}
        return self._execute_module(module_name="bulwark.flask.release_switch", module_args=arguments, task_vars=task_vars)
