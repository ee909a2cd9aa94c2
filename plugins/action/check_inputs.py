"""Check the inputs before a host is changed, and report all problems at once."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.bulwark.flask.plugins.filter.app_entries import app_entries
from ansible_collections.bulwark.flask.plugins.filter.env_file import problems as unwritable
from ansible_collections.bulwark.flask.plugins.module_utils.inputs import cross, engine, entry
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import Advice
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.roles import acme_cert, nginx_site
from ansible_collections.bulwark.flask.plugins.plugin_utils import certificates, role_files, values, yaml_source

# The fact that records which variables of each role a playbook has checked: a digest for each role.
CHECKED = "__bulwark_flask_checked"
# An entry as the playbooks of this collection pass it to a role. They have checked it with the inventory.
FROM_INVENTORY = re.compile(
    r"\{\{\s*flask_apps \| bulwark\.flask\.app_entries\(flask_app_defaults \| default\(\{\}\), \w+\) \| first\s*\}\}")
# Variables of playbooks that are set with -e for one run. A variable of the same name in an inventory is ignored.
OF_A_RUN = ("app", "json", "names", "reason", "sign_everybody_out", "state", "to")
# Ansible imports this module once and forks a worker for each task: all of them share the key.
_KEY = secrets.token_bytes(32)


def duplicate_applications(apps: Any) -> list[str]:
    """Applications that are written twice; YAML silently keeps the last one."""
    path, root = yaml_source.file_of(apps)
    problems: list[str] = []
    for key, node in yaml_source.mappings(root) if path else ():
        names = [str(name.value) for name, _unused in node.value]
        if key == "flask_apps":
            problems += [f"flask_apps.{name} is listed twice in {path}; give each application a different name"
                         for name in dict.fromkeys(names) if names.count(name) > 1]
    return problems


def misread_by_yaml(where: str, env: Any) -> list[str]:
    """Values that YAML reads as another type than intended: NO, 0644, 12:30, 1.10. Only booleans appear in the messages."""
    problems = []
    for name, text in yaml_source.plain_scalars(env).items() if isinstance(env, Mapping) else ():
        value = env.get(name)
        if isinstance(value, bool) and text != json.dumps(value):
            problems.append(f'{where}.{name}: YAML reads {text} as {json.dumps(value)}; write "{text}" in quotes, or {json.dumps(value)}')
        elif isinstance(value, (int, float)) and text != json.dumps(value):
            problems.append(f"{where}.{name}: YAML reads this as another number than written; put it in quotes")
    return problems


def _digest(role: str, variables: Mapping[str, Any]) -> str:
    """A digest of a role's variables as they are written. It is keyed for this run, so it does not reveal values."""
    given = [*role_files.set_by_operator(role, variables), *((name, variables.get(name)) for name in engine.KNOWN)]
    return hmac.new(_KEY, repr(sorted(given, key=lambda item: item[0])).encode(), hashlib.sha256).hexdigest()


