"""What operators may write, and how to say what is wrong with it. No Ansible imports.

Every checker returns problems as texts that name the variable, what is wrong and what would be right;
none of them ever repeats a value that may be a secret.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

COMMON = ("domains", "source", "wsgi", "env", "static")
PER_APP = ("acme_cert", "app_logging", "app_release", "app_secrets", "gunicorn_app", "nginx_site", "pip_audit")
HOST = ("nginx_server",)
# The same for all applications of a host, so a variable of the host is the natural place.
HOST_WIDE = ("acme_cert_email", "acme_cert_directory_url", "acme_cert_ca_bundle", "acme_cert_index_url", "acme_cert_eab_kid",
             "acme_cert_eab_hmac_key", "app_release_ca_bundle", "app_release_index_url", "pip_audit_ca_bundle",
             "pip_audit_index_url", "pip_audit_osv_url")
APP_NAME = re.compile(r"[a-z][a-z0-9_-]{0,24}")
RESERVED = {"root", "daemon", "bin", "sys", "adm", "mail", "www-data", "nginx", "nobody", "backup", "default", "sshd",
            "pip-audit", "messagebus", "man", "games", "news", "proxy", "list", "sync", "lp", "uucp", "irc"}
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = re.compile(rf"(?=.{{1,253}}$){LABEL}(\.{LABEL})+")
WSGI = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\([^\n]*\))?")
EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
GIT = re.compile(r"(https://|ssh://|git://|file:///)\S+|[\w.-]+@[\w.-]+:\S+")
PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[\w,.-]+\])?==[0-9][\w.!+-]*")
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
PLACEHOLDERS = ("secret", "changeme", "change-me", "change_me", "your-", "your_", "dev", "placeholder", "example", "password",
                "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf", "super-secret", "todo", "xxxx")


def nearest(word: str, known: Any) -> str:
    """`, did you mean …?` when something known is close."""
    near = get_close_matches(word, [str(k) for k in known], 1, 0.6)
    return f", did you mean {near[0]}?" if near else ""


def entropy_bits(text: str) -> float:
    """Shannon entropy of a text as a whole, in bits."""
    counts = Counter(text)
    return -sum(n * math.log2(n / len(text)) for n in counts.values()) if text else 0.0


def secret_key(where: str, value: Any) -> list[str]:
    """A key that signs sessions: long, random, and nobody else's."""
    right = "leave it out to have one made on the host, or give 32 random characters or more"
    text = str(value)
    if any(text.lower().startswith(p) or p in text.lower()[:24] for p in PLACEHOLDERS):
        return [f"{where} is a placeholder; {right}"]
    if len(text.encode()) < 32:
        return [f"{where} is too short ({len(text.encode())} bytes); {right}"]
    if entropy_bits(text) < 96:
        return [f"{where} is not random; {right}"]
    return []


def environment(where: str, env: Any) -> list[str]:
    """Variables of the process."""
    if not isinstance(env, Mapping):
        return [f"{where} must be a mapping of names to values"]
    found = []
    for name, value in env.items():
        at = f"{where}.{name}"
        if not ENV_NAME.fullmatch(str(name)):
            found.append(f"{at} is not a name for an environment variable; use letters, digits and _")
        elif value is None:
            found.append(f"{at} has no value; write \"\" for an empty one")
        elif isinstance(value, str) and CONTROL.search(value):
            found.append(f"{at} holds a control character other than tab and newline, which systemd refuses")
        elif name in ("SECRET_KEY", "FLASK_SECRET_KEY"):
            found += secret_key(at, value)
        elif name in ("FLASK_DEBUG", "FLASK_TESTING") and str(value).lower() in ("1", "true", "yes", "on"):
            found.append(f"{at} switches debugging on for everybody; leave it out")
    return found


def domains(where: str, value: Any) -> list[str]:
    """Names an application answers to."""
    if not isinstance(value, list) or not value:
        return [f"{where} must be a list of domains, such as [shop.example.com]"]
    found = [f"{where}: {name!r} is not a domain; write it like shop.example.com, in lower case, without https:// or a path"
             for name in value if not isinstance(name, str) or not DOMAIN.fullmatch(name)]
    return found + [f"{where}: {name} is there twice" for name, n in Counter(map(str, value)).items() if n > 1]


