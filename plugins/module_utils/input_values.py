"""What single values must look like, and how to say what would be right. No Ansible imports.

Every checker takes the place of a value, in the operator's words, and the value; it returns problems.
None of them repeats a value that may be a secret.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.bulwark.flask.plugins.module_utils import preflight, site_values
from ansible_collections.bulwark.flask.plugins.module_utils.names import ACCOUNT, APP_NAME, ENV_NAME, is_address, is_domain, nearest
from ansible_collections.bulwark.flask.plugins.module_utils.release.shared import problems as shared_problems
from ansible_collections.bulwark.flask.plugins.module_utils.secret_key import REMEDY, problems
from ansible_collections.bulwark.flask.plugins.module_utils.secrets.generated import KINDS

SOURCES = ("git", "path", "archive", "package")
# What goes with each kind of source.
SOURCE_EXTRAS = {"git": ("version", "deploy_key", "host_key"), "path": (), "archive": ("sha256",), "package": ()}
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._,-]+\])?==[A-Za-z0-9][A-Za-z0-9.!+_-]*")
WSGI = re.compile(r"([A-Za-z_]\w*\.)*[A-Za-z_]\w*:[A-Za-z_]\w*(\.[A-Za-z_]\w*|\([^\n]*\))?")
CREDENTIAL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
CREDENTIAL_MAX_BYTES = 1 << 20
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Variables that may have several lines.
OF_LINES = ("acme_cert_provided_chain",)
KEY_NAMES = ("SECRET_KEY", "FLASK_SECRET_KEY")
FALLBACK_NAMES = ("SECRET_KEY_FALLBACKS", "FLASK_SECRET_KEY_FALLBACKS")


def domain(where: str, name: Any) -> list[str]:
    """One name visitors use."""
    right = "write it like shop.example.com"
    if not isinstance(name, str) or not name:
        return [f"{where}: every domain is a text; {right}"]
    shown = ascii(name) if CONTROL.search(name) else f"'{name}'"
    if "://" in name:
        return [f"{where}: {shown} is a URL; leave out {name.split('://')[0]}:// and any path"]
    if is_address(name.strip("[]")):
        return address(where, name)
    if "/" in name or ":" in name or "@" in name:
        return [f"{where}: {shown} has more than a name in it; leave out port, path and user"]
    if name.startswith("*.") and "*" not in name[2:]:
        return domain(where, name[2:])
    if "*" in name:
        return [f"{where}: {shown} is not a domain; a wildcard stands for the whole first part, such as *.example.com"]
    if not name.isascii():
        try:
            return [f"{where}: {shown} has letters DNS does not know; write {name.encode('idna').decode()}"]
        except UnicodeError:
            return [f"{where}: {shown} is not a domain; {right}"]
    if is_domain(name.lower().rstrip(".")) and name != name.lower().rstrip("."):
        return [f"{where}: {shown} must be in lower case without a dot at its end; write {name.lower().rstrip('.')}"]
    if re.fullmatch(r"[0-9.]+", name):
        return [f"{where}: {shown} is neither a name nor an address; {right}"]
    if "." not in name:
        return [f"{where}: {shown} is not complete; {right}"]
    return [] if is_domain(name) else [f"{where}: {shown} is not a domain; {right}"]


def address(where: str, text: str) -> list[str]:
    """An address visitors use in place of a name."""
    found = ipaddress.ip_address(text.strip("[]"))
    if text != str(found):
        return [f"{where}: '{text}' is an address that is written otherwise; write {found}"]
    if found.is_loopback or found.is_unspecified or found.is_multicast or found.is_link_local:
        return [f"{where}: {text} is no address that visitors reach; write one of this host's"]
    return []


def domains(where: str, value: Any) -> list[str]:
    """Names an application answers to."""
    if not isinstance(value, list) or not value:
        return [f"{where} must be a list of domains, such as [shop.example.com]"]
    found = [problem for name in value for problem in domain(where, name)]
    return found + [f"{where}: {name} is there twice; keep one" for name, n in Counter(map(str, value)).items() if n > 1]


def _git(where: str, value: Mapping[str, Any]) -> list[str]:
    text, found = str(value["git"]), []
    version, key = value.get("version"), value.get("deploy_key")
    https, ssh = re.fullmatch(r"https://[^\s/]+/\S+", text), re.fullmatch(r"ssh://[^\s/]+/\S+|[\w.-]+@[\w.-]+:\S+", text)
    if re.match(r"(http|git|ftp)://", text):
        found.append(f"{where}.git is fetched without encryption; use https:// or git@host:path")
    elif not (https or ssh or re.fullmatch(r"file:///\S+", text)):
        found.append(f"{where}.git is not the address of a repository; write https://host/path or git@host:path")
    elif key and not ssh:
        found.append(f"{where}.deploy_key is for SSH; write the address as git@host:path, or leave the key out")
    if version is not None and not re.fullmatch(r"[^\s-]\S*", str(version)):
        found.append(f"{where}.version must be a branch, tag or commit, such as main")
    if isinstance(version, (int, float)):
        found.append(f"{where}.version was read as a number; put it in quotes")
    if key and not re.search(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s.*-----END [A-Z ]*PRIVATE KEY-----", str(key), re.DOTALL):
        found.append(f"{where}.deploy_key must be the private key itself, of many lines, not its file's name; keep it in a vault")
    return found


def _archive(where: str, value: Mapping[str, Any]) -> list[str]:
    text, digest, found = str(value["archive"]), value.get("sha256"), []
    path = urlsplit(text).path if "://" in text else text
    if not path.lower().endswith(ARCHIVES):
        found.append(f"{where}.archive must end in one of {', '.join(ARCHIVES)}")
    if "://" in text and not re.fullmatch(r"https://[^\s/]+/\S+", text):
        found.append(f"{where}.archive must be an https:// URL or a file on the controller")
    elif "://" in text and not digest:
        found.append(f"{where}.sha256 is missing; only then is it sure what a URL delivers (sha256sum prints it)")
    elif "://" not in text and not os.path.isfile(os.path.expanduser(text)):
        found.append(f"{where}.archive: there is no file {os.path.abspath(os.path.expanduser(text))} on the controller")
    if digest and not re.fullmatch(r"[0-9a-fA-F]{64}", str(digest)):
        found.append(f"{where}.sha256 must be 64 hexadecimal digits; put them in quotes")
    return found


def _path(where: str, value: Mapping[str, Any]) -> list[str]:
    path = os.path.abspath(os.path.expanduser(str(value["path"])))
    return [] if os.path.isdir(path) else [f"{where}.path: there is no directory {path} on the controller"]


def _package(where: str, value: Mapping[str, Any]) -> list[str]:
    return [] if PACKAGE.fullmatch(str(value["package"])) else [f"{where}.package must name one version, such as shop==1.2"]


def source(where: str, value: Any) -> list[str]:
    """Where an application comes from. Its keys' names and types are its specification's matter."""
    right = f"give exactly one of {', '.join(SOURCES)}, such as {{git: https://…, version: main}}"
    if not isinstance(value, Mapping):
        return [f"{where} must be a mapping; {right}"]
    given = [kind for kind in SOURCES if value.get(kind)]
    if len(given) != 1:
        return [f"{where} has {' and '.join(given) or 'none of what it needs'}; {right}"]
    kind = given[0]
    if re.match(r"\s*(?!ssh:)[\w+]+://[^/\s]*@|ssh://[^/\s]*:[^/\s]*@", str(value[kind])):
        return [f"{where}.{kind} has a user or password in its address, which would end up in logs; "
                "for a private repository use git@host:path with a deploy_key"]
    found = {"git": _git, "path": _path, "archive": _archive, "package": _package}[kind](where, value)
    extras = [key for extra in SOURCE_EXTRAS.values() for key in extra]
    return found + [f"{where}.{key} does not go with {kind}; leave it out" for key in value
                    if key in extras and key not in SOURCE_EXTRAS[kind] and value[key]]


def static(where: str, value: Any) -> list[str]:
    """URL prefixes that are served as files."""
    if not isinstance(value, Mapping):
        return [f"{where} must be a mapping of URL prefixes to directories, such as {{/static/: shop/static}}"]
    found = []
    for prefix, folder in value.items():
        if not re.fullmatch(r"/([\w.~-]+/)+", str(prefix)) or ".." in str(prefix).split("/"):
            found.append(f"{where}: '{prefix}' must begin and end with /, such as /static/")
        if not isinstance(folder, str) or not re.fullmatch(r"[\w.@+-][\w./@+ -]*", folder) or ".." in folder.split("/"):
            found.append(f"{where}.{prefix} must be a directory below the source, such as shop/static")
    return found


def wsgi(where: str, value: Any) -> list[str]:
    """What gunicorn imports."""
    ok = isinstance(value, str) and WSGI.fullmatch(value)
    return [] if ok else [f"{where} must be module:variable or module:factory(), such as shop:create_app()"]


def health_path(where: str, value: Any) -> list[str]:
    """What is asked to know whether an application is well."""
    ok = isinstance(value, str) and re.fullmatch(r"/[A-Za-z0-9._~%!&'()*+,=:@/?-]*", value)
    return [] if ok else [f"{where} must begin with / and be written as in a URL, such as /healthz"]


def body_max_mb(where: str, value: Any) -> list[str]:
    """The largest body of a request."""
    ok = re.fullmatch(r"[1-9][0-9]*", str(value)) and not isinstance(value, bool)
    return [] if ok else [f"{where} must be a whole number of MiB, 1 or more"]


# Settings by these names hold secrets; those that only say how a key is used do not.
SECRET_SETTING = re.compile(r"(SECRET|PASSWORD|TOKEN|_DSN|CREDENTIAL|PRIVATE_KEY)(?!.*(_NAME|_HEADER|_FIELD|_EXPIRES|_LOCATION|_LIMIT|_PATH|_FILE)$)")


def policy(where: str, value: Mapping[str, Any]) -> list[str]:
    """What the inspection does with what it finds."""
    return preflight.problems(value, where)


def config(where: str, value: Any) -> list[str]:
    """Settings that replace an application's own; secrets come from the environment."""
    if not isinstance(value, Mapping):
        return [f"{where} must be a mapping of settings, such as {{SESSION_COOKIE_SAMESITE: Strict}}"]
    found = []
    for key, setting in value.items():
        read = isinstance(setting, Mapping) and len(setting) == 1 and next(iter(setting)) in ("env", "env_json")
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", str(key)):
            found.append(f"{where}.{key} must be a setting in capital letters, such as SESSION_COOKIE_SAMESITE")
        elif read and not re.fullmatch(r"[A-Za-z_]\w*", str(next(iter(setting.values())))):
            found.append(f"{where}.{key} must name an environment variable, such as {{env: FLASK_{key}}}")
        elif SECRET_SETTING.search(str(key)) and isinstance(setting, str) and setting:
            found.append(f"{where}.{key} is a secret in a file that everybody reads; "
                         f"put it in env, and write {{env: NAME}} here, such as {{env: FLASK_{key}}}")
    return found


