"""What an inventory may say, and how to tell an operator what is wrong with it. No Ansible imports.

Every function returns problems: texts that name the variable as the operator wrote it, what is wrong,
and what would be right. None of them repeats a value that may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils import input_values as values
from ansible_collections.bulwark.flask.plugins.module_utils import renamed_inputs, site_values
from ansible_collections.bulwark.flask.plugins.module_utils.names import APP_NAME, is_address, nearest

Spec = Mapping[str, Any]
Specs = Mapping[str, Mapping[str, Spec]]

COMMON = ("domains", "source", "wsgi", "env", "static", "health_path", "body_max_mb", "session_store", "config", "shared")
IDENTITY = ("name", *COMMON)
REQUIRED = {"domains": "[shop.example.com]", "source": "{git: https://…, version: main}", "wsgi": '"shop:create_app()"'}
# Options that share their name with a key of the entry and are something else.
OWN = {("acme_cert", "source")}
KNOWN = ("flask_apps", "flask_app_defaults")
# The same for all applications of a host, so that a variable of the host is a natural place too.
HOST_WIDE = ("email", "directory_url", "ca_bundle", "preflight", "preflight_resolvers", "requirements", "index_url", "osv_url", "eab_kid", "eab_hmac_key",
             "installer", "service", "to", "force")
# What two applications of a host cannot share.
UNIQUE = ("port", "base", "unit", "current", "release", "certificate")
# Accounts and groups of Debian and of what runs beside an application.
RESERVED = set("""adm alarm-channel audio backup bin cdrom chrony clock crontab daemon default dialout dip disk dnsmasq docker fax floppy ftp
    games gnats gunicorn input irc kmem kvm list lp mail man messagebus mysql netdev news nginx nobody nogroup ntp operator
    pip-audit plugdev polkitd postfix postgres proxy redis render root sasl session-store sgx shadow ssh sshd src staff statd sudo sync sys
    tape tcpdump tss tty users utmp uucp uuidd valkey video voice www-data""".split())
WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list", "dict": "a mapping",
         "str": "a text", "path": "an absolute path"}
SUPPORTED = {"Debian": ("12", "13")}


def per_app(specs: Specs) -> list[str]:
    """Roles that run once per application: those that have to know its name."""
    return [role for role, options in specs.items() if f"{role}_name" in options]


def of_entry(role: str, option: str) -> bool:
    """Whether a role's option is a key of the application's entry itself, not of the role's section."""
    return option in IDENTITY and (role, option) not in OWN


def _fits(kind: str, value: Any) -> bool:
    """Whether a value is of a type, or a text that means one (as -e name=value gives it)."""
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool) or isinstance(value, str) and bool(re.fullmatch(r"-?\d+", value))
    if kind == "bool":
        return isinstance(value, bool) or isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "on", "off")
    if kind == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    simple = {"list": list, "dict": Mapping, "str": str, "path": str}
    return isinstance(value, simple[kind]) if kind in simple else True


def typed(where: str, variable: str, value: Any, spec: Spec) -> list[str]:
    """One value against its specification: type, choices, nested options, form."""
    kind = spec.get("type", "str")
    if value is None:
        return [f"{where} has no value; leave it out to get the default"]
    if not _fits(kind, value):
        return [f"{where} must be {WORDS[kind]}{_hint(kind, value)}"]
    if spec.get("choices") and not set(value if kind == "list" else [value]) <= set(spec["choices"]):
        return [f"{where} must be {'some' if kind == 'list' else 'one'} of {', '.join(map(str, spec['choices']))}"
                f"{nearest(value, spec['choices'])}"]
    if kind in ("str", "path") and not spec.get("no_log") and values.CONTROL.search(value) and variable not in ("", *values.OF_LINES):
        return [f"{where} must be one line without control characters"]
    if "options" in spec:
        nested = [(where, value)] if kind == "dict" else [(f"{where}[{n}]", item) for n, item in enumerate(value)]
        found = [problem for place, item in nested for problem in options(place, item, spec["options"])]
        return found or values.form(where, variable, kind, value)
    if kind == "list":
        item_spec = {"type": spec.get("elements", "raw")}
        found = [problem for n, item in enumerate(value) for problem in typed(f"{where}[{n}]", "", item, item_spec)]
        if found:
            return found
    return values.form(where, variable, kind, value)


def _hint(kind: str, value: Any) -> str:
    if kind == "str" and isinstance(value, (int, float, bool)):
        return "; put it in quotes"
    return ", such as [a, b]" if kind == "list" else ""


