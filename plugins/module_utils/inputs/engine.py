"""Variables compared with the roles' specifications and rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.distributions import DEBIAN
from ansible_collections.bulwark.flask.plugins.module_utils.inputs import cross, entry, renamed
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import CONTROL, POSITIVE, Advice, absolute_path, is_whole, setting
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.roles import RULES
from ansible_collections.bulwark.flask.plugins.module_utils.names import APP_NAME, nearest

Spec = Mapping[str, Any]
Specs = Mapping[str, Mapping[str, Spec]]
Unwritable = Callable[[Any], "list[str]"]

REQUIRED = {"domains": "[shop.example.com]", "source": "{git: https://…, version: main}", "wsgi": '"shop:create_app()"'}
# Names of variables that other roles read. They are not checked.
OTHERS = "flask_other_variables"
KNOWN = ("flask_apps", "flask_app_defaults", OTHERS)
# Options that can also be variables of the host, for all its applications.
HOST_WIDE = {
    "acme_cert": ("ca_bundle", "directory_url", "eab_hmac_key", "eab_kid", "email", "index_url", "preflight", "preflight_resolvers",
                  "requirements"),
    "app_release": ("ca_bundle", "credentials_for_builds", "download_credentials", "extra_index_urls", "force", "index_url", "requirements", "to"),
    "pip_audit": ("ca_bundle", "index_url", "osv_url", "service"),
}
# Accounts, groups and directories of state of Debian, of services beside an application, and of the roles.
RESERVED = set("""acme-cert adm alarm-channel audio backup bin cdrom chrony clock crontab daemon default dialout dip
    disk dnsmasq docker fail2ban fax file_set floppy ftp games gnats gunicorn host-baseline host_access input irc kmem kvm
    list lp mail man messagebus mysql netdev news nginx nobody nogroup ntp operator pip-audit plugdev polkitd postfix
    postgres proc proxy redis render root sasl session-store session-stores sgx shadow src ssh sshd ssl-cert staff statd sudo
    sync sys tape tcpdump tss tty users utmp uucp uuidd valkey video voice www-data""".split())
WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list", "dict": "a mapping",
         "str": "a text", "path": "an absolute path"}
# Variables that may have several lines.
OF_LINES = {("acme_cert", "provided_chain")}


def nothing(env: Any) -> list[str]:
    """No problem."""
    return []


def per_app(specs: Specs) -> list[str]:
    """Roles that run once per application: those with a variable for its name."""
    return [role for role, options in specs.items() if f"{role}_name" in options]


def _fits(kind: str, value: Any) -> bool:
    """Whether a value has a type, or is a text of this type (as with -e name=value)."""
    if kind == "int":
        return is_whole(value)
    if kind == "bool":
        return isinstance(value, bool) or isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "on", "off")
    if kind == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    simple = {"list": list, "dict": Mapping, "str": str, "path": str}
    return isinstance(value, simple[kind]) if kind in simple else True


def typed(where: str, role: str, option: str, value: Any, spec: Spec) -> list[str]:
    """Check one value against its specification (type, choices, nested options) and the role's rule."""
    kind = spec.get("type", "str")
    if value is None:
        return [f"{where} has no value; leave it out to get the default"]
    if not _fits(kind, value):
        return [f"{where} must be {WORDS[kind]}{_hint(kind, value)}"]
    if spec.get("choices") and not set(value if kind == "list" else [value]) <= set(spec["choices"]):
        return [f"{where} must be {'some' if kind == 'list' else 'one'} of {', '.join(map(str, spec['choices']))}"
                f"{nearest(value, spec['choices'])}"]
    # Nested values can have several lines (keys, known hosts); their rules check them.
    if option and kind in ("str", "path") and not spec.get("no_log") and CONTROL.search(value) and (role, option) not in OF_LINES:
        return [f"{where} must be one line without control characters"]
    problems: list[str] = []
    if "options" in spec:
        nested = [(where, value)] if kind == "dict" else [(f"{where}[{n}]", item) for n, item in enumerate(value)]
        problems = [problem for place, item in nested for problem in options(place, item, spec["options"])]
    elif kind == "list":
        item_spec = {"type": spec.get("elements", "raw")}
        problems = [problem for n, item in enumerate(value) for problem in typed(f"{where}[{n}]", role, "", item, item_spec)]
    return problems or _ruled(where, role, option, kind, value)


def _ruled(where: str, role: str, option: str, kind: str, value: Any) -> list[str]:
    rule = RULES.get(role, {}).get(option) or {"int": POSITIVE, "path": absolute_path}.get(kind)
    return rule(where, value) if rule else []


def _hint(kind: str, value: Any) -> str:
    if kind == "str" and isinstance(value, (int, float, bool)):
        return "; put it in quotes"
    return ", such as [a, b]" if kind == "list" else ""