def shared(where: str, value: Any) -> list[str]:
    """Paths that releases share."""
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        return [f"{where} must be a list of paths, such as [instance, uploads]"]
    return [problem.replace("shared:", f"{where}:", 1) for problem in shared_problems(value)]


def session_store(where: str, value: Any) -> list[str]:
    """Whether an application keeps sessions in the host's store."""
    return [] if isinstance(value, bool) else [f"{where} must be true or false, without quotes"]


def secret_key(where: str, value: Any) -> list[str]:
    """A key that signs sessions."""
    return [f"{where} {problem.text}; leave it out to have one made on the host, or {REMEDY}" for problem in problems(str(value))]


def environment(where: str, env: Any) -> list[str]:
    """What is dangerous about variables of the process; whether they can be written at all is asked elsewhere."""
    found = []
    for name, value in env.items() if isinstance(env, Mapping) else ():
        if name in KEY_NAMES:
            found += secret_key(f"{where}.{name}", "" if value is None else value)
        elif name in FALLBACK_NAMES:
            try:
                keys = json.loads(value) if isinstance(value, str) else value
            except ValueError:
                keys = None
            if not isinstance(keys, list):
                found.append(f"{where}.{name} must be a list of keys")
            else:
                found += list(dict.fromkeys(problem for key in keys for problem in secret_key(f"{where}.{name}", key)))
        elif name in ("FLASK_DEBUG", "FLASK_TESTING") and str(value).lower() not in ("", "0", "false", "no", "none"):
            found.append(f"{where}.{name} shows visitors the application's inside; leave it out")
    return found