def options(where: str, given: Any, specs: Mapping[str, Spec]) -> list[str]:
    """A mapping with known keys."""
    if not isinstance(given, Mapping):
        return [f"{where} must be a mapping"]
    found = []
    for key, value in given.items():
        if key not in specs:
            found.append(f"{where}.{key} is unknown{nearest(key, specs) or '; known: ' + ', '.join(sorted(specs))}")
        else:
            # Texts of several lines are keys and known hosts; what they must look like is their checker's matter.
            found += typed(f"{where}.{key}", "", value, specs[key])
    return found + [f"{where}.{key} is missing" for key, spec in specs.items() if spec.get("required") and key not in given]


def section(where: str, role: str, given: Any, specs: Specs) -> list[str]:
    """The settings of one role in an application's entry."""
    known = [option for option in (name[len(role) + 1:] for name in specs[role]) if not of_entry(role, option)]
    if not isinstance(given, Mapping):
        return [f"{where}.{role} must be a mapping of settings, such as {{{known[0] if known else '…'}: …}}"]
    found = []
    for key, value in given.items():
        at = f"{where}.{role}.{key}"
        if key in known:
            found += typed(at, f"{role}_{key}", value, specs[role][f"{role}_{key}"])
        elif key == "name":
            found.append(f"{at} is not needed; the entry's key is the application's name")
        elif key in COMMON:
            found.append(f"{at} belongs one level up; write {where}.{key}")
        else:
            near = renamed_inputs.option(role, str(key)) or nearest(str(key).removeprefix(f"{role}_"), known)
            found.append(f"{at} is unknown{near or elsewhere(key, specs)}")
    return found


def elsewhere(key: Any, specs: Specs) -> str:
    """Where a key would be right that is in the wrong place."""
    for role in per_app(specs):
        for option in (key, str(key).removeprefix(f"{role}_")):
            if not of_entry(role, option) and f"{role}_{option}" in specs[role]:
                return f"; did you mean {role}: {{{option}: …}}?"
    return ""


def entry(where: str, given: Any, specs: Specs, unwritable: Callable[[Any], list[str]] = lambda env: []) -> list[str]:
    """What one application's entry, or flask_app_defaults, says itself."""
    if not isinstance(given, Mapping):
        return [f"{where} must be a mapping, such as {{domains: [shop.example.com], …}}"]
    found, roles = [], per_app(specs)
    for key, value in given.items():
        at = f"{where}.{key}"
        if value is None:
            found.append(f"{at} has no value; give it one or leave it out")
        elif key == "env":
            found += environment(at, value, unwritable)
        elif key == "source":
            found += options(at, value, _source_options(specs))
        elif key in COMMON:
            found += getattr(values, key)(at, value)
        elif key in roles:
            found += section(where, key, value, specs)
        elif key == "name":
            found.append(f"{at} is not needed; the entry's key is its name")
        elif key in specs:
            found.append(f"{at} is for the whole host; write its settings as variables, such as {next(iter(specs[key]))}")
        else:
            found.append(f"{at} is unknown{elsewhere(key, specs) or nearest(key, (*COMMON, *roles))}")
    return found


def _source_options(specs: Specs) -> Mapping[str, Spec]:
    return next((options[f"{role}_source"]["options"] for role, options in specs.items()
                 if "options" in options.get(f"{role}_source", {})), {kind: {} for kind in values.SOURCES})


def environment(where: str, env: Any, unwritable: Callable[[Any], list[str]] = lambda env: []) -> list[str]:
    """Variables of the process."""
    if not isinstance(env, Mapping):
        return [f"{where} must be a mapping of names to values"]
    return [f"{where}.{problem}" for problem in unwritable(env)] + values.environment(where, env)


def app_name(where: str, name: Any) -> list[str]:
    """A name that becomes an account, paths and units."""
    if not APP_NAME.fullmatch(str(name)):
        return [f"{where}: a name has 1 to 25 lower-case letters, digits, - and _, and begins with a letter"]
    if name in RESERVED or str(name).startswith("systemd-") or str(name).endswith("-build"):
        return [f"{where}: {name} is an account of the system's or of a build; choose another name"]
    return []


