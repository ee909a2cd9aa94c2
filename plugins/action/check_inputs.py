"""Refuse bad input before anything on the host is changed, all problems at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail, AnsibleUndefinedVariable, AnsibleValueOmittedError
from ansible.parsing.vault import AnsibleVaultError
from ansible.plugins.action import ActionBase
from ansible_collections.bulwark.flask.plugins.filter.app_entries import app_entries
from ansible_collections.bulwark.flask.plugins.filter.env_file import problems as unwritable
from ansible_collections.bulwark.flask.plugins.module_utils import inputs, renamed_inputs, site_values
from ansible_collections.bulwark.flask.plugins.module_utils.names import nearest
from ansible_collections.bulwark.flask.plugins.plugin_utils import certificates

ROLES = Path(__file__).resolve().parents[2] / "roles"
MISSING: Any = object()


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads files whatever tags Ansible gives them a meaning with."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


@lru_cache(maxsize=None)
def _load(role: str, part: str) -> dict[str, Any]:
    path = ROLES / role / part
    # The loader is a SafeLoader.
    return yaml.load(path.read_text(encoding="utf-8"), _Loader) or {} if path.exists() else {}  # noqa: S506


def specs() -> dict[str, Any]:
    """The options of every role's main entry point."""
    found = {path.name: _load(path.name, "meta/argument_specs.yml") for path in sorted(ROLES.iterdir())}
    return {role: spec["argument_specs"]["main"]["options"] for role, spec in found.items() if spec}


def duplicate_applications(apps: Any) -> list[str]:
    """Applications that are written twice; of those a YAML file keeps the last without a word."""
    try:
        from ansible._internal._datatag._tags import Origin  # noqa: PLC0415 - not there in every version

        origin = Origin.get_tag(apps)
        tree = yaml.compose(Path(origin.path).read_text(encoding="utf-8"), _Loader)
    except Exception:  # noqa: BLE001 - vaulted, generated or gone: nothing to compare
        return []
    found: list[str] = []
    stack = [("", tree)]
    while stack:
        key, node = stack.pop()
        if isinstance(node, yaml.MappingNode):
            names = [str(name.value) for name, _ in node.value]
            if key == "flask_apps":
                found += [f"flask_apps.{name} is there twice in {origin.path}; give each application a name of its own"
                          for name in dict.fromkeys(names) if names.count(name) > 1]
            stack += [(name, value) for name, (_, value) in zip(names, node.value)]
    return found


def _reason(error: BaseException) -> str:
    """Why a value cannot be rendered, without a word that may be a part of it."""
    if isinstance(error, AnsibleUndefinedVariable):
        return f"{str(error).splitlines()[0]}; define it, or leave this out"
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, AnsibleVaultError):
            return "its vault does not open; give the right password (--ask-vault-pass or --vault-password-file)"
        cause = cause.__cause__ or cause.__context__
    return "its template fails; try it with ansible.builtin.debug"