def generated(where: str, value: Any) -> list[str]:
    """Names of values that are made on the host, with or without their kinds."""
    if not isinstance(value, (list, Mapping)):
        return [f"{where} must be a list of names, such as [FLASK_SECRET_KEY], or a mapping to kinds, such as {{API_TOKEN: hex}}"]
    found = [f"{where}: every name has letters, digits and _, and no digit first" for name in value
             if not ENV_NAME.fullmatch(str(name))]
    kinds = value.items() if isinstance(value, Mapping) else ()
    found += [f"{where}.{name} must be one of {', '.join(KINDS)}" for name, kind in kinds if str(kind) not in KINDS]
    return list(dict.fromkeys(found))


def credentials(where: str, value: Any) -> list[str]:
    """Secrets that are passed as files."""
    found = []
    for name, held in value.items():
        if not CREDENTIAL.fullmatch(str(name)):
            found.append(f"{where}: a credential's name is that of a file: up to 100 letters, digits, ., - and _, no dot first")
        elif held is None or isinstance(held, (bool, int, float, list, Mapping)):
            found.append(f"{where}.{name} must be a text; put it in quotes")
        elif len(str(held).encode(errors="replace")) > CREDENTIAL_MAX_BYTES:
            found.append(f"{where}.{name} is longer than the 1 MiB that systemd passes on")
    return list(dict.fromkeys(found))


