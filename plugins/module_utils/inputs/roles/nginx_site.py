"""Rules of `nginx_site`.

The values are written into nginx's configuration. A value that passes cannot end a word, a string or a line, and cannot
contain an nginx variable.
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

# Printable characters except $, which begins an nginx variable. The template escapes quotes.
TEXT = re.compile(r"[ -#%-~]*")
SOURCE = re.compile(r"[!#%&'()*+./:<=>?@A-Z\[\]^_`a-z{|}~0-9-]+")
HEADER = re.compile(r"[A-Za-z0-9-]+")
# Headers that nginx sets itself and that must not occur twice.
FRAMING = ("connection", "content-length", "content-type", "date", "server", "transfer-encoding")
COOKIE = re.compile(r"~?[A-Za-z0-9_.*^+?|()\[\]!%&-]*\$?")
COOKIE_FLAGS = ("secure", "nosecure", "httponly", "nohttponly", "samesite=strict", "samesite=lax", "samesite=none", "nosamesite")
PATH = re.compile(r"/|(/[A-Za-z0-9._~@+-]+)+/?")
USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
HASHED = re.compile(r"\$(6|5|y|2b|2y)\$[A-Za-z0-9./$=]{20,}")


def policy(where: str, value: Mapping[str, Any]) -> list[str]:
    """Directives of a Content-Security-Policy."""
    problems = []
    for name, sources in value.items():
        if not re.fullmatch(r"[a-z][a-z-]+", str(name)):
            problems.append(f"{where} must be directives by name, such as {{script-src: [\"'self'\"]}}")
            continue
        listed = sources.split() if isinstance(sources, str) else sources
        if not isinstance(listed, list) or not all(isinstance(source, str) and SOURCE.fullmatch(source) for source in listed):
            problems.append(f"{where}.{name} must be a list of sources without spaces, commas, ; $ \" and \\, "
                            "such as [\"'self'\", \"https://cdn.example.com\"]")
    return problems


def policy_or_word(where: str, value: Any) -> list[str]:
    """Directives of a Content-Security-Policy, or the name of a whole policy."""
    if isinstance(value, Mapping):
        return policy(where, value)
    return [] if value in POLICIES else [f"{where} must be one of {', '.join(POLICIES)}, or directives, "
                                         f"such as {{script-src: [\"'self'\"]}}{nearest(value, POLICIES)}"]


def headers(where: str, value: Mapping[str, Any]) -> list[str]:
    """Response headers."""
    problems = []
    for name, text in value.items():
        if not HEADER.fullmatch(str(name)):
            problems.append(f"{where} must be headers by name, such as {{X-Robots-Tag: noindex}}")
        elif name.lower() in FRAMING:
            problems.append(f"{where}.{name} is set by nginx; leave it out")
        elif not isinstance(text, str) or not TEXT.fullmatch(text):
            problems.append(f"{where}.{name} must be one line of plain ASCII without $, in quotes")
    return problems + [f"{where}: {name} is set twice, in different case; keep one"
                       for name, n in Counter(str(name).lower() for name in value).items() if n > 1]


def cookie_flags(where: str, value: Mapping[str, Any]) -> list[str]:
    """Flags of cookies."""
    problems = []
    for name, flags in value.items():
        if not COOKIE.fullmatch(str(name)):
            problems.append(f"{where} must be names of cookies, or ~ and a regular expression, such as {{session: [secure, httponly]}}")
            continue
        try:
            re.compile(str(name).removeprefix("~"))
        except re.error:
            problems.append(f"{where}.{name} is not a regular expression")
        if not isinstance(flags, list) or not flags or not set(map(str, flags)) <= set(COOKIE_FLAGS):
            problems.append(f"{where}.{name} must be some of {', '.join(COOKIE_FLAGS)}")
    return problems


def proxies(where: str, value: Mapping[str, Any]) -> list[str]:
    """Proxies that may set the client's address."""
    if not value:
        return []
    problems = client_networks(f"{where}.addresses", value.get("addresses", []))
    if not value.get("addresses"):
        problems.append(f"{where}.addresses is missing; write addresses: [192.0.2.0/24]")
    if not HEADER.fullmatch(str(value.get("header", "X-Forwarded-For"))):
        problems.append(f"{where}.header must be a header's name, such as X-Forwarded-For or CF-Connecting-IP")
    return problems


