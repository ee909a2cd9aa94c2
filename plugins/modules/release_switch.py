#!/usr/bin/python
"""Make a release live that is on the host already: go back, or start the live one anew."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_switch
short_description: Go back to an earlier release of an application, or start the live one anew
version_added: "0.1.0"
description:
  - Makes a release live that M(bulwark.flask.release) has built before, without building and without losing a
    request.
  - A rollback goes to a release that has served well. The one it leaves is abandoned, and is no rollback's target
    any more.
  - A restart starts a new instance of the live release when a watched file has changed since the live instance
    started, and does nothing otherwise.
  - Holds the same lock as a deploy, and heals what an interrupted run has left.
options:
  name:
    description: The application, also its group and the name of its journal namespace.
    type: str
    required: true
  release:
    description: V(live) for a restart, V(previous) for the good release before the live one, or a release's id.
    type: str
    default: previous
  subdirectory:
    description: Directory below the source that holds the application.
    type: str
    default: ""
  base:
    description: Where the application's releases and instances are. Default V(/srv/<name>).
    type: path
  built_by:
    description: Who asks. Set by the action plugin.
    type: str
    default: somebody
extends_documentation_fragment:
  - bulwark.flask.activation
attributes:
  check_mode:
    description: Predicts whether a switch would happen, and to which release; starts nothing.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Go back
  bulwark.flask.release_switch:
    name: shop
    domains: [shop.example.com]

- name: Let the live release see its new secrets
  bulwark.flask.release_switch:
    name: shop
    release: live
    wsgi: shop:create_app()
    restart_on_change: [/etc/flask-secrets/shop.env]
"""

RETURN = r"""
instance:
  description: The live instance.
  type: str
  returned: success
release:
  description: The live release; in check mode, the one that would be.
  type: str
  returned: success
previous:
  description: The release that was live before, or null.
  type: str
  returned: success
steps:
  description: Seconds each step took.
  type: dict
  returned: success
report:
  description: What the inspection of a restart found.
  type: dict
  returned: success
summary:
  description: The same in lines for people.
  type: list
  elements: str
  returned: success
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.activation import LIVE_ARGUMENTS, GoLive
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.report import summary
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError


def switch(options: dict[str, Any], predict: bool) -> dict[str, Any]:
    """Choose the release and make it live, or only say which it would be."""
    live = GoLive(options, options["built_by"])
    restart = options["release"] == "live"
    before = live.live_release()
    if restart and before is None:
        return live.answer(changed=False, previous=None, summary=[])

    def target() -> str:
        return str(before) if restart else live.chosen("" if options["release"] == "previous" else options["release"])

    if predict:
        release = target()
        return {**live.answer(changed=bool(live.strangers()) or live.needs_switch(release), previous=before), "release": release, "summary": []}
    with live.releases.locked(options["name"], options["built_by"]):
        healed = live.heal()
        before = live.live_release()
        release = target()
        needed = live.needs_switch(release)
        if needed:
            live.go(release, "restart" if release == before else "rollback")
    answer = live.answer(changed=healed or needed, previous=before)
    return {**answer, "summary": summary(options["name"], answer)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "release": {"type": "str", "default": "previous"},
            "subdirectory": {"type": "str", "default": ""},
            "base": {"type": "path"},
            "built_by": {"type": "str", "default": "somebody"},
            **LIVE_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    name = module.params["name"]
    try:
        result = switch(module.params, module.check_mode)
    except ReleaseError as error:
        module.fail_json(msg=f"{name}: {error}", step=error.step)
    for warning in result.pop("warnings", []):
        module.warn(f"{name}: {warning}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
