#!/usr/bin/python
"""Check that nginx serves applications."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_check
short_description: Check that nginx serves applications
version_added: "0.1.0"
description:
  - Requests each domain from nginx on the host, as a client does, and compares what is served with the configuration of the
    site. The certificate must be the one that the site's file names, nginx must reach the application, and plain HTTP must not
    be served. nginx must have loaded the files of this collection.
  - After a change nginx gets up to ten seconds. It changes nothing and does not fail; RV(problems) is what to report.
options:
  applications:
    description: The applications.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the application.
        type: str
        required: true
      domains:
        description: Its domains. One with a wildcard is not requested.
        type: list
        elements: str
        required: true
      health_path:
        description: Path that is requested.
        type: str
        default: /
attributes:
  check_mode:
    description: Requests the domains.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Check that nginx serves the shop
  bulwark.flask.site_check:
    applications: [{name: shop, domains: [shop.example.com], health_path: /healthz}]
  register: served
"""

RETURN = r"""
problems:
  description: A sentence for each domain that is not served as configured.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import clear_error
from ansible_collections.bulwark.flask.plugins.module_utils.site_check import Site, Web, problems


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"applications": {"type": "list", "elements": "dict", "required": True, "options": {
            "name": {"type": "str", "required": True},
            "domains": {"type": "list", "elements": "str", "required": True},
            "health_path": {"type": "str", "default": "/"},
        }}},
        supports_check_mode=True,
    )
    sites = [Site(app["name"], app["domains"], app["health_path"]) for app in module.params["applications"]]
    try:
        messages = problems(sites, Web())
    except OSError as error:
        module.fail_json(msg=clear_error(error, "nginx"))
    module.exit_json(changed=False, problems=messages)


if __name__ == "__main__":
    main()