def source(where: str, value: Any) -> list[str]:
    """Where an application comes from."""
    kinds = ("git", "path", "archive", "package")
    given = [k for k in kinds if isinstance(value, Mapping) and value.get(k)]
    if len(given) != 1:
        return [f"{where} must have exactly one of {', '.join(kinds)}, such as {{git: https://…, version: main}}"]
    kind, text = given[0], str(value[given[0]])
    if re.match(r"\w+://[^/@]*:[^/@]*@", text):
        return [f"{where}.{kind} has a password in its address; use a deploy_key, or a netrc file of the host"]
    if kind == "git" and not GIT.fullmatch(text):
        return [f"{where}.git must be https://…, ssh://… or git@host:path"]
    if kind == "path" and not os.path.isdir(os.path.expanduser(text)):
        return [f"{where}.path: {text} is not a directory on the controller (looked from {os.getcwd()})"]
    if kind == "archive" and "://" not in text and not os.path.isfile(os.path.expanduser(text)):
        return [f"{where}.archive: {text} is neither an https URL nor a file on the controller"]
    if kind == "archive" and "://" in text and (not text.startswith("https://") or not value.get("sha256")):
        return [f"{where}.archive: a URL must be https:// and come with sha256"]
    if kind == "package" and not PACKAGE.fullmatch(text):
        return [f"{where}.package must name one version, such as shop==1.2"]
    return []


def static(where: str, value: Any) -> list[str]:
    """URL prefixes that are served as files."""
    if not isinstance(value, Mapping):
        return [f"{where} must be a mapping such as {{/static/: shop/static}}"]
    return [f"{where}: {prefix!r} -> {folder!r} must be a URL prefix like /static/ and a directory inside the source"
            for prefix, folder in value.items()
            if not re.fullmatch(r"/[\w./-]+/", str(prefix)) or str(folder).startswith("/") or ".." in str(folder).split("/")]


def wsgi(where: str, value: Any) -> list[str]:
    """What gunicorn imports."""
    ok = isinstance(value, str) and WSGI.fullmatch(value)
    return [] if ok else [f"{where} must be module:variable or module:factory(), such as shop:create_app()"]


CHECKS = {"domains": domains, "source": source, "wsgi": wsgi, "env": environment, "static": static}
VALUES = {
    "email": (lambda v: v == "" or bool(EMAIL.fullmatch(str(v))), "must be an e-mail address such as ops@example.com"),
    "directory_url": (lambda v: bool(re.fullmatch(r"https://[^\s/]+/\S*", str(v))), "must be an https:// URL"),
    "index_url": (lambda v: v == "" or bool(re.fullmatch(r"https?://[^\s@]+", str(v))), "must be a URL without a password"),
    "osv_url": (lambda v: bool(re.fullmatch(r"https?://\S+", str(v))), "must be a URL"),
    "health_path": (lambda v: bool(re.fullmatch(r"/\S*", str(v))), "must begin with /"),
    "redirect_port": (lambda v: 1 <= int(v) <= 65535, "must be a port, 1 to 65535"),
    "hour": (lambda v: 0 <= int(v) <= 23, "must be an hour, 0 to 23"),
}


def typed(where: str, value: Any, spec: Mapping[str, Any]) -> list[str]:
    """Type, choices, sign, and the form of options with a well-known name."""
    kind, found = spec.get("type", "str"), []
    fits = {
        "int": lambda v: isinstance(v, int) and not isinstance(v, bool) or isinstance(v, str) and re.fullmatch(r"-?\d+", v),
        "bool": lambda v: isinstance(v, bool) or str(v).lower() in ("true", "false", "yes", "no", "on", "off"),
        "list": lambda v: isinstance(v, list), "dict": lambda v: isinstance(v, Mapping),
        "str": lambda v: isinstance(v, str), "path": lambda v: isinstance(v, str) and v.startswith(("/", "~")),
    }
    words = {"int": "a whole number", "bool": "true or false", "list": "a list", "dict": "a mapping", "str": "a text",
             "path": "an absolute path"}
    if not fits[kind](value):
        return [f"{where} must be {words[kind]}"]
    if spec.get("choices") and value not in spec["choices"]:
        found.append(f"{where} must be one of {', '.join(map(str, spec['choices']))}{nearest(str(value), spec['choices'])}")
    if kind == "int" and int(value) < 0:
        found.append(f"{where} must not be negative")
    option = next((o for o in VALUES if where.endswith((f".{o}", f"_{o}"))), None)
    if option and not found and not VALUES[option][0](value):
        found.append(f"{where} {VALUES[option][1]}")
    return found