def users(where: str, value: Mapping[str, Any]) -> list[str]:
    """Password hashes by user name. No message repeats a value."""
    problems = []
    for name, hashed in value.items():
        if not USER.fullmatch(str(name)):
            problems.append(f"{where}: a name has 1 to 64 letters, digits, . _ @ and -, and begins with a letter or digit")
        elif not isinstance(hashed, str) or not HASHED.fullmatch(hashed):
            problems.append(f"{where}.{name} must be the hash of a password, not the password; make one with: openssl passwd -6")
    return problems


def _number(least: int) -> tuple[Callable[[Any], bool], str]:
    return (lambda v: not isinstance(v, bool) and bool(re.fullmatch(r"[0-9]{1,9}", str(v))) and int(v) >= least,
            f"must be a whole number, {least} or more")


_SWITCH: tuple[Callable[[Any], bool], str] = (lambda v: isinstance(v, bool), "must be true or false, without quotes")
_METHODS: tuple[Callable[[Any], bool], str] = (
    lambda v: isinstance(v, list) and bool(v) and all(re.fullmatch(r"[A-Z]{3,20}", str(item)) for item in v) and not {"TRACE", "CONNECT"} & set(v),
    "must be methods, such as [GET, POST]; TRACE and CONNECT cannot be served")
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
    "cache_seconds": _number(0),
}


def paths(where: str, value: Mapping[str, Any]) -> list[str]:
    """Settings of paths."""
    problems: list[str] = []
    folded = Counter(str(path).rstrip("/").lower() for path in value)
    for path, given in value.items():
        at = f"{where}.{path}"
        if not PATH.fullmatch(str(path)) or {".", ".."} & set(str(path).split("/")):
            problems.append(f"{where}: {str(path)!r} must begin with / and contain only letters, digits, . _ ~ @ + and -, such as /admin")
            continue
        if folded[str(path).rstrip("/").lower()] > 1:
            problems.append(f"{at} is set twice, in different case or with another / at its end; keep one")
        if not isinstance(given, Mapping) or not given:
            problems.append(f"{at} must be a mapping of settings, such as {{rate_per_minute: 5}}; known: {', '.join(PATH_SETTINGS)}")
            continue
        for key, setting in given.items():
            if key not in PATH_SETTINGS:
                near = renamed.path_setting(str(key)) or nearest(key, PATH_SETTINGS)
                problems.append(f"{at}.{key} is unknown{near or '; known: ' + ', '.join(PATH_SETTINGS)}")
            elif not PATH_SETTINGS[key][0](setting):
                problems.append(f"{at}.{key} {PATH_SETTINGS[key][1]}")
            elif key == "allow":
                problems += client_networks(f"{at}.allow", setting)
        if "rate_per_second" in given and "rate_per_minute" in given:
            problems.append(f"{at}: rate_per_second and rate_per_minute contradict each other; keep one")
        if "rate_burst" in given and not {"rate_per_second", "rate_per_minute"} & set(given):
            problems.append(f"{at}.rate_burst needs a rate; add rate_per_minute, or leave it out")
    return problems


def agreement(where: Callable[[str], str], given: Mapping[str, Any], static: Iterable[str]) -> list[str]:
    """Settings that paths require elsewhere in the site. `where` returns the name of a setting as the operator writes it."""
    problems = []
    known, listed = given.get("users") or {}, given.get("paths") or {}
    for path, settings in listed.items() if isinstance(listed, Mapping) else ():
        if not isinstance(settings, Mapping):
            continue
        at = f"{where('paths')}.{path}"
        for name in settings.get("users") or [] if isinstance(settings.get("users"), list) else ():
            if not isinstance(known, Mapping) or name not in known:
                problems.append(f"{at}.users: {name!s} is not in {where('users')}; add a password there")
        if settings.get("client_certificate") is True and not given.get("client_ca"):
            problems.append(f"{at}.client_certificate needs {where('client_ca')}, the file with the CA certificates that sign them")
        for prefix in static:
            if str(path).lower().startswith(str(prefix).lower()):
                problems.append(f"{at} is inside the files of {prefix}; set it for the whole prefix, such as {str(prefix).rstrip('/')}")
    return problems


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
