#!/usr/bin/python
"""Activate a release that is on the host: roll back, or restart the live one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_switch
short_description: Roll an application back to an earlier release, or restart the live one
version_added: "0.1.0"
description:
  - Activates a release that M(bulwark.flask.release) has built, without building and without losing a
    request.
  - A rollback activates a release with the status good. The release that was live gets the status rolled back, and is not chosen
    by a later rollback.
  - A restart starts a new instance of the live release when a watched file has changed since the live instance
    started, and does nothing otherwise.
  - Holds the same lock as a deploy, and recovers from an interrupted run.
options:
  name:
    description: The application, also its group and the name of its journal namespace.
    type: str
    required: true
  release:
    description: V(live) for a restart, V(previous) for the good release before the live one, or a release's id.
    type: str
    default: previous
  built_by:
    description: Name of the operator. Set by the action plugin.
    type: str
    default: unknown
extends_documentation_fragment:
  - bulwark.flask.release_options
attributes:
  check_mode:
    description: Predicts whether a release would be activated, and which one; starts nothing.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Roll back
  bulwark.flask.release_switch:
    name: shop
    options: "{{ shop_release_options }}"

- name: Let the live release read its new secrets
  bulwark.flask.release_switch:
    name: shop
    release: live
    options: "{{ shop_release_options }}"
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
from ansible_collections.bulwark.flask.plugins.module_utils.release import options
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.activation import Activation
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.report import summary
from ansible_collections.bulwark.flask.plugins.module_utils.release.entry import finish


def switch(params: dict[str, Any], predict: bool) -> dict[str, Any]:
    """Select the release and activate it, or predict it."""
    live = Activation(options.Options.parse(params))
    restart = params["release"] == "live"
    before = live.live_release()
    if restart and before is None:
        return live.answer(changed=False, previous=None, summary=[])

    def target() -> str:
        return str(before) if restart else live.candidates().choose("" if params["release"] == "previous" else params["release"])

    if predict:
        release = target()
        return {**live.answer(changed=bool(live.orphans()) or live.needs_switch(release), previous=before), "release": release, "summary": []}
    with live.releases.lock.hold(params["name"], params["built_by"]):
        recovered = live.recover()
        before = live.live_release()
        release = target()
        needed = live.needs_switch(release)
        if needed:
            live.activate(release, "restart" if release == before else "rollback")
    answer = live.answer(changed=recovered or needed, previous=before)
    return {**answer, "summary": summary(params["name"], answer)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**options.ARGUMENTS, "release": {"type": "str", "default": "previous"}},
        supports_check_mode=True,
    )
    finish(module, lambda: switch(module.params, module.check_mode))


if __name__ == "__main__":
    main()
