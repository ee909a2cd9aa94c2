#!/usr/bin/python
"""Set kernel settings and report what is not in effect."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_settings
short_description: Set kernel settings and report what is not in effect
version_added: "0.1.0"
description:
  - Sets kernel settings that differ in the running kernel, in one round trip; writing them to a file for the next boot is
    the business of M(bulwark.flask.file_set).
  - Enables and starts services that must run. Checks whether mounts have their options, AppArmor is on and accounts are
    closed. What is not as it should be, a kernel without a setting or a container that may not change one, is no failure but a
    sentence in RV(refused). A service that does not start fails the task, except in a container or where a condition of its
    unit is not met.
options:
  sysctl:
    description:
      - Values by name. A C(*) in a name stands for every interface; a name in full wins over one with a star.
    type: dict
    default: {}
  own_file:
    description: Name of the file in C(sysctl.d) that has them. Settings of files that are read after it are kept and reported.
    type: str
    default: 60-host-baseline.conf
  mounts:
    description: Options by mount point that must be in effect.
    type: dict
    default: {}
  mounts_unit:
    description: The unit that sets them. It is restarted when an option is missing.
    type: str
    default: host-baseline-mounts.service
  running:
    description: By purpose, units of which one must be enabled and active. Where none is, the first that is installed is started.
    type: dict
    default: {}
  apparmor:
    description: Whether the kernel must have AppArmor on.
    type: bool
    default: false
  accounts:
    description: Whether to check accounts. Further accounts with user id 0, and accounts without a password, are reported and not changed.
    type: bool
    default: false
attributes:
  check_mode:
    description: Predicts what would be set and enabled.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Ignore ICMP redirects
  bulwark.flask.host_settings:
    sysctl: {"net.ipv4.conf.*.accept_redirects": 0}
"""

RETURN = r"""
set:
  description: Kernel settings and mounts that were or would be set, and units that were or would be started.
  type: list
  elements: str
  returned: always
refused:
  description: A message for each setting that is not in effect, with its name and the reason.
  type: list
  elements: str
  returned: always
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import host_settings
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import clear_error
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.session import STATE_DIR
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.transaction import Store
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import units

PAM = Path("/etc/pam.d/common-password")
APPARMOR = Path("/sys/module/apparmor/parameters/enabled")


def look(module, names):
    """The state of units, by name."""
    return units.look(names, lambda command: module.run_command(command)[1])


def activate(module, running, former):
    """Enable and start what must run, where it does not. Returns the units that changed, reports, and failures outside of a container."""
    done, reports, failures = [], [], []
    if not module.check_mode:
        units.record(former, [name for candidates in running.values() for name in candidates], lambda command: module.run_command(command)[1])
    for purpose, candidates in sorted(running.items()):
        states = look(module, candidates)
        unit = next((name for name in candidates if states[name].active == "active"), None) or next(
            (name for name in candidates if states[name].load != "not-found"), candidates[0])
        commands = units.steps([units.Wanted(unit, enabled=True, state="started")], states, set())
        if module.check_mode:
            # Whether a unit that is stopped would start, and what the packages of a new host bring, is not known.
            done += [unit] * (states[unit].load != "not-found" and any(command[0] != "start" for command in commands))
            continue
        results = [module.run_command(["systemctl", *command]) for command in commands]
        failed = next((err.strip() for rc, _out, err in results if rc), "")
        active = look(module, [unit])[unit].active
        # One that fails may be starting again by itself.
        runs = active == "active" and not failed
        done += [unit] * (bool(commands) and runs or ["enable", unit] in commands)
        if not runs:
            in_container = module.run_command(["systemd-detect-virt", "--container", "--quiet"])[0] == 0
            reason = failed or f"{active}; a condition of the unit is not met"
            (reports if in_container or not failed else failures).append(f"{purpose}: {unit} does not run: {reason}")
    return done, reports, failures


def remount(module, unit, wanted):
    """Restart the unit of the mounts if an option is missing. Returns the corrected mounts, and a message for each other one."""
    def lacking():
        return host_settings.mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8"), wanted)
    before = lacking()
    if not before or module.check_mode:
        return sorted(before), []
    # The result is checked below.
    module.run_command(["systemctl", "restart", unit])
    after = lacking()
    return sorted(set(before) - set(after)), [f"{sentence}; {unit} did not change that" for sentence in after.values()]


def execute(module):
    """Set what can be set, look at the rest, and exit with the result."""
    given = module.params
    former = Store(STATE_DIR).former
    if not module.check_mode:
        former.begin()
    done, refused = host_settings.settle(Path("/"), given["sysctl"], given["own_file"], module.check_mode,
                                         lambda path, value: former.add("settings", {path: value}))
    mounted, lacking = remount(module, given["mounts_unit"], given["mounts"])
    done, refused = done + mounted, refused + lacking
    started, idle, failures = activate(module, given["running"], former)
    done, refused = done + started, refused + idle
    if given["apparmor"] and not (APPARMOR.exists() and APPARMOR.read_text(encoding="ascii").startswith("Y")):
        refused.append("AppArmor: the running kernel does not have it, or it is off at boot (apparmor=1 security=apparmor)")
    if given["accounts"] and not module.check_mode:
        refused += host_settings.password_policy(PAM.read_text(encoding="utf-8") if PAM.exists() else "")
    if given["accounts"]:
        refused += host_settings.open_accounts(*(Path(path).read_text(encoding="utf-8") for path in ("/etc/passwd", "/etc/shadow")))
    if failures:
        module.fail_json(msg="\n".join(failures), set=done, refused=refused)
    module.exit_json(changed=bool(done), set=done, refused=refused)


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"sysctl": {"type": "dict", "default": {}}, "own_file": {"type": "str", "default": "60-host-baseline.conf"},
                       "mounts": {"type": "dict", "default": {}},
                       "mounts_unit": {"type": "str", "default": "host-baseline-mounts.service"}, "running": {"type": "dict", "default": {}},
                       "apparmor": {"type": "bool", "default": False}, "accounts": {"type": "bool", "default": False}},
        supports_check_mode=True,
    )
    try:
        execute(module)
    except OSError as error:
        module.fail_json(msg=clear_error(error, STATE_DIR))


if __name__ == "__main__":
    main()