def ignores(where: str, value: Any) -> list[str]:
    """Advisories that do not count for a while; each says why, and until when."""
    found, seen = [], Counter(str(rule["id"]).upper() for rule in value)
    for n, rule in enumerate(value):
        at = f"{where}[{n}]"
        if not re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)+", rule["id"]):
            found.append(f"{at}.id must be one advisory's name, such as CVE-2025-47278 or GHSA-4grg-w6v8-c28g")
        if not rule["reason"].strip():
            found.append(f"{at}.reason is empty; say why this advisory does not matter here")
        try:
            if len(str(rule["until"])) != 10:
                raise ValueError
            date.fromisoformat(str(rule["until"]))
        except ValueError:
            found.append(f"{at}.until must be the last day it does not count, such as 2027-01-31")
    return found + [f"{where}: {name} is there {n} times; keep one" for name, n in seen.items() if n > 1]


EMAIL = r"[^@\s,;<>\"]+@[^@\s.,;<>]+(\.[^@\s.,;<>]+)*"


def alarm_mail(where: str, value: Any) -> list[str]:
    """Mail: whom, through what, and no password without encryption."""
    if not value:
        return []
    found = [] if value.get("to") else [f"{where}.to is missing; write to: [ops@example.com]"]
    addresses = [(f"{where}.to[{n}]", item) for n, item in enumerate(value.get("to") or [])]
    addresses += [(f"{where}.from", value["from"])] if "from" in value else []
    found += [f"{at} must be an e-mail address such as ops@example.com" for at, item in addresses if not re.fullmatch(EMAIL, item)]
    if not value.get("server"):
        return found + [f"{where}.{key} goes with a server; add server: smtp.example.com, or leave it out"
                        for key in ("server", "port", "security", "username", "password") if key in value]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.:-]*", value["server"]) or "://" in value["server"]:
        found.append(f"{where}.server must be a name or address such as smtp.example.com; the port has a key of its own")
    if not 1 <= int(value.get("port", 587)) <= 65535:
        found.append(f"{where}.port must be a port, 1 to 65535")
    if bool(value.get("username")) != bool(value.get("password")):
        found.append(f"{where}.username and {where}.password belong together; give both or none")
    if value.get("password") and value.get("security") == "none":
        found.append(f"{where}.security: none would send the password in the clear; use starttls or tls")
    return found


