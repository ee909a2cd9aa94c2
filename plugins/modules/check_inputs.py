#!/usr/bin/python
"""Documentation of the action plugin of the same name, which runs on the controller alone."""

DOCUMENTATION = r"""
module: check_inputs
short_description: Check variables before a host is changed
version_added: "0.1.0"
description:
  - Compares variables with the argument specifications of the collection's roles and reports all
    problems at once, each with the variable as the operator wrote it, what is wrong and what would be
    right. Values are not shown, but for domains and paths.
  - Beyond types it finds misspelt names, variables that would override C(flask_apps), applications
    that share what they must not, sources that are not there, weak keys, values that no template or vault
    password makes readable, and hosts that are not supported.
  - Runs on the controller and does not contact the host. Facts are checked when they are known.
options:
  role:
    description: A single role whose variables are checked, whatever their source.
    type: str
  roles:
    description:
      - Roles whose variables are checked, together with C(flask_apps) and C(flask_app_defaults).
      - All roles of the collection when neither this nor O(role) is given.
    type: list
    elements: str
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Check everything the inventory says
  bulwark.flask.check_inputs:

- name: Check what one role is given
  bulwark.flask.check_inputs:
    role: gunicorn_app
"""

RETURN = r"""
msg:
  description: All problems as a numbered list, when there are any; the task fails then.
  returned: failed
  type: str
  sample: |-
    2 problems with the variables; nothing was changed:
      1. flask_apps.shop.gunicorn_app.worker is unknown; did you mean workers?
      2. flask_apps.shop.domains is missing; write domains: [shop.example.com]
"""
