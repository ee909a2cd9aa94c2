"""The keys of an application's entry that belong to no role's section."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils import secret_key as keys
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import BELOW_SOURCE, Advice, Rule, between, domains, is_whole, matches, must
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.roles.app_secrets import CREDENTIAL, CREDENTIAL_MAX_BYTES
from ansible_collections.bulwark.flask.plugins.module_utils.names import ENV_NAME, nearest
from ansible_collections.bulwark.flask.plugins.module_utils.release.shared import problems as shared_problems
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.kinds import problems as source

WSGI = re.compile(r"([A-Za-z_]\w*\.)*[A-Za-z_]\w*:[A-Za-z_]\w*(\.[A-Za-z_]\w*|\([^\n]*\))?")
LARGEST_BODY_MB, LARGEST_HEADER_KB = 100_000, 64
KEY_NAMES = ("SECRET_KEY", "FLASK_SECRET_KEY")
FALLBACK_NAMES = tuple(f"{name}_FALLBACKS" for name in KEY_NAMES)
# Settings by these names hold secrets; those that only say how a key is used do not.
SECRET_SETTING = re.compile(r"(SECRET|PASSWORD|TOKEN|_DSN|CREDENTIAL|PRIVATE_KEY)(?!.*(_NAME|_HEADER|_FIELD|_EXPIRES|_LOCATION|_LIMIT|_PATH|_FILE)$)")
SWITCHES = ("FLASK_DEBUG", "FLASK_TESTING")


def static(where: str, value: Any) -> list[str]:
    """URL prefixes that nginx serves from directories."""
    if not isinstance(value, Mapping):
        return [f"{where} must be a mapping of URL prefixes to directories, such as {{/static/: shop/static}}"]
    problems = []
    for prefix, folder in value.items():
        if not re.fullmatch(r"/([\w.~-]+/)+", str(prefix)) or ".." in str(prefix).split("/"):
            problems.append(f"{where}: '{prefix}' must begin and end with /, such as /static/")
        if not isinstance(folder, str) or not re.fullmatch(r"[\w.@+-][\w./@+ -]*", folder) or ".." in folder.split("/"):
            problems.append(f"{where}.{prefix} must be a directory below the source, such as shop/static")
    return problems


def wsgi(where: str, value: Any) -> list[str]:
    """The object that gunicorn imports."""
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


def header_max_kb(where: str, value: Any) -> list[str]:
    """The largest header of a request."""
    if not is_whole(value):
        return [f"{where} must be a whole number of KiB, 1 or more"]
    return between(1, LARGEST_HEADER_KB, "a whole number of KiB")(where, value)


def secret_key(where: str, value: Any) -> list[str]:
    """A key that signs sessions."""
    problems = [(problem, f"{where} {problem.text}; leave it out to have one made on the host, or {keys.REMEDY}")
                for problem in keys.problems("" if value is None else str(value))]
    return [text if problem.level == "error" else Advice(text) for problem, text in problems]


def _secret_keys(where: str, value: Any) -> list[str]:
    try:
        listed = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        listed = None
    if not isinstance(listed, list):
        return [f"{where} must be a list of keys"]
    return list(dict.fromkeys(problem for key in listed for problem in secret_key(where, key)))


def environment(where: str, env: Any) -> list[str]:
    """Dangerous environment variables. The filter env_file checks whether they can be written."""
    if not isinstance(env, Mapping):
        return [f"{where} must be a mapping of names to values"]
    problems: list[str] = []
    for name, value in env.items():
        if name in KEY_NAMES:
            problems += secret_key(f"{where}.{name}", value)
        elif name in FALLBACK_NAMES:
            problems += _secret_keys(f"{where}.{name}", value)
        elif name in SWITCHES and str(value).lower() not in ("", "0", "false", "no", "none"):
            problems.append(f"{where}.{name} shows clients the inside of the application; leave it out")
    return problems


def config(where: str, value: Any) -> list[str]:
    """Settings that replace an application's own; secrets come from the environment."""
    if not isinstance(value, Mapping):
        return [f"{where} must be a mapping of settings, such as {{SESSION_COOKIE_SAMESITE: Strict}}"]
    problems = []
    for key, setting in value.items():
        read = isinstance(setting, Mapping) and len(setting) == 1 and next(iter(setting)) in ("env", "env_json")
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", str(key)):
            problems.append(f"{where}.{key} must be a setting in capital letters, such as SESSION_COOKIE_SAMESITE")
        elif read and not ENV_NAME.fullmatch(str(next(iter(setting.values())))):
            problems.append(f"{where}.{key} must name an environment variable, such as {{env: FLASK_{key}}}")
        elif SECRET_SETTING.search(str(key)) and isinstance(setting, str) and setting:
            problems.append(f"{where}.{key} is a secret in a file that all accounts can read; "
                            f"put it in env, and write {{env: NAME}} here, such as {{env: FLASK_{key}}}")
    return problems


def shared(where: str, value: Any) -> list[str]:
    """Paths that releases share."""
    if not isinstance(value, list) or not all(isinstance(path, str) for path in value):
        return [f"{where} must be a list of paths, such as [instance, uploads]"]
    return [problem.replace("shared:", f"{where}:", 1) for problem in shared_problems(value)]


def files(where: str, value: Any) -> list[str]:
    """Configuration files of the application. No content is part of a message."""
    if not isinstance(value, Mapping):
        return [f"{where} must be a mapping of names to files, such as {{isso.cfg: {{content: …}}}}"]
    problems = []
    for name, file in value.items():
        at = f"{where}.{name}"
        if not CREDENTIAL.fullmatch(str(name)):
            problems.append(f"{where}: the name of a file has up to 100 letters, digits, ., - and _, and no dot first")
        elif not isinstance(file, Mapping) or not isinstance(file.get("content"), str):
            problems.append(f"{at} must have its content as a text, such as {{content: \"{{{{ lookup('ansible.builtin.file', '{name}') }}}}\"}}")
        else:
            problems += [f"{at}.{key} is unknown{nearest(key, ('content', 'path'))}" for key in file if key not in ("content", "path")]
            if len(file["content"].encode(errors="replace")) > CREDENTIAL_MAX_BYTES:
                problems.append(f"{at}.content is longer than the 1 MiB that systemd passes on")
            if "path" in file and not (file["path"] and re.fullmatch(BELOW_SOURCE, str(file["path"]))):
                problems.append(f"{at}.path must be a path below the application's directory, such as {name}")
    return list(dict.fromkeys(problems))


KEYS: dict[str, Rule] = {
    "domains": domains,
    "source": source,
    "wsgi": wsgi,
    "env": environment,
    "config": config,
    "shared": shared,
    "files": files,
    "subdirectory": matches(BELOW_SOURCE, "must be a path below the source without .., such as backend"),
    "static": static,
    "health_path": must("must begin with / and be written as in a URL, such as /healthz",
                        lambda value: isinstance(value, str) and bool(re.fullmatch(r"/[A-Za-z0-9._~%!&'()*+,=:@/?-]*", value))),
    "body_max_mb": body_max_mb,
    "header_max_kb": header_max_kb,
    "session_store": must("must be true or false, without quotes", lambda value: isinstance(value, bool)),
}
# Options of roles with the name of a key of the entry and another meaning.
OTHERWISE = {("acme_cert", "source")}


def is_key(role: str, option: str) -> bool:
    """Whether a role's option is the application's name or a key of its entry, not a setting of the role's section."""
    return (option == "name" or option in KEYS) and (role, option) not in OTHERWISE
