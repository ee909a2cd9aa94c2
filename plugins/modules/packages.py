#!/usr/bin/python
"""Install Debian packages that are missing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Install Debian packages that are missing, without what they recommend
version_added: "0.1.0"
description:
  - Does less than M(ansible.builtin.apt) and for that works in check mode on a host without python3-apt,
    and is done in a few hundredths of a second when nothing is missing.
options:
  name:
    description: The packages.
    type: list
    elements: str
    required: true
  start_services:
    description: Whether a package may start its service as soon as it is installed.
    type: bool
    default: true
attributes:
  check_mode:
    description: Predicts what would be installed.
    support: full
author:
  - The bulwark.flask authors
"""

EXAMPLES = r"""
- name: Install nginx
  bulwark.flask.packages:
    name: [nginx]
    start_services: false
"""

RETURN = r"""
installed:
  description: Packages that were or would be installed.
  type: list
  elements: str
  returned: always
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule

LISTS = "/var/lib/apt/lists"
FRESH_SECONDS = 3600
POLICY = "/usr/sbin/policy-rc.d"


def missing(module, names):
    """Packages that are not installed."""
    out = module.run_command(["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n", *names])[1]
    present = {line.split()[0] for line in out.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in present]


def lists_are_old():
    """Whether the package lists are older than an hour, or were never fetched."""
    if not os.path.isdir(LISTS) or not any("Packages" in name for name in os.listdir(LISTS)):
        return True
    return time.time() - os.stat(LISTS).st_mtime > FRESH_SECONDS


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"name": {"type": "list", "elements": "str", "required": True},
                       "start_services": {"type": "bool", "default": True}},
        supports_check_mode=True,
    )
    wanted = missing(module, module.params["name"])
    if not wanted or module.check_mode:
        module.exit_json(changed=bool(wanted), installed=wanted)
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    # Somebody else's package manager gets five minutes to end.
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    hold_back = not module.params["start_services"] and not os.path.exists(POLICY)
    if hold_back:
        with open(POLICY, "w", encoding="utf-8") as policy:
            policy.write("#!/bin/sh\nexit 101\n")
        os.chmod(POLICY, 0o755)
    try:
        if lists_are_old():
            rc, out, err = module.run_command([*apt, "update"], environ_update=environment)
            if rc:
                module.fail_json(msg=f"Could not fetch the package lists:\n{(err or out)[-2000:]}")
        rc, out, err = module.run_command(
            [*apt, "install", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", *wanted],
            environ_update=environment)
        if rc:
            module.fail_json(msg=f"Could not install {', '.join(wanted)}:\n{(err or out)[-2000:]}")
    finally:
        if hold_back:
            os.unlink(POLICY)
    module.exit_json(changed=True, installed=wanted)


if __name__ == "__main__":
    main()