def alarm_webhook(where: str, value: Any) -> list[str]:
    """A webhook. Its address may be a secret itself, so that no message repeats it."""
    if not value:
        return []
    url, secret, found = str(value.get("url", "")), value.get("secret"), []
    if not re.fullmatch(r"https?://[!-~]+", url):
        found.append(f"{where}.url must be the https:// address that takes JSON by POST")
    elif "@" in urlsplit(url).netloc:
        found.append(f"{where}.url has a user or password in it; write them as header and secret")
    elif secret and url.startswith("http://"):
        found.append(f"{where}.url would send the secret in the clear; use https://")
    if "header" in value and not secret:
        found.append(f"{where}.header goes with a secret; add it, or leave the header out")
    if not re.fullmatch(r"[A-Za-z0-9-]+", value.get("header", "Authorization")):
        found.append(f"{where}.header must be a header's name, such as Authorization")
    if secret and not re.fullmatch(r"[ -~]+", secret):
        found.append(f"{where}.secret must be one line of ASCII, such as Bearer …")
    return found


TSIG = ("HMAC-MD5", "HMAC-SHA1", "HMAC-SHA224", "HMAC-SHA256", "HMAC-SHA384", "HMAC-SHA512")
RFC2136 = ("server", "port", "name", "secret", "algorithm", "sign_query")


def certificate_dns(where: str, value: Any) -> list[str]:
    """How names are proven in DNS. A credential is never repeated."""
    if not value:
        return []
    if not value.get("plugin"):
        return [f"{where}.plugin is missing; write rfc2136, or another plugin of certbot's"]
    plugin, given = value["plugin"], value.get("credentials") or {}
    found = [] if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", plugin) else [
        f"{where}.plugin must be a name of certbot's such as rfc2136 or cloudflare, without dns- before it"]
    for key, held in given.items():
        at = f"{where}.credentials.{key}"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", str(key)):
            found.append(f"{at}: a credential's name has lower-case letters, digits and _, without dns_{plugin}_ before it")
        elif not isinstance(held, (str, int)) or not str(held) or CONTROL.search(str(held)) or '"' in str(held):
            found.append(f"{at} must be a text of one line without quotes in it")
    if plugin != "rfc2136" or found:
        return found
    found += [f"{where}.credentials.{key} is unknown{nearest(key, RFC2136)}" for key in given if key not in RFC2136]
    found += [f"{where}.credentials.{key} is missing" for key in ("server", "name", "secret") if key not in given]
    if "server" in given and not is_address(given["server"]):
        found.append(f"{where}.credentials.server must be the name server's address, such as 192.0.2.53")
    if not re.fullmatch(r"[0-9]+", str(given.get("port", 53))) or not 1 <= int(given.get("port", 53)) <= 65535:
        found.append(f"{where}.credentials.port must be a port, 1 to 65535")
    if given.get("algorithm", TSIG[0]) not in TSIG:
        found.append(f"{where}.credentials.algorithm must be one of {', '.join(TSIG)}{nearest(given['algorithm'], TSIG)}")
    if "secret" in given and not re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", str(given["secret"])):
        found.append(f"{where}.credentials.secret must be the key in base64, as tsig-keygen prints it")
    return found


def alarm_sites(where: str, value: Any) -> list[str]:
    """Applications and their domains, where they are not made of flask_apps."""
    return [problem for app, names in value.items() for problem in domains(f"{where}.{app}", names)]


def _between(low: int, high: int, what: str) -> tuple[Callable[[Any], bool], str]:
    return lambda v: low <= int(v) <= high, f"must be {what}, {low} to {high}"


def _matches(pattern: str, right: str) -> tuple[Callable[[Any], bool], str]:
    return lambda v: bool(re.fullmatch(pattern, str(v))), right


def _each(pattern: str, right: str) -> tuple[Callable[[Any], bool], str]:
    return lambda v: all(re.fullmatch(pattern, str(item)) for item in v), right


def _network(text: Any) -> bool:
    try:
        ipaddress.ip_network(str(text))
    except ValueError:
        return False
    return isinstance(text, str)


def _ports(value: Any) -> bool:
    return all(1 <= int(port) <= 65535 for port in value) and len(set(map(int, value))) == len(value)


