"""Rules of `alarm_channel`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import (
    PATH_OR_EMPTY,
    Rule,
    between,
    domains,
    each,
    number,
)

EMAIL = r"[^@\s,;<>\"]+@[^@\s.,;<>]+(\.[^@\s.,;<>]+)*"


def mail(where: str, value: Any) -> list[str]:
    """Mail: recipients, server, and no password without encryption."""
    if not value:
        return []
    problems = [] if value.get("to") else [f"{where}.to is missing; write to: [ops@example.com]"]
    addresses = [(f"{where}.to[{n}]", item) for n, item in enumerate(value.get("to") or [])]
    addresses += [(f"{where}.from", value["from"])] if "from" in value else []
    problems += [f"{at} must be an e-mail address such as ops@example.com" for at, item in addresses if not re.fullmatch(EMAIL, item)]
    if not value.get("server"):
        return problems + [f"{where}.{key} goes with a server; add server: smtp.example.com, or leave it out"
                           for key in ("server", "port", "security", "username", "password") if key in value]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.:-]*", value["server"]) or "://" in value["server"]:
        problems.append(f"{where}.server must be a name or address such as smtp.example.com; the port has a key of its own")
    if not 1 <= int(value.get("port", 587)) <= 65535:
        problems.append(f"{where}.port must be a port, 1 to 65535")
    if bool(value.get("username")) != bool(value.get("password")):
        problems.append(f"{where}.username and {where}.password belong together; give both or none")
    if value.get("password") and value.get("security") == "none":
        problems.append(f"{where}.security: none would send the password in the clear; use starttls or tls")
    return problems


def webhook(where: str, value: Any) -> list[str]:
    """A webhook. Its URL can be a secret, so no message repeats it."""
    if not value:
        return []
    url, secret, problems = str(value.get("url", "")), value.get("secret"), []
    if not re.fullmatch(r"https?://[!-~]+", url):
        problems.append(f"{where}.url must be the https:// address that takes JSON by POST")
    elif "@" in urlsplit(url).netloc:
        problems.append(f"{where}.url has a user or password in it; write them as header and secret")
    elif secret and url.startswith("http://"):
        problems.append(f"{where}.url would send the secret in the clear; use https://")
    if "header" in value and not secret:
        problems.append(f"{where}.header goes with a secret; add it, or leave the header out")
    if not re.fullmatch(r"[A-Za-z0-9-]+", value.get("header", "Authorization")):
        problems.append(f"{where}.header must be a header's name, such as Authorization")
    if secret and not re.fullmatch(r"[ -~]+", secret):
        problems.append(f"{where}.secret must be one line of ASCII, such as Bearer …")
    return problems


def sites(where: str, value: Any) -> list[str]:
    """Applications and their domains, where they are not computed from flask_apps."""
    return [problem for app, names in value.items() for problem in domains(f"{where}.{app}", names)]


def agreement(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """The two thresholds of certificates, and those of disks."""
    problems = []
    for kind in ("certificate", "disk"):
        warning, critical = (f"alarm_channel_{kind}_{name}_percent" for name in ("warning", "critical"))
        higher, lower = (number(given.get(name), defaults[name]) for name in (warning, critical))
        problems += [f"{critical} must be below {warning} ({higher}), or nothing is ever a warning"] * (lower >= higher)
    return problems


RULES: dict[str, Rule] = {
    "certificate_critical_percent": between(1, 99, "a share"),
    "certificate_warning_percent": between(1, 99, "a share"),
    "disk_critical_percent": between(1, 99, "a share"),
    "disk_warning_percent": between(1, 99, "a share"),
    "errors_minutes": between(1, 60, "a number of minutes"),
    "errors_percent": between(1, 100, "a share"),
    "mail": mail,
    "sites": sites,
    "textfile_directory": PATH_OR_EMPTY,
    "units": each(r"[A-Za-z0-9:_.@\\*-]+\.[a-z]+", "must be units with their kind, such as [postgresql.service]"),
    "webhook": webhook,
}
