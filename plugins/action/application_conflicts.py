"""Compare what the host says of its last complete runs with the inputs of this run."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import remembered
from ansible_collections.bulwark.flask.plugins.plugin_utils import inputs_digest, unchanged
from ansible_collections.bulwark.flask.plugins.plugin_utils.run_key import RUN_KEY


class ActionModule(ActionBase):
    """Controller side of application_conflicts."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module once."""
        super().run(tmp, task_vars)
        inputs = inputs_digest.Inputs(self._templar, task_vars or {}, self._loader.get_text_file_contents)
        secrets = inputs.source_secrets(app.get("name") for app in self._task.args.get("applications") or [])
        # The key lets this plugin, and that of host_part, compare the digests that the module returns.
        result = self._execute_module(module_name="bulwark.flask.application_conflicts", task_vars=task_vars or {},
                                      module_args={**self._task.args, "_key": RUN_KEY, "_source_secrets": secrets})
        left = result.pop("up_to_date", None) or {}
        now = inputs.digests() if left else {}
        same = [name for name, digest in left.items() if name in now and digest == remembered.digest(RUN_KEY, now[name])]
        return {**result, "up_to_date": [name for name in same if name != inputs_digest.HOST], "host_up_to_date": inputs_digest.HOST in same,
                "change_mark": unchanged.IN_THIS_RUN}
