"""Rules between settings of an application, of a host, or of two applications."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.inputs import entry
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import number, setting
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.roles import acme_cert, alarm_channel, host_access, nginx_site
from ansible_collections.bulwark.flask.plugins.module_utils.names import is_address

# Settings that two applications of a host cannot share.
UNIQUE = ("port", "base", "unit", "current", "release", "certificate")
A_YEAR, TWO_YEARS = 31536000, 63072000


def application(where: str, app: Mapping[str, Any], host: Mapping[str, Any]) -> list[str]:
    """Check settings of one application against each other. `host` has the variables of the whole host."""
    problems = _directories(where, app) + _files(where, app)
    allowed = number(setting(app, "nginx_site", "proxy_read_timeout_seconds"), 60)
    slowest = number(setting(app, "gunicorn_app", "timeout_seconds"), 30)
    if slowest >= allowed:
        problems.append(f"{where}.nginx_site.proxy_read_timeout_seconds must be above gunicorn_app.timeout_seconds ({slowest}), "
                        f"or clients get an error while the application still works; write {slowest + 30}")
    if setting(app, "nginx_site", "hsts_preload") is True and (
            setting(app, "nginx_site", "hsts_subdomains") is not True
            or number(setting(app, "nginx_site", "hsts_seconds"), TWO_YEARS) < A_YEAR):
        problems.append(f"{where}.nginx_site.hsts_preload needs hsts_subdomains: true and hsts_seconds of a year ({A_YEAR}) or more")
    site, static = app.get("nginx_site"), app.get("static")
    if isinstance(site, Mapping):
        problems += nginx_site.agreement(lambda key: f"{where}.nginx_site.{key}", site, static if isinstance(static, Mapping) else ())
    section = app.get("acme_cert")
    section = section if isinstance(section, Mapping) else {}
    return problems + acme_cert.agreement(lambda option: f"{where}.{option if option == 'domains' else f'acme_cert.{option}'}",
                                          {"directory_url": host.get("acme_cert_directory_url"), **section, "domains": app.get("domains")})


def _files(where: str, app: Mapping[str, Any]) -> list[str]:
    """Files against credentials, and against what releases share."""
    files, credentials = app.get("files"), setting(app, "app_secrets", "credentials")
    if not isinstance(files, Mapping):
        return []
    problems = [f"{where}.files.{name} and {where}.app_secrets.credentials.{name} have the same name; keep one" for name in files
                if isinstance(credentials, Mapping) and name in credentials]
    shared = app.get("shared", ["instance"])
    for name, file in files.items():
        path = str(file.get("path") or "") if isinstance(file, Mapping) else ""
        problems += [f"{where}.files.{name}.path is below {entry} of {where}.shared, which the application writes; choose another path"
                     for entry in (shared if isinstance(shared, list) else []) if f"{path}/".startswith(f"{str(entry).rstrip('/')}/")]
    return problems


def _directories(where: str, app: Mapping[str, Any]) -> list[str]:
    problems = []
    base, release = setting(app, "gunicorn_app", "base"), setting(app, "app_release", "base")
    if base != release:
        problems.append(f"{where}.gunicorn_app.base and {where}.app_release.base must be the same directory")
    elif base and setting(app, "nginx_site", "current") != f"{base}/current":
        problems.append(f"{where}.nginx_site.current must be {base}/current, below app_release.base")
    elif base and setting(app, "app_secrets", "current") != f"{base}/current":
        problems.append(f"{where}.app_secrets.current must be {base}/current, below app_release.base")
    source = app.get("source")
    if app.get("subdirectory") and isinstance(source, Mapping) and source.get("package"):
        problems.append(f"{where}.subdirectory has no meaning for a package; leave it out")
    return problems


def host(given: Mapping[str, Any], specs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Check settings of a host against each other. Missing ones have their defaults."""
    defaults = {name: spec["default"] for role in ("alarm_channel", "host_access") for name, spec in specs[role].items() if "default" in spec}
    return alarm_channel.agreement(given, defaults) + host_access.agreement(given, defaults)


def nginx(given: Mapping[str, Any], apps: Mapping[str, Any]) -> list[str]:
    """Check that the host's nginx has the features of a site."""
    problems = []
    for name, app in apps.items():
        for option in ("brotli", "http3"):
            if setting(app, "nginx_site", option) is True and given.get(f"nginx_server_{option}") is not True:
                problems.append(f"flask_apps.{name}.nginx_site.{option} needs nginx_server_{option}: true, a variable of the host")
        if setting(app, "acme_cert", "rsa_certificate") is True:
            problems += [f"flask_apps.{name}.acme_cert.rsa_certificate is for clients that have TLS 1.2 at most, which {where}: modern refuses; "
                         "leave one of them out" for where, profile in
                         ((f"flask_apps.{name}.nginx_site.tls_profile", setting(app, "nginx_site", "tls_profile")),
                          ("nginx_server_tls_profile", given.get("nginx_server_tls_profile"))) if profile == "modern"]
    if given.get("nginx_server_http3") is True and given.get("nginx_server_catch_all") is False:
        problems.append("nginx_server_http3 needs nginx_server_catch_all, which opens the port for all sites; leave one of them out")
    return problems


def conflicts(merged: Mapping[str, Any]) -> list[str]:
    """Check that two applications of one host share no name, domain or path."""
    problems: list[str] = []
    names: dict[str, str] = {}
    domains: dict[str, str] = {}
    by_address: dict[str, str] = {}
    owners: dict[tuple[str, str, str], str] = {}
    for name, app in merged.items():
        where, folded = f"flask_apps.{name}", str(name).replace("-", "_")
        if folded in names:
            problems.append(f"{where} and flask_apps.{names[folded]} differ only in - and _; choose another name")
        names.setdefault(folded, name)
        problems += _shared_domains(name, app.get("domains"), domains, by_address)
        for role, given in app.items():
            for option in UNIQUE if isinstance(given, Mapping) and role not in entry.KEYS else ():
                if option not in given:
                    continue
                key = (role, option, str(given[option]))
                if key in owners:
                    problems.append(f"{where}.{role}.{option} is the same as that of flask_apps.{owners[key]}; give each its own")
                owners.setdefault(key, name)
    return problems


def _shared_domains(name: str, listed: Any, owners: dict[str, str], by_address: dict[str, str]) -> list[str]:
    """Domains that another application has. Enters those of this one into `owners` and `by_address`."""
    problems, where = [], f"flask_apps.{name}.domains"
    for domain in dict.fromkeys(map(str, listed)) if isinstance(listed, list) else ():
        key = domain.lower().rstrip(".")
        if key in owners:
            problems.append(f"{where}: {domain} belongs to flask_apps.{owners[key]} already; name it once")
        owners.setdefault(key, name)
        if is_address(key):
            # A client that connects to an address sends no server name, so only one site can have each kind of address.
            kind = "IPv6" if ":" in key else "IPv4"
            if by_address.setdefault(kind, name) != name:
                problems.append(f"{where}: {domain} cannot be served, as flask_apps.{by_address[kind]} has an address of {kind} already, and "
                                "clients that connect to an address send no server name; keep one of the two")
    return problems
