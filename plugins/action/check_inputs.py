"""Refuse bad input before anything on the host is changed, all problems at once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.bulwark.flask.plugins.filter.app_entries import app_entries
from ansible_collections.bulwark.flask.plugins.module_utils import inputs

ROLES = Path(__file__).resolve().parents[2] / "roles"


@lru_cache(maxsize=None)
def spec_of(role: str) -> dict[str, Any]:
    """The options of a role's main entry point."""
    text = (ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["argument_specs"]["main"]["options"]


class ActionModule(ActionBase):
    """Runs on the controller alone; the host is not asked."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def _value(self, name: str, task_vars: dict[str, Any]) -> tuple[bool, Any]:
        """A templated variable, and whether it has a value at all."""
        try:
            return True, self._templar.template(task_vars[name])
        except Exception:  # noqa: BLE001 - whatever makes a variable unusable makes it missing
            return False, None

    def _whole(self, task_vars: dict[str, Any]) -> list[str]:
        """Everything an inventory says: for a playbook, before any role runs."""
        specs = {role: spec_of(role) for role in (*inputs.PER_APP, *inputs.HOST)}
        apps = self._value("flask_apps", task_vars)[1] if "flask_apps" in task_vars else None
        defaults = self._value("flask_app_defaults", task_vars)[1] if "flask_app_defaults" in task_vars else {}
        found = inputs.entry("flask_app_defaults", defaults, specs, required=False)
        try:
            merged = {entry["name"]: entry for entry in app_entries(apps, defaults)}
            found += inputs.applications(apps, merged, specs)
        except Exception:  # noqa: BLE001 - not a mapping: said below in the operator's words
            found += inputs.applications(apps if isinstance(apps, dict) else None, {}, specs)
            if isinstance(apps, dict):
                found += [f"flask_apps.{name} must be a mapping" for name, e in apps.items() if not isinstance(e, dict)]
        names = [n for n in task_vars if n.startswith("flask_app") or any(n.startswith(f"{r}_") for r in specs)]
        readable = {n: self._value(n, task_vars) for n in names if n not in ("flask_app",)}
        found += [f"{n} cannot be read: it uses something that is not defined" for n, (ok, _) in readable.items() if not ok]
        found += inputs.host_variables({n: v for n, (ok, v) in readable.items() if ok}, specs, with_apps=True)
        return found + inputs.distribution(task_vars.get("ansible_facts", {}))

    def _single(self, role: str, task_vars: dict[str, Any]) -> list[str]:
        """One role's own variables, wherever they come from."""
        spec, found = spec_of(role), []
        for name, option in spec.items():
            ok, value = self._value(name, task_vars) if name in task_vars else (False, None)
            if not ok:
                if option.get("required"):
                    found.append(f"{name} is required")
                continue
            short = name[len(role) + 1:]
            if short in inputs.CHECKS and value:
                found += inputs.CHECKS[short](name, value)
            else:
                found += inputs.typed(name, value, option)
        known = [n for n in task_vars if n.startswith(f"{role}_") and n not in spec]
        return found + [f"{n} is unknown{inputs.nearest(n, spec)}" for n in known]

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check one role, or the whole inventory."""
        result = super().run(tmp, task_vars)
        role = self._task.args.get("role")
        found = self._single(role, task_vars or {}) if role else self._whole(task_vars or {})
        if found:
            raise AnsibleActionFail(inputs.as_text(list(dict.fromkeys(found))))
        return {**result, "changed": False}