class ActionModule(ActionBase):
    """Runs on the controller alone; the host is not asked."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True
    _VALID_ARGS = frozenset(("role", "roles"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check one role, some, or the whole inventory."""
        result = super().run(tmp, task_vars)
        variables, known = task_vars or {}, specs()
        role, roles = self._task.args.get("role"), self._task.args.get("roles")
        chosen = [role] if role else list(roles or known)
        if wrong := [name for name in chosen if name not in known]:
            raise AnsibleActionFail(f"check_inputs: no such role: {', '.join(map(str, wrong))}")
        found: list[str] = []
        if role or roles and "flask_apps" not in variables:
            for name in chosen:
                found += self._single(name, known, variables)
        else:
            found += self._whole(known, chosen, variables)
        found += inputs.distribution(self._read("ansible_facts", variables.get("ansible_facts", {}), []) or {})
        if found:
            raise AnsibleActionFail(inputs.as_text(found, "" if role else "; nothing was changed"))
        return {**result, "changed": False}

    def _read(self, where: str, raw: Any, found: list[str]) -> Any:
        """A value with every template in it rendered; what cannot be rendered is left out and said."""
        if where == "ansible_facts":
            return {key: raw[key] for key in ("distribution", "distribution_major_version") if key in raw}
        try:
            value = raw if isinstance(raw, (Mapping, list)) else self._templar.template(raw)
        except AnsibleValueOmittedError:
            return MISSING
        except Exception as error:  # noqa: BLE001 - whatever the reason, the others are checked too
            found.append(f"{where} cannot be read: {_reason(error)}")
            return MISSING
        if isinstance(value, Mapping):
            items = [(key, self._item(f"{where}.{key}", value, key, found)) for key in value]
            return {key: item for key, item in items if item is not MISSING}
        if isinstance(value, list):
            items = [self._item(f"{where}[{n}]", value, n, found) for n in range(len(value))]
            return [item for item in items if item is not MISSING]
        return value

    def _item(self, where: str, container: Any, key: Any, found: list[str]) -> Any:
        """One item; containers that templates made render theirs when they are asked for it."""
        try:
            raw = container[key]
        except AnsibleValueOmittedError:
            return MISSING
        except Exception as error:  # noqa: BLE001 - as above
            found.append(f"{where} cannot be read: {_reason(error)}")
            return MISSING
        return self._read(where, raw, found)

    def _given(self, variables: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
        """Variables that somebody set: not magic, and not what a role's defaults say."""
        prefixes = tuple(f"{role}_" for role in known)
        defaults = {name: raw for role in known for name, raw in _load(role, "defaults/main.yml").items()}
        skip = ("flask_app", *inputs.KNOWN)
        return [name for name, raw in variables.items() if name not in skip and not name.startswith(("ansible_", "__"))
                and not (name.startswith(prefixes) and name in defaults and raw == defaults[name])]

    def _provided(self, at: Callable[[str], str], given: Mapping[str, Any], domains: Any) -> list[str]:
        """What is wrong with a certificate of the operator's own."""
        chain, key = given.get("provided_chain"), given.get("provided_key")
        if given.get("source") != "provided" or not all(isinstance(value, str) and value for value in (chain, key)):
            return []
        found: list[str] = []
        chain, key = (certificates.text_of(at(option), given[option], self._loader.get_text_file_contents, found)
                      for option in ("provided_chain", "provided_key"))
        names = [name for name in domains if isinstance(name, str)] if isinstance(domains, list) else []
        return found or certificates.problems(at("provided_chain"), chain, at("provided_key"), key, names, datetime.now(timezone.utc))

    def _whole(self, known: dict[str, Any], chosen: list[str], variables: Mapping[str, Any]) -> list[str]:
        """Everything an inventory says: for a playbook, before any role runs."""
        found: list[str] = []
        names = self._given(variables, known)
        prefixes = tuple(f"{role}_" for role in known)
        wanted = tuple(f"{role}_" for role in chosen)
        readable = {}
        for name in names:
            # Only those of our roles are read; of others the name is enough.
            value = self._read(name, variables[name], found) if name.startswith(wanted) else None
            if value is not MISSING and (name.startswith(wanted) or not name.startswith(prefixes)):
                readable[name] = value
        apps = self._read("flask_apps", variables["flask_apps"], found) if "flask_apps" in variables else MISSING
        defaults = self._read("flask_app_defaults", variables.get("flask_app_defaults", {}), found)
        entries = {name: app for name, app in apps.items() if isinstance(app, Mapping)} if isinstance(apps, Mapping) else {}
        usable = defaults if isinstance(defaults, Mapping) else {}
        merged = {app["name"]: app for app in app_entries(entries, usable)}
        if apps is not MISSING:
            found += duplicate_applications(variables["flask_apps"])
            found += inputs.applications(apps, merged, {} if defaults is MISSING else defaults, known, unwritable, readable)
            for name, app in merged.items():
                if isinstance(section := app.get("acme_cert"), Mapping):
                    found += self._provided(lambda option, name=name: f"flask_apps.{name}.acme_cert.{option}", section, app.get("domains"))
        elif "flask_apps" not in variables:
            found.append("flask_apps is missing; describe your applications there, such as "
                         "{shop: {domains: [shop.example.com], …}}")
        if "nginx_server" in chosen:
            found += inputs.nginx_agreement(readable, merged)
        return found + inputs.host_variables(readable, known, merged)

    def _single(self, role: str, known: Mapping[str, Any], variables: Mapping[str, Any]) -> list[str]:
        """One role's own variables, wherever they come from."""
        found: list[str] = []
        spec, defaults, app = known[role], _load(role, "defaults/main.yml"), variables.get("flask_app")
        app = app if isinstance(app, Mapping) else None
        readable, places = {}, {}
        place = f"flask_apps.{app['name']}" if app is not None and "name" in app else "flask_app"
        for name, option in spec.items():
            short = name[len(role) + 1:]
            own = name in variables and variables[name] != defaults.get(name)
            where = name if own or app is None else f"{place}.{short}" if inputs.of_entry(role, short) else f"{place}.{role}.{short}"
            places[short] = where
            errors: list[str] = []
            value = self._read(where, variables[name], errors) if name in variables else MISSING
            if errors and own:
                found += errors
            elif value is MISSING or errors:
                # A default that cannot be rendered lacks what another problem is about.
                hint = "" if app is not None or not inputs.of_entry(role, short) else "; set it, or give the role an entry of flask_apps as flask_app"
                found += [f"{where} is required{hint}"] if option.get("required") else []
            else:
                readable[name] = value
                found += inputs.role_value(where, name, role, value, option, unwritable)
        found += inputs.host_agreement(readable, known)
        if role == "nginx_site" and app is None:
            own = {name[len(role) + 1:]: value for name, value in readable.items()}
            found += site_values.agreement(lambda key: f"{role}_{key}", own, own.get("static") or ())
        if role == "acme_cert":
            given = {name[len(role) + 1:]: value for name, value in readable.items()}
            found += inputs.certificate(places.__getitem__, given) + self._provided(places.__getitem__, given, given.get("domains"))
        if app is not None and role in app:
            section = self._read(f"{place}.{role}", app[role], [])
            found += inputs.section(place, role, section, known)
        names = [name for name in self._given(variables, {role: spec}) if name.startswith(f"{role}_") and name not in spec]
        return found + [f"{name} is unknown{renamed_inputs.option(role, name) or nearest(name, spec)}" for name in names]
