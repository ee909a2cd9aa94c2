#!/usr/bin/python
"""Install Debian packages that are missing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Install Debian packages that are missing, without what they recommend, and remove unwanted ones
version_added: "0.1.0"
description:
  - Does less than M(ansible.builtin.apt) and for that works in check mode on a host without python3-apt,
    and is done in a few hundredths of a second when nothing is missing.
options:
  name:
    description:
      - The packages. C(a | b) is satisfied by each of the two, as among Debian's dependencies; where neither is
        installed the first will be.
    type: list
    elements: str
    required: true
  absent:
    description:
      - Packages that are removed, their configuration stays. One is kept when others that are not in this list would
        have to go with it.
    type: list
    elements: str
    default: []
  start_services:
    description: Whether a package may start its service as soon as it is installed.
    type: bool
    default: true
attributes:
  check_mode:
    description: Predicts what would be installed and removed.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Install nginx
  bulwark.flask.packages:
    name: [nginx]
    start_services: false

- name: Keep time, by whatever does it already, and see that nobody logs in in the clear
  bulwark.flask.packages:
    name: [systemd-timesyncd | chrony]
    absent: [telnetd]
"""

RETURN = r"""
installed:
  description: Packages that were or would be installed.
  type: list
  elements: str
  returned: always
removed:
  description: Packages that were or would be removed.
  type: list
  elements: str
  returned: always
kept:
  description: For each unwanted package that is kept, a sentence that says so and why.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Problem
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import packages


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"name": {"type": "list", "elements": "str", "required": True},
                       "absent": {"type": "list", "elements": "str", "default": []},
                       "start_services": {"type": "bool", "default": True}},
        supports_check_mode=True,
    )
    try:
        result = packages.ensure(module, module.params["name"], module.params["absent"], module.params["start_services"])
    except Problem as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
