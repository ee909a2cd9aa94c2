"""The end of a module about releases: its result, its warnings, or the step that failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError


def finish(module: AnsibleModule, work: Callable[[], dict[str, Any]]) -> NoReturn:
    """Run and exit the module. Messages begin with the application's name, because a play can have several."""
    name = module.params["name"]
    try:
        result = work()
    except ReleaseError as error:
        module.fail_json(msg=f"{name}: {error}", step=error.step)
    for warning in result.pop("warnings", []):
        module.warn(f"{name}: {warning}")
    module.exit_json(**result)