def options(where: str, given: Any, specs: Mapping[str, Spec]) -> list[str]:
    """A mapping with known keys."""
    if not isinstance(given, Mapping):
        return [f"{where} must be a mapping"]
    problems = []
    for key, value in given.items():
        if key not in specs:
            problems.append(f"{where}.{key} is unknown{nearest(key, specs) or '; known: ' + ', '.join(sorted(specs))}")
        else:
            problems += typed(f"{where}.{key}", "", "", value, specs[key])
    return problems + [f"{where}.{key} is missing" for key, spec in specs.items() if spec.get("required") and key not in given]


def section(where: str, role: str, given: Any, specs: Specs) -> list[str]:
    """The settings of one role in an application's entry."""
    known = [option for option in (name[len(role) + 1:] for name in specs[role]) if not entry.is_key(role, option)]
    if not isinstance(given, Mapping):
        return [f"{where}.{role} must be a mapping of settings, such as {{{known[0] if known else '…'}: …}}"]
    problems = []
    for key, value in given.items():
        at = f"{where}.{role}.{key}"
        if key in known:
            problems += typed(at, role, key, value, specs[role][f"{role}_{key}"])
        elif key == "name":
            problems.append(f"{at} is not needed; the entry's key is the application's name")
        elif key in entry.KEYS:
            problems.append(f"{at} belongs one level up; write {where}.{key}")
        else:
            near = renamed.option(role, str(key)) or nearest(str(key).removeprefix(f"{role}_"), known)
            problems.append(f"{at} is unknown{near or _right_place(key, specs)}")
    return problems


def _right_place(key: Any, specs: Specs) -> str:
    """The right place of a key that is in the wrong place."""
    for role in per_app(specs):
        option = str(key).removeprefix(f"{role}_")
        if f"{role}_{option}" in specs[role] and not entry.is_key(role, option):
            return f"; did you mean {role}: {{{option}: …}}?"
    return ""


def application(where: str, given: Any, specs: Specs, unwritable: Unwritable = nothing) -> list[str]:
    """Check one application's entry, or flask_app_defaults, by itself."""
    if not isinstance(given, Mapping):
        return [f"{where} must be a mapping, such as {{domains: [shop.example.com], …}}"]
    problems, roles = [], per_app(specs)
    for key, value in given.items():
        at = f"{where}.{key}"
        if value is None:
            problems.append(f"{at} has no value; give it one or leave it out")
        elif key == "env":
            problems += environment(at, value, unwritable)
        elif key == "source":
            # Parts can come from flask_app_defaults, so the merged entry is checked later.
            problems += options(at, value, _source_options(specs))
        elif key in entry.KEYS:
            problems += entry.KEYS[key](at, value)
        elif key in roles:
            problems += section(where, key, value, specs)
        elif key == "name":
            problems.append(f"{at} is not needed; the entry's key is its name")
        elif key in specs:
            problems.append(f"{at} is for the whole host; write its settings as variables, such as {next(iter(specs[key]))}")
        else:
            problems.append(f"{at} is unknown{_right_place(key, specs) or nearest(key, (*entry.KEYS, *roles))}")
    return problems


def _source_options(specs: Specs) -> Mapping[str, Spec]:
    return specs["app_release"]["app_release_source"]["options"]


def environment(where: str, env: Any, unwritable: Unwritable = nothing) -> list[str]:
    """Variables of the process."""
    return ([f"{where}.{problem}" for problem in unwritable(env)] if isinstance(env, Mapping) else []) + entry.environment(where, env)


def app_name(where: str, name: Any) -> list[str]:
    """A name that becomes an account, paths and units."""
    if not APP_NAME.fullmatch(str(name)):
        return [f"{where}: a name has 1 to 25 lower-case letters, digits, - and _, and begins with a letter"]
    if name in RESERVED or str(name).startswith("systemd-") or str(name).endswith("-build"):
        return [f"{where}: {name} is an account, a group or a directory of the system, of a role or of a build; choose another name"]
    return []


def applications(apps: Any, merged: Mapping[str, Any], defaults: Any, specs: Specs,
                 unwritable: Unwritable = nothing, host: Mapping[str, Any] = MappingProxyType({})) -> list[str]:
    """All applications of a host. `merged` has the entries with the defaults below them, `host` the variables of the whole host."""
    if not isinstance(apps, Mapping):
        return ["flask_apps must be a mapping with one key per application, such as {shop: {domains: [shop.example.com], …}}"]
    if not apps:
        return ["flask_apps has no application; add one, such as {shop: {domains: [shop.example.com], …}}"]
    problems = application("flask_app_defaults", defaults, specs, unwritable)
    for name, given in apps.items():
        where = f"flask_apps.{name}"
        problems += app_name(where, name) + application(where, given, specs, unwritable)
        whole = merged.get(name, {})
        problems += [f"{where}.{key} is missing; write {key}: {right}" for key, right in REQUIRED.items()
                     if isinstance(given, Mapping) and key not in whole]
        if whole.get("source") is not None:
            place = where if isinstance(given, Mapping) and "source" in given else "flask_app_defaults"
            problems += entry.source(f"{place}.source", whole["source"])
        problems += cross.application(where, whole, host)
    return problems + cross.conflicts(merged)