def applications(apps: Any, merged: Mapping[str, Any], defaults: Any, specs: Specs,
                 unwritable: Callable[[Any], list[str]] = lambda env: [], host: Mapping[str, Any] = MappingProxyType({})) -> list[str]:
    """All applications of a host. `merged` has the entries with the defaults below them, `host` the variables of the whole host."""
    if not isinstance(apps, Mapping):
        return ["flask_apps must be a mapping with one key per application, such as {shop: {domains: [shop.example.com], …}}"]
    if not apps:
        return ["flask_apps has no application; add one, such as {shop: {domains: [shop.example.com], …}}"]
    found = entry("flask_app_defaults", defaults, specs, unwritable)
    for name, given in apps.items():
        where = f"flask_apps.{name}"
        found += app_name(where, name) + entry(where, given, specs, unwritable)
        whole = merged.get(name, {})
        found += [f"{where}.{key} is missing; write {key}: {right}" for key, right in REQUIRED.items()
                  if isinstance(given, Mapping) and key not in whole]
        if whole.get("source") is not None:
            origin = where if isinstance(given, Mapping) and "source" in given else "flask_app_defaults"
            found += values.source(f"{origin}.source", whole["source"])
        found += agreement(where, whole, host)
    return found + conflicts(merged)


def _setting(app: Mapping[str, Any], role: str, option: str, default: Any = None) -> Any:
    given = app.get(role)
    return given.get(option, default) if isinstance(given, Mapping) else default


def _number(value: Any, default: int) -> int:
    return int(value) if _fits("int", value) else default


def agreement(where: str, app: Mapping[str, Any], host: Mapping[str, Any]) -> list[str]:
    """Settings of one application that only make sense together. `host` has the variables of the whole host."""
    found = []
    base, release = _setting(app, "gunicorn_app", "base"), _setting(app, "app_release", "base")
    if base != release:
        found.append(f"{where}.gunicorn_app.base and {where}.app_release.base must be the same directory")
    elif base and _setting(app, "nginx_site", "current") != f"{base}/current":
        found.append(f"{where}.nginx_site.current must be {base}/current, below app_release.base")
    elif base and _setting(app, "app_secrets", "current") != f"{base}/current":
        found.append(f"{where}.app_secrets.current must be {base}/current, below app_release.base")
    if _setting(app, "gunicorn_app", "subdirectory", "") != _setting(app, "app_release", "subdirectory", ""):
        found.append(f"{where}.gunicorn_app.subdirectory and {where}.app_release.subdirectory must be the same")
    patience = _number(_setting(app, "nginx_site", "proxy_read_timeout_seconds"), 60)
    slowest = _number(_setting(app, "gunicorn_app", "timeout_seconds"), 30)
    if slowest >= patience:
        found.append(f"{where}.nginx_site.proxy_read_timeout_seconds must be above gunicorn_app.timeout_seconds ({slowest}), "
                     f"or visitors see an error while the application still works; write {slowest + 30}")
    if _setting(app, "nginx_site", "hsts_preload") is True and (
            _setting(app, "nginx_site", "hsts_subdomains") is not True
            or _number(_setting(app, "nginx_site", "hsts_seconds"), 63072000) < 31536000):
        found.append(f"{where}.nginx_site.hsts_preload needs hsts_subdomains: true and hsts_seconds of a year (31536000) or more")
    site, static = app.get("nginx_site"), app.get("static")
    if isinstance(site, Mapping):
        found += site_values.agreement(lambda key: f"{where}.nginx_site.{key}", site, static if isinstance(static, Mapping) else ())
    section = app.get("acme_cert")
    section = section if isinstance(section, Mapping) else {}
    return found + certificate(lambda option: f"{where}.{option if option == 'domains' else f'acme_cert.{option}'}",
                               {"directory_url": host.get("acme_cert_directory_url"), **section, "domains": app.get("domains")})