def ssh_ports(where: str, value: Any) -> list[str]:
    """Where sshd listens; never nowhere."""
    return [] if value and _ports(value) else [f"{where} must be one or more ports, such as [22]"]


def ssh_settings(where: str, value: Mapping[str, Any]) -> list[str]:
    """Settings of sshd by name. Whether sshd knows them is asked of sshd."""
    found = []
    for name, given in value.items():
        at = f"{where}.{name}"
        if not re.fullmatch(r"[A-Za-z0-9]+", str(name)):
            found.append(f"{where}: every name is one of sshd_config(5), such as AllowTcpForwarding")
        elif str(name).lower() in ("port", "allowusers", "allowgroups", "match", "include"):
            instead = {"port": "host_access_ssh_ports", "allowusers": "host_access_ssh_users", "allowgroups": "host_access_ssh_groups"}
            found.append(f"{at} has no place here; " + (f"write {instead[str(name).lower()]}" if str(name).lower() in instead
                         else "write a file of yours in /etc/ssh/sshd_config.d"))
        elif isinstance(given, bool):
            found.append(f'{at} was read as true or false; put it in quotes: "yes" or "no"')
        elif not isinstance(given, (str, int)) or CONTROL.search(str(given)) or not str(given).strip():
            found.append(f"{at} must be one line, as in sshd_config")
    return found


def outgoing_ports(where: str, value: Mapping[str, Any]) -> list[str]:
    """Ports by account."""
    found = []
    for account, ports in value.items():
        if not ACCOUNT.fullmatch(str(account)):
            found.append(f"{where}: every name is an account's, such as shop")
        elif not isinstance(ports, list) or not all(re.fullmatch(r"\d+", str(port)) for port in ports) or not _ports(ports):
            found.append(f"{where}.{account} must be a list of ports, such as [443, 5432]")
    return found


NETWORKS = (lambda v: all(map(_network, v)), "must be addresses or networks without host bits, such as [192.0.2.7, 192.0.2.0/24, \"2001:db8::/48\"]")
PORTS = (_ports, "must be ports, 1 to 65535, each once")
BELOW = r"(?!.*(^|/)\.\.(/|$))([\w.@+-][\w./@+-]*)?"
INSIDE = "must be a path below the source without .., such as backend"
POSITIVE = (lambda v: int(v) >= 1, "must be 1 or more")
NATURAL = (lambda v: int(v) >= 0, "must be 0 or more")
UNIT_PATH = r"-?/[\w.@+:/-]*"
URL = r"https?://[^\s/@]+(/[^\s@]*)?"


def kernel_settings(where: str, value: Mapping[str, Any]) -> list[str]:
    """Kernel settings by name."""
    found = []
    for name, setting in value.items():
        if not re.fullmatch(r"[a-z0-9_]+([./][\w*./-]+)+", str(name)):
            found.append(f"{where}: {name} is not the name of a setting; write it like net.ipv4.tcp_syncookies")
        elif isinstance(setting, bool) or not isinstance(setting, (str, int, type(None))) or CONTROL.search(str(setting)):
            found.append(f"{where}.{name} must be a number or one line of text, or null to leave it as it is")
    return found


