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

import os
import time

from ansible.module_utils.basic import AnsibleModule

LISTS = "/var/lib/apt/lists"
FRESH_SECONDS = 3600
POLICY = "/usr/sbin/policy-rc.d"


def installed(module, names):
    """Which of the packages are installed."""
    out = module.run_command(["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n", *names])[1] if names else ""
    return {line.split()[0] for line in out.splitlines() if line.endswith(" installed")}


def missing(wanted, present):
    """What has to be installed: of each entry the first, when none of its alternatives is there."""
    choices = [[name.strip() for name in entry.split("|")] for entry in wanted]
    return [names[0] for names in choices if not present & set(names)]


def removable(module, unwanted):
    """Those that nothing else needs, and a sentence for each of the others."""
    going, kept = [], []
    for name in unwanted:
        rc, out, err = module.run_command(["apt-get", "-s", "remove", name], environ_update={"LC_ALL": "C.UTF-8"})
        others = [line.split()[1] for line in out.splitlines() if line.startswith("Remv ")]
        others = [other for other in others if other not in unwanted]
        if rc or others:
            reason = f"{', '.join(others)} would have to go with it" if others else (err or out).strip()[-300:]
            kept.append(f"{name} is unwanted and stays: {reason}")
        else:
            going.append(name)
    return going, kept


def lists_are_old():
    """Whether the package lists are older than an hour, or were never fetched."""
    if not os.path.isdir(LISTS) or not any("Packages" in name for name in os.listdir(LISTS)):
        return True
    return time.time() - os.stat(LISTS).st_mtime > FRESH_SECONDS


def install(module, apt, environment, wanted):
    """Install packages, and keep their services from starting where that is asked for."""
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


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"name": {"type": "list", "elements": "str", "required": True},
                       "absent": {"type": "list", "elements": "str", "default": []},
                       "start_services": {"type": "bool", "default": True}},
        supports_check_mode=True,
    )
    unwanted = module.params["absent"]
    present = installed(module, [*(name.strip() for entry in module.params["name"] for name in entry.split("|")), *unwanted])
    wanted = missing(module.params["name"], present)
    going, kept = removable(module, [name for name in unwanted if name in present])
    result = {"changed": bool(wanted or going), "installed": wanted, "removed": going, "kept": kept}
    if not result["changed"] or module.check_mode:
        module.exit_json(**result)
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    # Somebody else's package manager gets five minutes to end.
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    if going:
        rc, out, err = module.run_command([*apt, "remove", *going], environ_update=environment)
        if rc:
            module.fail_json(msg=f"Could not remove {', '.join(going)}:\n{(err or out)[-2000:]}")
    if wanted:
        install(module, apt, environment, wanted)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