def certificate(at: Callable[[str], str], given: Mapping[str, Any]) -> list[str]:
    """Settings of one certificate that only make sense together. `at` says where an option stands."""
    found, origin, names = [], given.get("source") or "acme", given.get("domains")
    wildcards = [name for name in names if str(name).startswith("*.")] if isinstance(names, list) else []
    if wildcards and names[0] == wildcards[0]:
        found.append(f"{at('domains')}: the first is the canonical one, which links and mails have; write one before '{names[0]}'")
    if wildcards and origin == "acme" and not given.get("dns"):
        found.append(f"{at('domains')}: '{wildcards[0]}' is a wildcard, which is certified in DNS alone; add {at('dns')}, or list every name")
    addresses = [name for name in names if is_address(str(name))] if isinstance(names, list) else []
    if addresses and origin == "acme" and given.get("dns"):
        found.append(f"{at('domains')}: {addresses[0]} is an address, which nothing in DNS can prove; leave out {at('dns')}, or the address")
    asked = given.get("directory_url") or "letsencrypt.org"
    if addresses and origin == "acme" and (given.get("staging") is True or "letsencrypt.org" in asked) and given.get("profile") != "shortlived":
        found.append(f"{at('domains')}: {addresses[0]} is an address, which Let's Encrypt certifies for six days at most; "
                     f"write {at('profile')}: shortlived")
    if origin != "acme" and given.get("dns"):
        found.append(f"{at('dns')} goes with source: acme; leave it out")
    if given.get("rsa_certificate") is True and origin != "acme":
        found.append(f"{at('rsa_certificate')} goes with source: acme; leave it out")
    if given.get("rsa_certificate") is True and str(given.get("key_type", "")).startswith("rsa"):
        found.append(f"{at('rsa_certificate')} is for an RSA key beside an ECDSA one; leave out that, or {at('key_type')}")
    if bool(given.get("eab_kid")) != bool(given.get("eab_hmac_key")):
        found.append(f"{at('eab_kid')} and {at('eab_hmac_key')} belong together; give both or none")
    for option, what in (("provided_chain", "the certificate and those that signed it"), ("provided_key", "its private key")):
        if origin == "provided" and not given.get(option):
            found.append(f"{at(option)} is missing; with source: provided it is {what}, as PEM text or a file on the controller")
        elif origin != "provided" and given.get(option):
            found.append(f"{at(option)} goes with source: provided; write that too, or leave this out")
    return found


def host_agreement(given: Mapping[str, Any], specs: Specs) -> list[str]:
    """Settings of a host that only make sense together; what is not given has its default."""
    warning, critical = (f"alarm_channel_certificate_{name}_percent" for name in ("warning", "critical"))
    limit, lower = (_number(given.get(name), specs["alarm_channel"][name]["default"]) for name in (warning, critical))
    found = [] if lower < limit else [f"{critical} must be below {warning} ({limit}), or nothing is ever a warning"]
    ssh, open_to_all = (_ports(given.get(name), specs["host_access"][name]["default"])
                        for name in ("host_access_ssh_ports", "host_access_tcp_ports"))
    return found + [f"host_access_tcp_ports has {port}, a port of SSH (host_access_ssh_ports); host_access_ssh_from would not hold "
                    "for it: take it out" for port in sorted(ssh & open_to_all)]


def _ports(value: Any, default: list[int]) -> set[int]:
    return {int(port) for port in (value if isinstance(value, list) else default) if _fits("int", port)}


def nginx_agreement(given: Mapping[str, Any], apps: Mapping[str, Any]) -> list[str]:
    """What a site asks for and the host's nginx must have."""
    found = []
    for name, app in apps.items():
        for option in ("brotli", "http3"):
            if _setting(app, "nginx_site", option) is True and given.get(f"nginx_server_{option}") is not True:
                found.append(f"flask_apps.{name}.nginx_site.{option} needs nginx_server_{option}: true, a variable of the host")
        if _setting(app, "acme_cert", "rsa_certificate") is True:
            found += [f"flask_apps.{name}.acme_cert.rsa_certificate is for clients that have TLS 1.2 at most, which {where}: modern refuses; "
                      "leave one of them out" for where, profile in
                      ((f"flask_apps.{name}.nginx_site.tls_profile", _setting(app, "nginx_site", "tls_profile")),
                       ("nginx_server_tls_profile", given.get("nginx_server_tls_profile"))) if profile == "modern"]
    if given.get("nginx_server_http3") is True and given.get("nginx_server_catch_all") is False:
        found.append("nginx_server_http3 needs nginx_server_catch_all, which opens the port for all sites; leave one of them out")
    return found