class ActionModule(ActionBase):
    """Runs on the controller only; there is no connection to the host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True
    _VALID_ARGS = frozenset(("role", "roles"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check one role, some, or the whole inventory."""
        result = super().run(tmp, task_vars)
        known = role_files.specs()
        variables: Mapping[str, Any] = task_vars or {}
        role, roles = self._task.args.get("role"), self._task.args.get("roles")
        chosen = [role] if role else list(roles or known)
        if wrong := [name for name in chosen if name not in known]:
            raise AnsibleActionFail(f"check_inputs: no such role: {', '.join(map(str, wrong))}")
        if role and self._is_checked(role, variables):
            return {**result, "changed": False}
        problems: list[str] = []
        variables = self._without_others(known, variables, problems)
        if role or roles and "flask_apps" not in variables:
            for name in chosen:
                problems += self._check_role(name, known, variables)
        else:
            problems += self._check_inventory(known, chosen, variables)
            result["ansible_facts"] = {CHECKED: {name: _digest(name, variables) for name in chosen}}
        problems += engine.distribution(self._read("ansible_facts", variables.get("ansible_facts", {}), []) or {})
        if refused := [problem for problem in problems if not isinstance(problem, Advice)]:
            raise AnsibleActionFail(engine.as_text(refused, "" if role else "; nothing was changed"))
        result["warnings"] = [str(problem) for problem in problems]
        return {**result, "changed": False}

    def _is_checked(self, role: str, variables: Mapping[str, Any]) -> bool:
        """Whether a playbook has checked exactly these variables, with the entry from the inventory."""
        entry_given = variables.get("flask_app", "")
        from_inventory = not entry_given or isinstance(entry_given, str) and FROM_INVENTORY.fullmatch(entry_given.strip())
        checked = variables.get(CHECKED) or variables.get("ansible_facts", {}).get(CHECKED) or {}
        return bool(from_inventory) and hmac.compare_digest(str(checked.get(role, "")), _digest(role, variables))

    def _read(self, where: str, raw: Any, problems: list[str]) -> Any:
        if where == "ansible_facts":
            return {key: raw[key] for key in ("distribution", "distribution_major_version") if key in raw}
        return values.read(self._templar, where, raw, problems)

    def _provided(self, at: Callable[[str], str], given: Mapping[str, Any], domains: Any) -> list[str]:
        """Problems of a provided certificate."""
        chain, key = given.get("provided_chain"), given.get("provided_key")
        if given.get("source") != "provided" or not all(isinstance(value, str) and value for value in (chain, key)):
            return []
        problems: list[str] = []
        chain, key = (certificates.text_of(at(option), given[option], self._loader.get_text_file_contents, problems)
                      for option in ("provided_chain", "provided_key"))
        names = [name for name in domains if isinstance(name, str)] if isinstance(domains, list) else []
        return problems or certificates.problems(at("provided_chain"), chain, at("provided_key"), key, names, datetime.now(timezone.utc))

    def _without_others(self, known: dict[str, Any], variables: Mapping[str, Any], problems: list[str]) -> Mapping[str, Any]:
        """The variables without those that the operator says are other roles'."""
        others = self._read(engine.OTHERS, variables.get(engine.OTHERS, []), problems)
        if not (isinstance(others, list) and all(isinstance(name, str) for name in others)):
            problems.append(f"{engine.OTHERS} must be a list of names of variables, such as [nginx_server_tokens]")
            return variables
        problems += [f"{engine.OTHERS} names {name}, which is a variable of the role {role}; leave it out"
                     for role, spec in known.items() for name in others if name in spec]
        return {name: value for name, value in variables.items() if name not in {*others} - {*engine.KNOWN}} if others else variables

    def _check_inventory(self, known: dict[str, Any], chosen: list[str], variables: Mapping[str, Any]) -> list[str]:
        """Check the whole inventory, for a playbook, before a role runs."""
        problems: list[str] = []
        readable = {}
        ours = tuple(f"{role}_" for role in known)
        for role in chosen:
            for name, raw in role_files.set_by_operator(role, variables):
                value = self._read(name, raw, problems)
                if value is not values.MISSING:
                    readable[name] = value
        # Of other variables only the name is checked: it may be a misspelt variable of a role.
        readable |= {name: None for name in variables if not name.startswith((*ours, "ansible_", "__"))
                     and name not in (*engine.KNOWN, *(["flask_app"] if "flask_apps" in variables else []))}
        apps = self._read("flask_apps", variables["flask_apps"], problems) if "flask_apps" in variables else values.MISSING
        defaults = self._read("flask_app_defaults", variables.get("flask_app_defaults", {}), problems)
        entries = {name: app for name, app in apps.items() if isinstance(app, Mapping)} if isinstance(apps, Mapping) else {}
        usable = defaults if isinstance(defaults, Mapping) else {}
        merged = {app["name"]: app for app in app_entries(entries, usable)}
        if apps is not values.MISSING:
            problems += duplicate_applications(variables["flask_apps"])
            problems += self._misread("flask_app_defaults", variables.get("flask_app_defaults"))
            for name in entries:
                problems += self._misread(f"flask_apps.{name}", variables["flask_apps"].get(name) if isinstance(variables["flask_apps"], Mapping) else None)
            problems += engine.applications(apps, merged, {} if defaults is values.MISSING else defaults, known, unwritable, readable)
            for name, app in merged.items():
                if isinstance(section := app.get("acme_cert"), Mapping):
                    problems += self._provided(partial("flask_apps.{}.acme_cert.{}".format, name), section, app.get("domains"))
        elif "flask_apps" not in variables and "flask_app" not in variables:
            problems.append("flask_apps is missing; describe your applications there, such as "
                            "{shop: {domains: [shop.example.com], …}}")
        extra = load_extra_vars(self._loader)
        problems += [f"{name} is set outside of the command line, and a playbook would use it; give that variable another name, and "
                     f"write -e {name}=… for a run" for name in OF_A_RUN if name in variables and name not in extra]
        if "nginx_server" in chosen:
            problems += cross.nginx(readable, merged)
        return problems + engine.host_variables(readable, known, merged)

    def _misread(self, where: str, entry_given: Any) -> list[str]:
        return misread_by_yaml(f"{where}.env", entry_given.get("env")) if isinstance(entry_given, Mapping) else []

    def _check_role(self, role: str, known: Mapping[str, Any], variables: Mapping[str, Any]) -> list[str]:
        """Check the variables of one role, from any source."""
        problems: list[str] = []
        spec, defaults, app = known[role], role_files.defaults(role), variables.get("flask_app")
        app = self._read("flask_app", app, []) if isinstance(app, str) else app
        app = app if isinstance(app, Mapping) else None
        readable, places = {}, {}
        place = f"flask_apps.{app['name']}" if app is not None and "name" in app else "flask_app"
        for name, option in spec.items():
            short = name[len(role) + 1:]
            own = name in variables and variables[name] != defaults.get(name)
            of_entry = entry.is_key(role, short)
            where = name if own or app is None else f"{place}.{short}" if of_entry else f"{place}.{role}.{short}"
            places[short] = where
            errors: list[str] = []
            value = self._read(where, variables[name], errors) if name in variables else values.MISSING
            if errors and own:
                problems += errors
            elif value is values.MISSING or errors:
                # A default that cannot be rendered depends on a variable that has its own problem.
                hint = "; set it, or give the role an entry of flask_apps as flask_app" if app is None and of_entry else ""
                problems += [f"{where} is required{hint}"] if option.get("required") else []
            else:
                readable[name] = value
                problems += engine.role_value(where, role, short, value, option, unwritable)
        problems += cross.host(readable, known)
        if role == "nginx_site" and app is None:
            own_site = {name[len(role) + 1:]: value for name, value in readable.items()}
            problems += nginx_site.agreement(lambda key: f"{role}_{key}", own_site, own_site.get("static") or ())
        if role == "acme_cert":
            given = {name[len(role) + 1:]: value for name, value in readable.items()}
            problems += acme_cert.agreement(places.__getitem__, given) + self._provided(places.__getitem__, given, given.get("domains"))
        if app is not None and role in app:
            section = self._read(f"{place}.{role}", app[role], [])
            problems += engine.section(place, role, section, known)
        return problems + engine.unknown_variables((name for name, _unused in role_files.set_by_operator(role, variables)), role, known)
