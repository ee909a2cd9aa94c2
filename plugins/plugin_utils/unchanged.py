"""Tasks that need no call, because the host has said in this play that a run with the same arguments would do nothing."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import remembered
from ansible_collections.bulwark.flask.plugins.plugin_utils.run_key import RUN_KEY

# A variable of a play: what the module application_conflicts returns as `unchanged_parts`.
UNCHANGED_PARTS = "__host_parts_unchanged"
# A fact, under this name in `ansible_facts`: something of this host was changed since. A cache of facts may have it from another run.
CHANGED, IN_THIS_RUN = "host_part_changed", remembered.digest(RUN_KEY, "changed")


def digest_of(arguments: dict[str, Any]) -> str:
    """A digest of the arguments of a module."""
    return hashlib.sha256(json.dumps(arguments, sort_keys=True, default=str).encode()).hexdigest()


def is_unchanged(name: str, digest: str, known: Any, variables: dict[str, Any]) -> bool:
    """Whether the host has said in this play, before its first change, that a run with these arguments would do nothing.

    :param known: the value of `UNCHANGED_PARTS`
    """
    return variables.get("ansible_facts", {}).get(CHANGED) != IN_THIS_RUN and (known or {}).get(name) == remembered.digest(RUN_KEY, digest)


def noted(result: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
    """The result; after a change nothing that the host has said counts, because one change may concern another part."""
    # Outside of such a play there is nothing to take back.
    is_due = result.get("changed") and UNCHANGED_PARTS in variables
    return {**result, "ansible_facts": {f"ansible_{CHANGED}": IN_THIS_RUN}} if is_due else result


class RememberedCall(ActionBase):
    """Calls a module that keeps its arguments on the host, unless there is nothing to do."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    MODULE = ""
    # Its return values when it does nothing.
    NOTHING: dict[str, Any] = {}

    def name(self) -> str:
        """What the call is for, as the module names it."""
        raise NotImplementedError

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module once, or not at all."""
        super().run(tmp, task_vars)
        variables, digest = task_vars or {}, digest_of(self._task.args)
        known = self._templar.template(variables.get(UNCHANGED_PARTS) or {})
        if is_unchanged(f"{self.MODULE}-{self.name()}", digest, known, variables):
            return {"changed": False, **self.NOTHING}
        result = self._execute_module(module_name=f"bulwark.flask.{self.MODULE}", task_vars=variables, module_args={**self._task.args, "_digest": digest})
        return noted(result, variables)