def entry(where: str, app: Any, specs: Mapping[str, Mapping[str, Any]], required: bool = True) -> list[str]:
    """One application."""
    if not isinstance(app, Mapping):
        return [f"{where} must be a mapping"]
    found = []
    for key, value in app.items():
        if key == "name":
            continue
        if key in CHECKS:
            found += CHECKS[key](f"{where}.{key}", value)
        elif key in PER_APP and isinstance(value, Mapping):
            options = specs.get(key, {})
            for option, content in value.items():
                full = f"{key}_{option}"
                if full not in options or option in ("name", *COMMON):
                    short = [name[len(key) + 1:] for name in options]
                    found.append(f"{where}.{key}.{option} is unknown{nearest(option, short)}")
                else:
                    found += typed(f"{where}.{key}.{option}", content, options[full])
        elif key in PER_APP:
            found.append(f"{where}.{key} must be a mapping")
        else:
            found.append(f"{where}.{key} is unknown{nearest(str(key), (*COMMON, *PER_APP))}")
    if required:
        found += [f"{where}.{key} is missing" for key in ("domains", "source", "wsgi") if key not in app]
    return found


def applications(apps: Any, merged: Mapping[str, Any], specs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """All applications of a host, and what two of them must not share."""
    if not isinstance(apps, Mapping) or not apps:
        return ["flask_apps must be a mapping with at least one application, such as {shop: {domains: [...], ...}}"]
    found, taken, ids = [], {}, {}
    for name, app in merged.items():
        where = f"flask_apps.{name}"
        if not APP_NAME.fullmatch(str(name)):
            found.append(f"{where}: a name is 1 to 25 lower-case letters, digits, - and _, and begins with a letter")
        if name in RESERVED or str(name).startswith("systemd-") or str(name).endswith("-build"):
            found.append(f"{where}: {name} is the name of a system account; choose another")
        folded = str(name).replace("-", "_")
        if folded in ids:
            found.append(f"{where} and flask_apps.{ids[folded]} differ by - and _ alone; choose another name")
        ids[folded] = name
        found += entry(where, app, specs)
        listed = app.get("domains") if isinstance(app, Mapping) else None
        for domain in listed if isinstance(listed, list) else []:
            if taken.get(domain, name) != name:
                found.append(f"{where}.domains: {domain} belongs to flask_apps.{taken[domain]} already")
            taken.setdefault(domain, name)
    return found


def host_variables(variables: Mapping[str, Any], specs: Mapping[str, Mapping[str, Any]], with_apps: bool) -> list[str]:
    """Variables outside the dictionary: misspelt ones, and those that would shadow every application."""
    found = []
    for name, value in variables.items():
        role = next((r for r in specs if name.startswith(f"{r}_")), None)
        if role is None:
            if re.match(r"flask_app", name) and name not in ("flask_apps", "flask_app_defaults", "flask_app"):
                found.append(f"{name} is unknown{nearest(name, ('flask_apps', 'flask_app_defaults'))}")
        elif name not in specs[role]:
            found.append(f"{name} is unknown{nearest(name, specs[role])}")
        elif role in PER_APP and with_apps and name not in HOST_WIDE:
            option = name[len(role) + 1:]
            found.append(f"{name} would be the same for every application and hide what flask_apps says; write "
                         f"flask_app_defaults: {{{role}: {{{option}: …}}}}")
        else:
            found += typed(name, value, specs[role][name])
    return found


def distribution(facts: Mapping[str, Any]) -> list[str]:
    """What the host runs."""
    name, version = facts.get("distribution"), str(facts.get("distribution_major_version"))
    if name is None or (name == "Debian" and version in ("12", "13")):
        return []
    return [f"this host runs {name} {version}; Debian 12 and 13 are supported"]


def as_text(problems: list[str]) -> str:
    """All problems as one message."""
    head = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"  {n}. {text}" for n, text in enumerate(problems, 1)]
    return "\n".join([f"{head} with the variables; nothing was changed:", *lines])

