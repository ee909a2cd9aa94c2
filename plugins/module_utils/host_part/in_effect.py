"""What must be in effect besides files and units of a part: kernel settings, mounts, services, AppArmor, closed accounts.

What cannot be set is reported: a kernel without a setting, or a container that may not change one, is no failure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils import host_settings
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.former import Former
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Problem
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import units

PAM = Path("/etc/pam.d/common-password")
APPARMOR = Path("/sys/module/apparmor/parameters/enabled")
ACCOUNTS = (Path("/etc/passwd"), Path("/etc/shadow"))


class Settings:
    """One run: `done` is what was or would be set or started, `refused` a message for each that is not in effect."""

    def __init__(self, module: Any, options: dict[str, Any], former: Former) -> None:
        self.module, self.options, self.former = module, options, former
        self.done: list[str] = []
        self.refused: list[str] = []

    def ensure(self) -> None:
        """Set what can be set, or predict it, and look at the rest. Raises Problem for a service that does not start."""
        given = self.options
        done, refused = host_settings.settle(Path("/"), given["sysctl"], given["own_file"], self.module.check_mode,
                                             lambda path, value: self.former.add("settings", {path: value}))
        self.done, self.refused = self.done + done, self.refused + refused
        self._remount(given["mounts_unit"], given["mounts"])
        failures = [text for purpose, candidates in sorted(given["running"].items()) for text in self._run(purpose, candidates)]
        if given["apparmor"] and not (APPARMOR.exists() and APPARMOR.read_text(encoding="ascii").startswith("Y")):
            self.refused.append("AppArmor: the running kernel does not have it, or it is off at boot (apparmor=1 security=apparmor)")
        if given["accounts"] and not self.module.check_mode:  # which does not know what the packages of a new host bring
            self.refused += host_settings.password_policy(PAM.read_text(encoding="utf-8") if PAM.exists() else "")
        if given["accounts"]:
            self.refused += host_settings.open_accounts(*(path.read_text(encoding="utf-8") for path in ACCOUNTS))
        if failures:
            raise Problem("\n".join(failures))

    def _states(self, names: list[str]) -> dict[str, units.State]:
        return units.look(names, lambda command: str(self.module.run_command(command)[1]))

    def _run(self, purpose: str, candidates: list[str]) -> list[str]:
        """Enable and start one of the units, where none is active. Returns its failure outside of a container."""
        if not self.module.check_mode:
            units.record(self.former, candidates, lambda command: str(self.module.run_command(command)[1]))
        states = self._states(candidates)
        unit = next((name for name in candidates if states[name].active == "active"), None) or next(
            (name for name in candidates if states[name].load != "not-found"), candidates[0])
        commands = units.steps([units.Wanted(unit, enabled=True, state="started")], states, set())
        if self.module.check_mode:
            # Whether a unit that is stopped would start, and what the packages of a new host bring, is not known.
            self.done += [unit] * (states[unit].load != "not-found" and any(command[0] != "start" for command in commands))
            return []
        results = [self.module.run_command(["systemctl", *command]) for command in commands]
        failed = next((err.strip() for rc, _out, err in results if rc), "")
        active = self._states([unit])[unit].active
        # One that fails may be starting again by itself.
        runs = active == "active" and not failed
        self.done += [unit] * (bool(commands) and runs or ["enable", unit] in commands)
        if runs:
            return []
        text = f"{purpose}: {unit} does not run: {failed or f'{active}; a condition of the unit is not met'}"
        if failed and self.module.run_command(["systemd-detect-virt", "--container", "--quiet"])[0]:
            return [text]
        self.refused.append(text)
        return []

    def _remount(self, unit: str, wanted: dict[str, list[str]]) -> None:
        """Restart the unit of the mounts if an option is missing."""
        def lacking() -> dict[str, str]:
            return host_settings.mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8"), wanted)
        before = lacking()
        if before and not self.module.check_mode:
            # The result is checked below.
            self.module.run_command(["systemctl", "restart", unit])
            after = lacking()
            self.refused += [f"{text}; {unit} did not change that" for text in after.values()]
            before = {where: text for where, text in before.items() if where not in after}
        self.done += sorted(before)