def _unknown_variable(name: str, role: str, specs: Specs) -> str:
    """The message for an unknown variable with a role's prefix: an error if it resembles a known one, otherwise a warning."""
    option, known = name[len(role) + 1:], [known[len(role) + 1:] for known in specs[role]]
    if text := renamed.option(role, name):
        return f"{name} is unknown{text}"
    near = nearest(option, known, 0.7) or next((f"; did you mean {word}?" for word in known if word.startswith(f"{option}_")), "")
    if near:
        return f"{name} is unknown{near.replace('mean ', f'mean {role}_')}"
    return Advice(f"{name} is not a variable of the role {role}; it has no effect there. If another role reads it, write its name into {OTHERS}")


def unknown_variables(names: Iterable[str], role: str, specs: Specs) -> list[str]:
    """Variables with a role's prefix that the role does not have."""
    return [_unknown_variable(name, role, specs) for name in names if name.startswith(f"{role}_") and name not in specs[role]]


def host_variables(given: Mapping[str, Any], specs: Specs, apps: Mapping[str, Any]) -> list[str]:
    """Check variables beside flask_apps: those of host roles, those for the whole host, misspelt or misplaced ones."""
    problems, every = [], [name for options in specs.values() for name in options]
    for name, value in given.items():
        role = next((r for r in specs if name.startswith(f"{r}_")), None)
        if role is None:
            near = nearest(name, (*KNOWN, *every), 0.9 if not name.startswith("flask_") else 0.75)
            if near:
                problems.append(f"{name} is unknown{near}")
            continue
        option = name[len(role) + 1:]
        if name not in specs[role]:
            problems.append(_unknown_variable(name, role, specs))
        elif role not in per_app(specs):
            problems += typed(name, role, option, value, specs[role][name])
        elif entry.is_key(role, option):
            problems.append(f"{name} would be the same for every application; " + (
                "leave it out, the keys of flask_apps are the names" if option == "name" else
                f"write {option} into each entry of flask_apps"))
        elif option not in HOST_WIDE.get(role, ()):
            problems.append(f"{name} would hide what flask_apps says; for all applications write "
                            f"flask_app_defaults: {{{role}: {{{option}: …}}}}, for one flask_apps: {{shop: {{{role}: {{{option}: …}}}}}}")
        else:
            problems += typed(name, role, option, value, specs[role][name])
            problems += [f"{name} would hide flask_apps.{app}.{role}.{option}; keep one of the two, "
                         f"or write the first as flask_app_defaults: {{{role}: {{{option}: …}}}}"
                         for app, own in apps.items() if isinstance(own, Mapping) and setting(own, role, option) is not None]
    return problems + cross.host(given, specs)


def role_value(where: str, role: str, option: str, value: Any, spec: Spec, unwritable: Unwritable = nothing) -> list[str]:
    """Check one variable of a role that is used alone."""
    if option == "name":
        return app_name(where, value)
    if not entry.is_key(role, option):
        return typed(where, role, option, value, spec)
    if option == "env":
        return environment(where, value, unwritable)
    if option == "source":
        return options(where, value, spec["options"]) or entry.source(where, value)
    # An entry needs domains; a role that uses them for a choice may have none.
    return [] if value == [] and not spec.get("required") else entry.KEYS[option](where, value)


def distribution(facts: Mapping[str, Any]) -> list[str]:
    """Check the distribution of the host, if it is known."""
    name, version = facts.get("distribution"), str(facts.get("distribution_major_version"))
    if name is None or name == "Debian" and version in DEBIAN:
        return []
    return [f"this host runs {name} {version}, which is not supported; use Debian {' or '.join(DEBIAN)}"]


def as_text(problems: Iterable[str], promise: str = "") -> str:
    """All problems as one message."""
    texts = list(dict.fromkeys(problems))
    # A value that cannot be read is not also reported as missing.
    unread = [text.split(" cannot be read:")[0] for text in texts if " cannot be read:" in text]
    texts = [text for text in texts if not any(
        text.startswith((f"{place} is missing", f"{place} is required")) or
        " has none of what it needs" in text and place.startswith(text.split(" ")[0]) for place in unread)]
    lines = [f"  {n}. {text}" for n, text in enumerate(texts, 1)]
    head = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return "\n".join([f"{head} with the variables{promise}:", *lines])