# A role variable's name, and what its value must be like beyond its type.
COMMANDS = _each(r"[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*", "must be commands of one line each, such as flask db upgrade")
VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "acme_cert_email": _matches(r"|[^@\s,;]+@[^@\s.,;]+(\.[^@\s.,;]+)+", "must be an e-mail address such as ops@example.com"),
    "acme_cert_directory_url": _matches(r"https://[^\s/@]+/[^\s@]*", "must be the https:// address of an ACME directory"),
    "acme_cert_preflight_resolvers": (lambda v: all(is_address(item) for item in v), "must be addresses of name servers, such as [1.1.1.1]"),
    "acme_cert_requirements": (lambda v: not v or os.path.isfile(os.path.expanduser(v)), "must be a file on the controller, or empty"),
    "acme_cert_index_url": _matches(f"|{URL}", "must be a URL without user and password, such as https://pypi.org/simple"),
    "alarm_channel_textfile_directory": _matches(r"|/(?!.*\.\.)[\w.@+:-][\w.@+:/-]*", "must be an absolute path without spaces and .., or empty"),
    "alarm_channel_units": _each(r"[A-Za-z0-9:_.@\\*-]+\.[a-z]+", "must be units with their kind, such as [postgresql.service]"),
    "alarm_channel_certificate_warning_percent": _between(1, 99, "a share"),
    "alarm_channel_certificate_critical_percent": _between(1, 99, "a share"),
    "alarm_channel_errors_percent": _between(1, 100, "a share"),
    "alarm_channel_errors_minutes": _between(1, 60, "a number of minutes"),
    "app_logging_journal_burst_lines": NATURAL,
    "app_logging_ship_host": _matches(r"|(?!-)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.?", "must be the collector's name, such as logs.example.com"),
    "app_logging_ship_port": _between(1, 65535, "a port"),
    "app_release_index_url": _matches(f"|{URL}", "must be a URL without user and password, such as https://pypi.org/simple"),
    "app_release_subdirectory": _matches(BELOW, INSIDE),
    "app_release_requirements": _matches(BELOW, "must be auto or a file below the source, such as requirements.txt"),
    "app_release_packages": _each(r"[a-z0-9][a-z0-9+.-]+", "must be names of Debian packages, such as libpq5"),
    "app_release_build": COMMANDS,
    "app_release_prepare": COMMANDS,
    "app_release_pre_activate": COMMANDS,
    "app_release_post_activate": COMMANDS,
    "app_release_warm_up": _each(r"/[!-~]*", "must be paths that begin with / and have no spaces, such as /products"),
    "app_release_to": _matches(r"previous|[0-9]{8}-[0-9]{6}-[0-9a-f]{8}", "must be a release's id, such as 20260131-101500-1f0c9a3e, or previous"),
    "app_release_health_status": (lambda v: int(v) == 0 or 100 <= int(v) <= 599, "must be a status such as 200, or 0"),
    "app_release_drain_seconds": NATURAL,
    "app_release_unit": _matches(r"[A-Za-z0-9:_.-]+", "must be a unit's name without @, such as gunicorn-shop"),
    "app_release_restart_on_change": _each(UNIT_PATH, "must be absolute paths"),
    "app_secrets_remove": _each(ENV_NAME.pattern, "must be names of environment variables: letters, digits and _"),
    "gunicorn_app_subdirectory": _matches(BELOW, INSIDE),
    "gunicorn_app_workers": NATURAL,
    "gunicorn_app_max_requests": NATURAL,
    "gunicorn_app_memory_max_mb": NATURAL,
    "gunicorn_app_writable_paths": _each(r"/(?!.*\.\.)[\w.@+:-][\w.@+:/-]*", "must be absolute paths without spaces, / itself excepted"),
    "gunicorn_app_environment_files": _each(UNIT_PATH, "must be absolute paths, with a - before those that may be absent"),
    "gunicorn_app_trusted_origins": _each(r"https?://[a-z0-9.-]+(:[0-9]+)?|https?://\[[0-9a-f:]+\](:[0-9]+)?",
                                          "must be origins in lower case without a path, such as https://www.example.com"),
    "gunicorn_app_groups": _each(ACCOUNT.pattern, "must be names of groups"),
    "gunicorn_app_socket_group": _matches(ACCOUNT.pattern, "must be a group such as www-data"),
    "host_access_ssh_from": NETWORKS,
    "host_access_ssh_users": _each(r"[^\s\"#]+", "must be accounts, such as alice, or alice@192.0.2.0/24"),
    "host_access_ssh_groups": _each(r"[^\s\"#]+", "must be groups, such as sudo"),
    "host_access_tcp_ports": PORTS,
    "host_access_udp_ports": PORTS,
    "host_access_proxies": NETWORKS,
    "host_access_never_ban": NETWORKS,
    "host_access_ssh_failures": _between(5, 1000, "a number of connections"),
    "host_access_confirm_seconds": _between(20, 600, "a number of seconds"),
    "host_baseline_reboot_at": _matches(r"|([01][0-9]|2[0-3]):[0-5][0-9]", "must be a time such as \"04:30\", in quotes, or empty"),
    "host_baseline_blocked_modules": _each(r"[A-Za-z0-9_-]+", "must be names of kernel modules, such as usb-storage"),
    "host_baseline_packages_absent": _each(r"[a-z0-9][a-z0-9+.-]+", "must be names of Debian packages, such as telnetd"),
    "host_baseline_idle_minutes": NATURAL,
    "host_baseline_password_min_length": (lambda v: 8 <= int(v) <= 64, "must be from 8 to 64"),
    "host_baseline_journal_max_mb": (lambda v: int(v) >= 16, "must be 16 or more"),
    "nginx_server_keepalive_seconds": NATURAL,
    "nginx_server_writable_paths": _each(r"-?/(?!.*\.\.)[\w.@+:-][\w.@+:/-]*", "must be absolute paths without spaces, / itself excepted"),
    **dict.fromkeys(("gunicorn_app_sandbox", "nginx_server_sandbox"), _each(
        r"[A-Z][A-Za-z]+", "must be directives of systemd by name, such as {PrivateTmp: \"no\"}")),
    "nginx_site_redirect_port": _between(1, 65535, "a port"),
    "nginx_site_rate_per_second": NATURAL,
    "nginx_site_rate_burst": NATURAL,
    "nginx_site_connections_per_client": NATURAL,
    "nginx_site_hsts_seconds": NATURAL,
    "nginx_site_static_cache_seconds": NATURAL,
    "nginx_site_static_immutable": _each(r"/([A-Za-z0-9_.~-]+/)+", "must be URL prefixes that begin and end with /, such as /static/assets/"),
    "nginx_site_log_parameters": _each(r"[a-z0-9_]+", "must be names of query parameters: lower-case letters, digits and _"),
    "nginx_site_client_ca": _matches(r"|/(?!.*\.\.)[\w.@+:-][\w.@+:/-]*", "must be an absolute path without spaces and .., or empty"),
    "session_store_apps": _each(APP_NAME.pattern, "must be names of applications, such as shop"),
    "session_store_memory_mb": (lambda v: int(v) >= 16, "must be 16 or more"),
    "pip_audit_osv_url": _matches(URL, "must be a URL without user and password, such as https://api.osv.dev/v1/query"),
    "pip_audit_index_url": _matches(f"|{URL}", "must be a URL without user and password, such as https://pypi.org/simple"),
    "pip_audit_hour": _between(0, 23, "an hour"),
    "pip_audit_minute": _between(0, 59, "a minute"),
}


