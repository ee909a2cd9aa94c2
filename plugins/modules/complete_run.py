#!/usr/bin/python
"""Record a complete run of site.yml."""

from __future__ import annotations

DOCUMENTATION = r"""
module: complete_run
short_description: Record a complete run of site.yml
version_added: "0.1.0"
description:
  - Records, for each of the applications and with O(host) for the host, a digest of the inputs of a run that has just succeeded, and digests of the
    arguments of the parts it has left. M(bulwark.flask.application_conflicts) compares them at the start of the next run, whose
    roles need not run for what is up to date.
  - Where a part of an application keeps no arguments, because they have secrets, there is no record.
options:
  _inputs:
    description: Digests of the inputs, by the name of the application; the host has an empty one. The action plugin sets it.
    type: dict
  _calls:
    description: The calls of modules that the run made for each application, besides those of every one. The action plugin sets it.
    type: dict
  applications:
    description: The directory of the releases of each application, by its name.
    type: dict
    required: true
  host:
    description: Whether the run is recorded for the roles that run once for the host.
    type: bool
    default: false
attributes:
  check_mode:
    description: Nothing is recorded.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Record a complete run
  bulwark.flask.complete_run:
    applications: {shop: /srv/shop}
"""

RETURN = r"""
recorded:
  description: The applications for which the run is recorded.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils.application_layout import STATE
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import clear_error
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import complete


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "applications": {"type": "dict", "required": True},
            "host": {"type": "bool", "default": False},
            "_inputs": {"type": "dict", "no_log": True},
            "_calls": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    inputs, calls = module.params["_inputs"] or {}, module.params["_calls"] or {}
    recorded: list[str] = []
    try:
        if not module.check_mode:
            if module.params["host"]:
                complete.write(STATE, complete.HOST, "", inputs.get(complete.HOST, ""))
            recorded = [name for name, base in module.params["applications"].items()
                        if complete.write(STATE, name, base, inputs.get(name, ""), calls.get(name, []))]
    except OSError as error:
        module.fail_json(msg=clear_error(error, STATE))
    # What a later run may leave out is no change of the host.
    module.exit_json(changed=False, recorded=recorded)


if __name__ == "__main__":
    main()
