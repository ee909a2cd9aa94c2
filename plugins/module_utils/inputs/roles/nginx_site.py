"""Rules of `nginx_site`.

Whatever passes here is written into nginx's configuration. It cannot end a word, a text or a line, and it cannot be a
variable of nginx.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.inputs import renamed
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import (
    NATURAL,
    PATH_OR_EMPTY,
    PORT,
    Rule,
    client_networks,
    each,
)
from ansible_collections.bulwark.flask.plugins.module_utils.names import nearest
from ansible_collections.bulwark.flask.plugins.module_utils.page_policy import POLICIES

# Every printable character but the one that begins a variable of nginx's; quotes are escaped where it is written.
TEXT = re.compile(r"[ -#%-~]*")
SOURCE = re.compile(r"[!#%&'()*+./:<=>?@A-Z\[\]^_`a-z{|}~0-9-]+")
HEADER = re.compile(r"[A-Za-z0-9-]+")
# The server's own business: two of them would contradict each other.
FRAMING = ("connection", "content-length", "content-type", "date", "server", "transfer-encoding")
COOKIE = re.compile(r"~?[A-Za-z0-9_.*^+?|()\[\]!%&-]*\$?")
COOKIE_FLAGS = ("secure", "nosecure", "httponly", "nohttponly", "samesite=strict", "samesite=lax", "samesite=none", "nosamesite")
PATH = re.compile(r"/|(/[A-Za-z0-9._~@+-]+)+/?")
USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
HASHED = re.compile(r"\$(6|5|y|2b|2y)\$[A-Za-z0-9./$=]{20,}")


def policy(where: str, value: Mapping[str, Any]) -> list[str]:
    """Directives of a Content-Security-Policy."""
    found = []
    for name, sources in value.items():
        if not re.fullmatch(r"[a-z][a-z-]+", str(name)):
            found.append(f"{where} must be directives by name, such as {{script-src: [\"'self'\"]}}")
            continue
        listed = sources.split() if isinstance(sources, str) else sources
        if not isinstance(listed, list) or not all(isinstance(source, str) and SOURCE.fullmatch(source) for source in listed):
            found.append(f"{where}.{name} must be a list of sources without spaces, commas, ; $ \" and \\, "
                         "such as [\"'self'\", \"https://cdn.example.com\"]")
    return found


def policy_or_word(where: str, value: Any) -> list[str]:
    """Directives of a Content-Security-Policy, or a word for a whole one."""
    if isinstance(value, Mapping):
        return policy(where, value)
    return [] if value in POLICIES else [f"{where} must be one of {', '.join(POLICIES)}, or directives, "
                                         f"such as {{script-src: [\"'self'\"]}}{nearest(value, POLICIES)}"]


def headers(where: str, value: Mapping[str, Any]) -> list[str]:
    """Response headers."""
    found = []
    for name, text in value.items():
        if not HEADER.fullmatch(str(name)):
            found.append(f"{where} must be headers by name, such as {{X-Robots-Tag: noindex}}")
        elif name.lower() in FRAMING:
            found.append(f"{where}.{name} is the server's own; leave it out")
        elif not isinstance(text, str) or not TEXT.fullmatch(text):
            found.append(f"{where}.{name} must be one line of plain ASCII without $, in quotes")
    return found + [f"{where}: {name} is there twice, in other letters; keep one"
                    for name, n in Counter(str(name).lower() for name in value).items() if n > 1]


def cookie_flags(where: str, value: Mapping[str, Any]) -> list[str]:
    """Flags of cookies."""
    found = []
    for name, flags in value.items():
        if not COOKIE.fullmatch(str(name)):
            found.append(f"{where} must be names of cookies, or ~ and a regular expression, such as {{session: [secure, httponly]}}")
            continue
        try:
            re.compile(str(name).removeprefix("~"))
        except re.error:
            found.append(f"{where}.{name} is not a regular expression")
        if not isinstance(flags, list) or not flags or not set(map(str, flags)) <= set(COOKIE_FLAGS):
            found.append(f"{where}.{name} must be some of {', '.join(COOKIE_FLAGS)}")
    return found


def proxies(where: str, value: Mapping[str, Any]) -> list[str]:
    """Who may say for whom a request is made."""
    if not value:
        return []
    found = client_networks(f"{where}.addresses", value.get("addresses", []))
    if not value.get("addresses"):
        found.append(f"{where}.addresses is missing; write addresses: [192.0.2.0/24]")
    if not HEADER.fullmatch(str(value.get("header", "X-Forwarded-For"))):
        found.append(f"{where}.header must be a header's name, such as X-Forwarded-For or CF-Connecting-IP")
    return found


def users(where: str, value: Mapping[str, Any]) -> list[str]:
    """Password hashes by user name. No message repeats a value."""
    found = []
    for name, hashed in value.items():
        if not USER.fullmatch(str(name)):
            found.append(f"{where}: a name has 1 to 64 letters, digits, . _ @ and -, and begins with a letter or digit")
        elif not isinstance(hashed, str) or not HASHED.fullmatch(hashed):
            found.append(f"{where}.{name} must be the hash of a password, not the password; make one with: openssl passwd -6")
    return found


def _number(least: int) -> tuple[Callable[[Any], bool], str]:
    return (lambda v: not isinstance(v, bool) and bool(re.fullmatch(r"[0-9]{1,9}", str(v))) and int(v) >= least,
            f"must be a whole number, {least} or more")


_SWITCH: tuple[Callable[[Any], bool], str] = (lambda v: isinstance(v, bool), "must be true or false, without quotes")
_METHODS: tuple[Callable[[Any], bool], str] = (
    lambda v: isinstance(v, list) and bool(v) and all(re.fullmatch(r"[A-Z]{3,20}", str(item)) for item in v) and not {"TRACE", "CONNECT"} & set(v),
    "must be methods, such as [GET, POST]; TRACE and CONNECT are never served")
PATH_SETTINGS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "rate_per_second": _number(1),
    "rate_per_minute": _number(1),
    "rate_burst": _number(0),
    "connections_per_client": _number(1),
    "body_max_mb": _number(1),
    "proxy_read_timeout_seconds": _number(1),
    "methods": _METHODS,
    "allow": (lambda v: isinstance(v, list) and bool(v), "must be a list of addresses and networks, such as [192.0.2.0/24]"),
    "users": (lambda v: isinstance(v, list) and bool(v), "must be a list of names of nginx_site.users, such as [alice]"),
    "client_certificate": _SWITCH,
    "websocket": _SWITCH,
    "response_buffering": _SWITCH,
    "request_buffering": _SWITCH,
    "hidden": _SWITCH,
}


def paths(where: str, value: Mapping[str, Any]) -> list[str]:
    """What is different for a path."""
    found: list[str] = []
    folded = Counter(str(path).rstrip("/").lower() for path in value)
    for path, given in value.items():
        at = f"{where}.{path}"
        if not PATH.fullmatch(str(path)) or {".", ".."} & set(str(path).split("/")):
            found.append(f"{where}: {str(path)!r} must begin with / and have letters, digits, . _ ~ @ + and - alone, such as /admin")
            continue
        if folded[str(path).rstrip("/").lower()] > 1:
            found.append(f"{at} is there twice, in other letters or with another / at its end; keep one")
        if not isinstance(given, Mapping) or not given:
            found.append(f"{at} must be a mapping of settings, such as {{rate_per_minute: 5}}; known: {', '.join(PATH_SETTINGS)}")
            continue
        for key, setting in given.items():
            if key not in PATH_SETTINGS:
                near = renamed.path_setting(str(key)) or nearest(key, PATH_SETTINGS)
                found.append(f"{at}.{key} is unknown{near or '; known: ' + ', '.join(PATH_SETTINGS)}")
            elif not PATH_SETTINGS[key][0](setting):
                found.append(f"{at}.{key} {PATH_SETTINGS[key][1]}")
            elif key == "allow":
                found += client_networks(f"{at}.allow", setting)
        if "rate_per_second" in given and "rate_per_minute" in given:
            found.append(f"{at}: rate_per_second and rate_per_minute contradict each other; keep one")
        if "rate_burst" in given and not {"rate_per_second", "rate_per_minute"} & set(given):
            found.append(f"{at}.rate_burst goes with a rate; add rate_per_minute, or leave it out")
    return found


def agreement(where: Callable[[str], str], given: Mapping[str, Any], static: Iterable[str]) -> list[str]:
    """What paths need of the rest of a site. `where` says how the operator writes a setting's name."""
    found = []
    known, listed = given.get("users") or {}, given.get("paths") or {}
    for path, settings in listed.items() if isinstance(listed, Mapping) else ():
        if not isinstance(settings, Mapping):
            continue
        at = f"{where('paths')}.{path}"
        for name in settings.get("users") or [] if isinstance(settings.get("users"), list) else ():
            if not isinstance(known, Mapping) or name not in known:
                found.append(f"{at}.users: {name!s} is not in {where('users')}; add a password there")
        if settings.get("client_certificate") is True and not given.get("client_ca"):
            found.append(f"{at}.client_certificate needs {where('client_ca')}, the file with the authority that signs them")
        for prefix in static:
            if str(path).lower().startswith(str(prefix).lower()):
                found.append(f"{at} is among the files of {prefix}; settings of a path begin above it, such as {str(prefix).rstrip('/')}")
    return found


RULES: dict[str, Rule] = {
    "client_ca": PATH_OR_EMPTY,
    "connections_per_client": NATURAL,
    "cookie_flags": cookie_flags,
    "csp": policy_or_word,
    "csp_report_only": policy,
    "headers": headers,
    "hsts_seconds": NATURAL,
    "log_parameters": each(r"[a-z0-9_]+", "must be names of query parameters: lower-case letters, digits and _"),
    "maintenance_allow": client_networks,
    "paths": paths,
    "proxies": proxies,
    "rate_burst": NATURAL,
    "rate_limit_exempt": client_networks,
    "rate_per_second": NATURAL,
    "redirect_port": PORT,
    "static_cache_seconds": NATURAL,
    "static_immutable": each(r"/([A-Za-z0-9_.~-]+/)+", "must be URL prefixes that begin and end with /, such as /static/assets/"),
    "users": users,
}