# Mappings and lists of mappings, whose parts have to fit each other.
STRUCTURES: dict[str, Callable[[str, Any], list[str]]] = {
    "acme_cert_dns": certificate_dns,
    "alarm_channel_mail": alarm_mail,
    "alarm_channel_sites": alarm_sites,
    "alarm_channel_webhook": alarm_webhook,
    "app_release_policy": policy,
    "app_secrets_credentials": credentials,
    "app_secrets_generated": generated,
    "host_access_outgoing": outgoing_ports,
    "host_access_ssh_ports": ssh_ports,
    "host_access_ssh_settings": ssh_settings,
    "host_baseline_sysctl": kernel_settings,
    "nginx_site_cookie_flags": site_values.cookie_flags,
    "nginx_site_csp": site_values.policy_or_word,
    "nginx_site_csp_report_only": site_values.policy,
    "nginx_site_headers": site_values.headers,
    "nginx_site_maintenance_allow": site_values.addresses,
    "nginx_site_paths": site_values.paths,
    "nginx_site_proxies": site_values.proxies,
    "nginx_site_rate_limit_exempt": site_values.addresses,
    "nginx_site_users": site_values.users,
    "pip_audit_ignores": ignores,
}


def form(where: str, variable: str, kind: str, value: Any) -> list[str]:
    """What is wrong with a value of the right type."""
    if variable in STRUCTURES:
        return STRUCTURES[variable](where, value)
    check = VALUES.get(variable, POSITIVE if kind == "int" else None)
    if check and not check[0](value):
        return [f"{where} {check[1]}"]
    if kind == "path" and not re.fullmatch(r"(?!.*/\.\.(/|$))/[\w.@+:/-]*", value):
        return [f"{where} must be an absolute path without spaces and .."]
    return []