def conflicts(merged: Mapping[str, Any]) -> list[str]:
    """What two applications of one host must not share."""
    found, domain_of, name_of, owner, by_address = [], {}, {}, {}, {}
    for name, app in merged.items():
        where, folded = f"flask_apps.{name}", str(name).replace("-", "_")
        if folded in name_of:
            found.append(f"{where} and flask_apps.{name_of[folded]} differ in - and _ alone; choose another name")
        name_of.setdefault(folded, name)
        listed = app.get("domains")
        for domain in dict.fromkeys(map(str, listed)) if isinstance(listed, list) else ():
            key = domain.lower().rstrip(".")
            if key in domain_of:
                found.append(f"{where}.domains: {domain} belongs to flask_apps.{domain_of[key]} already; name it once")
            domain_of.setdefault(key, name)
            if is_address(key):
                # No name is said in the handshake: what is presented is the same for all of a kind.
                kind = "IPv6" if ":" in key else "IPv4"
                if by_address.setdefault(kind, name) != name:
                    found.append(f"{where}.domains: {domain} cannot be served, as flask_apps.{by_address[kind]} is reached by an address of {kind} "
                                 "already, and visitors by address name no site; keep one of the two")
        for role, given in app.items():
            for option in UNIQUE if isinstance(given, Mapping) and role not in COMMON else ():
                if option not in given:
                    continue
                key = (role, option, str(given[option]))
                if key in owner:
                    found.append(f"{where}.{role}.{option} is the same as that of flask_apps.{owner[key]}; give each its own")
                owner.setdefault(key, name)
    return found


def host_variables(given: Mapping[str, Any], specs: Specs, apps: Mapping[str, Any]) -> list[str]:
    """Variables beside flask_apps: of host roles, for the whole host, misspelt, or in the wrong place."""
    found, every = [], [name for options in specs.values() for name in options]
    for name, value in given.items():
        role = next((r for r in specs if name.startswith(f"{r}_")), None)
        if role is None:
            near = nearest(name, (*KNOWN, *every), 0.9 if not name.startswith("flask_") else 0.75)
            if name.startswith("flask_app") or near:
                found.append(f"{name} is unknown{near or nearest(name, KNOWN, 0.5) or '; known: ' + ', '.join(KNOWN)}")
            continue
        option = name[len(role) + 1:]
        if name not in specs[role]:
            found.append(f"{name} is unknown{renamed_inputs.option(role, name) or nearest(name, specs[role])}")
        elif role not in per_app(specs):
            found += typed(name, name, value, specs[role][name])
        elif of_entry(role, option):
            found.append(f"{name} would be the same for every application; " + (
                "leave it out, the keys of flask_apps are the names" if option == "name" else
                f"write {option} into each entry of flask_apps"))
        elif option not in HOST_WIDE:
            found.append(f"{name} would hide what flask_apps says; for all applications write "
                         f"flask_app_defaults: {{{role}: {{{option}: …}}}}, for one flask_apps: {{shop: {{{role}: {{{option}: …}}}}}}")
        else:
            found += typed(name, name, value, specs[role][name])
            found += [f"{name} would hide flask_apps.{app}.{role}.{option}; keep one of the two, "
                      f"or write the first as flask_app_defaults: {{{role}: {{{option}: …}}}}"
                      for app, own in apps.items() if isinstance(own, Mapping) and _setting(own, role, option) is not None]
    return found + host_agreement(given, specs)


def role_value(where: str, variable: str, role: str, value: Any, spec: Spec,
               unwritable: Callable[[Any], list[str]] = lambda env: []) -> list[str]:
    """One variable of a role that is used by itself."""
    short = variable[len(role) + 1:]
    if short == "name":
        return app_name(where, value)
    if short == "env":
        return environment(where, value, unwritable)
    if short == "source" and "options" in spec:
        return options(where, value, spec["options"]) or values.source(where, value)
    return getattr(values, short)(where, value) if short in COMMON and of_entry(role, short) else typed(where, variable, value, spec)


def distribution(facts: Mapping[str, Any]) -> list[str]:
    """What the host runs, when that is known."""
    name, version = facts.get("distribution"), str(facts.get("distribution_major_version"))
    if name is None or version in SUPPORTED.get(name, ()):
        return []
    return [f"this host runs {name} {version}, which is not supported; use Debian {' or '.join(SUPPORTED['Debian'])}"]


def as_text(problems: Iterable[str], promise: str = "") -> str:
    """All problems as one message."""
    texts = list(dict.fromkeys(problems))
    # Of a value that cannot be read it is no news that it is missing.
    unread = [text.split(" cannot be read:")[0] for text in texts if " cannot be read:" in text]
    texts = [text for text in texts if not any(
        text.startswith((f"{place} is missing", f"{place} is required")) or
        " has none of what it needs" in text and place.startswith(text.split(" ")[0]) for place in unread)]
    lines = [f"  {n}. {text}" for n, text in enumerate(texts, 1)]
    head = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return "\n".join([f"{head} with the variables{promise}:", *lines])
