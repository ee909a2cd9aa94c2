#!/usr/bin/python
"""Documentation of the action plugin of the same name, which runs on the controller alone."""

DOCUMENTATION = r"""
module: check_inputs
short_description: Refuse bad input before anything on a host is changed
version_added: "0.1.0"
description:
  - Compares variables with the specifications of the collection's roles and reports all problems at
    once, each with the variable's name, what is wrong and what would be right.
  - Runs on the controller and does not contact the host.
options:
  role:
    description: The role whose variables are checked. Without it, the whole inventory of the host is.
    type: str
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
author:
  - The bulwark.flask authors
"""

EXAMPLES = r"""
- name: Check the inputs
  bulwark.flask.check_inputs:
"""

RETURN = r"""
"""
