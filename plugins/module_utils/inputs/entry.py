"""The keys of an application's entry that belong to no role's section."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.bulwark.flask.plugins.module_utils import secret_key as keys
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import Advice, Rule, between, domains, file_here, is_whole, must
from ansible_collections.bulwark.flask.plugins.module_utils.names import ENV_NAME
from ansible_collections.bulwark.flask.plugins.module_utils.release.shared import problems as shared_problems

SOURCES = ("git", "path", "archive", "package")
# What goes with each kind of source.
SOURCE_EXTRAS = {"git": ("version", "deploy_key", "host_key"), "path": (), "archive": ("sha256",), "package": ()}
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._,-]+\])?==[A-Za-z0-9][A-Za-z0-9.!+_-]*")
WSGI = re.compile(r"([A-Za-z_]\w*\.)*[A-Za-z_]\w*:[A-Za-z_]\w*(\.[A-Za-z_]\w*|\([^\n]*\))?")
LARGEST_BODY_MB = 100_000
KEY_NAMES = ("SECRET_KEY", "FLASK_SECRET_KEY")
FALLBACK_NAMES = tuple(f"{name}_FALLBACKS" for name in KEY_NAMES)
# Settings by these names hold secrets; those that only say how a key is used do not.
SECRET_SETTING = re.compile(r"(SECRET|PASSWORD|TOKEN|_DSN|CREDENTIAL|PRIVATE_KEY)(?!.*(_NAME|_HEADER|_FIELD|_EXPIRES|_LOCATION|_LIMIT|_PATH|_FILE)$)")
SWITCHES = ("FLASK_DEBUG", "FLASK_TESTING")


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
        found.append(f"{where}.deploy_key must be the private key itself, of many lines, not the name of its file; keep it in a vault")
    return found


def _archive(where: str, value: Mapping[str, Any]) -> list[str]:
    text, digest, found = str(value["archive"]), value.get("sha256"), []
    path = urlsplit(text).path if "://" in text else text
    if not path.lower().endswith(ARCHIVES):
        found.append(f"{where}.archive must end in one of {', '.join(ARCHIVES)}")
    if "://" in text and not re.fullmatch(r"https://[^\s/]+/\S+", text):
        found.append(f"{where}.archive must be an https:// URL or a file on the controller")
    elif "://" in text and not digest:
        found.append(f"{where}.sha256 is missing; a URL may deliver something else tomorrow (sha256sum prints it)")
    elif "://" not in text and not os.path.isfile(file_here(text)):
        found.append(f"{where}.archive: there is no file {file_here(text)} on the controller")
    if digest and not re.fullmatch(r"[0-9a-fA-F]{64}", str(digest)):
        found.append(f"{where}.sha256 must be 64 hexadecimal digits; put them in quotes")
    return found


def _path(where: str, value: Mapping[str, Any]) -> list[str]:
    path = file_here(str(value["path"]))
    return [] if os.path.isdir(path) else [f"{where}.path: there is no directory {path} on the controller"]


def _package(where: str, value: Mapping[str, Any]) -> list[str]:
    return [] if PACKAGE.fullmatch(str(value["package"])) else [f"{where}.package must name one version, such as shop==1.2"]


_KINDS: dict[str, Callable[[str, Mapping[str, Any]], list[str]]] = {
    "git": _git, "path": _path, "archive": _archive, "package": _package}


def source(where: str, value: Any) -> list[str]:
    """The source of an application. The names and types of its keys are checked against the specification."""
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
    extras = [key for extra in SOURCE_EXTRAS.values() for key in extra]
    return _KINDS[kind](where, value) + [f"{where}.{key} does not go with {kind}; leave it out" for key in value
                                         if key in extras and key not in SOURCE_EXTRAS[kind] and value[key]]


def static(where: str, value: Any) -> list[str]:
    """URL prefixes that nginx serves from directories."""
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
    if isinstance(value, str) and (file := re.match(r"([\w./-]+)\.py(:\w.*)?$", value)):
        module = file[1].strip("./").replace("/", ".")
        return [f"{where} names a file; write the module: {module}{file[2] or ':app'}"]
    ok = isinstance(value, str) and WSGI.fullmatch(value)
    return [] if ok else [f"{where} must be module:variable or module:factory(), such as shop:create_app()"]


def body_max_mb(where: str, value: Any) -> list[str]:
    """The largest body of a request."""
    if not is_whole(value):
        return [f"{where} must be a whole number of MiB, 1 or more"]
    return between(1, LARGEST_BODY_MB, "a whole number of MiB")(where, value)


def secret_key(where: str, value: Any) -> list[str]:
    """A key that signs sessions."""
    found = [(problem, f"{where} {problem.text}; leave it out to have one made on the host, or {keys.REMEDY}")
             for problem in keys.problems("" if value is None else str(value))]
    return [text if problem.level == "error" else Advice(text) for problem, text in found]


def _secret_keys(where: str, value: Any) -> list[str]:
    try:
        listed = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        listed = None
    if not isinstance(listed, list):
        return [f"{where} must be a list of keys"]
    return list(dict.fromkeys(problem for key in listed for problem in secret_key(where, key)))


def environment(where: str, env: Any) -> list[str]:
    """What is dangerous about variables of the process. Whether they can be written is checked elsewhere."""
    if not isinstance(env, Mapping):
        return [f"{where} must be a mapping of names to values"]
    found: list[str] = []
    for name, value in env.items():
        if name in KEY_NAMES:
            found += secret_key(f"{where}.{name}", value)
        elif name in FALLBACK_NAMES:
            found += _secret_keys(f"{where}.{name}", value)
        elif name in SWITCHES and str(value).lower() not in ("", "0", "false", "no", "none"):
            found.append(f"{where}.{name} shows clients the inside of the application; leave it out")
    return found


def config(where: str, value: Any) -> list[str]:
    """Settings that replace an application's own; secrets come from the environment."""
    if not isinstance(value, Mapping):
        return [f"{where} must be a mapping of settings, such as {{SESSION_COOKIE_SAMESITE: Strict}}"]
    found = []
    for key, setting in value.items():
        read = isinstance(setting, Mapping) and len(setting) == 1 and next(iter(setting)) in ("env", "env_json")
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", str(key)):
            found.append(f"{where}.{key} must be a setting in capital letters, such as SESSION_COOKIE_SAMESITE")
        elif read and not ENV_NAME.fullmatch(str(next(iter(setting.values())))):
            found.append(f"{where}.{key} must name an environment variable, such as {{env: FLASK_{key}}}")
        elif SECRET_SETTING.search(str(key)) and isinstance(setting, str) and setting:
            found.append(f"{where}.{key} is a secret in a file that everybody reads; "
                         f"put it in env, and write {{env: NAME}} here, such as {{env: FLASK_{key}}}")
    return found


def shared(where: str, value: Any) -> list[str]:
    """Paths that releases share."""
    if not isinstance(value, list) or not all(isinstance(path, str) for path in value):
        return [f"{where} must be a list of paths, such as [instance, uploads]"]
    return [problem.replace("shared:", f"{where}:", 1) for problem in shared_problems(value)]


KEYS: dict[str, Rule] = {
    "domains": domains,
    "source": source,
    "wsgi": wsgi,
    "env": environment,
    "config": config,
    "shared": shared,
    "static": static,
    "health_path": must("must begin with / and be written as in a URL, such as /healthz",
                        lambda value: isinstance(value, str) and bool(re.fullmatch(r"/[A-Za-z0-9._~%!&'()*+,=:@/?-]*", value))),
    "body_max_mb": body_max_mb,
    "session_store": must("must be true or false, without quotes", lambda value: isinstance(value, bool)),
}
# Options of roles that share their name with a key of the entry and are something else.
OTHERWISE = {("acme_cert", "source")}


def is_key(role: str, option: str) -> bool:
    """Whether a role's option is the application's name or a key of its entry, and no setting of the role's section."""
    return (option == "name" or option in KEYS) and (role, option) not in OTHERWISE
