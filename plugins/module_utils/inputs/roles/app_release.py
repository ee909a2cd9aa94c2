"""Rules of `app_release`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import (
    BELOW_SOURCE,
    DEBIAN_PACKAGE,
    INDEX_URL,
    INDEX_URL_HINT,
    LARGEST,
    NATURAL,
    UNIT_PATH,
    URL,
    Rule,
    between,
    each,
    matches,
    must,
)
from ansible_collections.bulwark.flask.plugins.module_utils.preflight import policy as preflight_policy


def policy(where: str, value: Mapping[str, Any]) -> list[str]:
    """The policy of the inspection."""
    return preflight_policy.problems(value, where)


COMMANDS = each(r"[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*", "must be commands of one line each, such as flask db upgrade")
NAME = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"


def download_credentials(where: str, value: Mapping[str, Any]) -> list[str]:
    """Tokens and passwords by host. No value is part of a message."""
    problems = []
    for host, given in value.items():
        if not re.fullmatch(r"[A-Za-z0-9.-]+", str(host)):
            problems.append(f"{where}: '{str(host).rpartition('@')[2]}' must be a host alone, such as pypi.example.com")
        elif not isinstance(given, str) or not given or re.search(r"\s", given):
            problems.append(f"{where}.{host} must be a token or user:password, without spaces and lines; keep it in a vault")
    return problems


RULES: dict[str, Rule] = {
    "build": COMMANDS,
    "disk_max_mb": between(-1, LARGEST, "-1 for a computed limit, 0 for none, or MiB"),
    "download_credentials": download_credentials,
    "drain_seconds": NATURAL,
    "extra_index_urls": each(URL, "must be URLs without user and password, such as https://pypi.example.com/simple; see download_credentials"),
    "extras": each(NAME, "must be names of extras"),
    "groups": each(NAME, "must be names of groups"),
    "health_status": must("must be a status such as 200, or 0", lambda value: int(value) == 0 or 100 <= int(value) <= 599),
    "index_url": matches(INDEX_URL, INDEX_URL_HINT),
    "packages": each(DEBIAN_PACKAGE, "must be names of Debian packages, such as libpq5"),
    "policy": policy,
    "post_activate": COMMANDS,
    "pre_activate": COMMANDS,
    "prepare": COMMANDS,
    "prepare_once": COMMANDS,
    "python": matches(r"3\.[0-9]{1,2}|/(?!.*\.\.)[\w./+-]+", "must be a version in quotes, such as \"3.12\", or the path of an interpreter"),
    "python_packages": each(rf"{NAME}(\[[A-Za-z0-9._, -]+\])?( ?(==|~=|>=|<=|<|>|!=) ?[A-Za-z0-9.!+*_-]+,?)*",
                            "must be names of Python packages, with a version or without, such as psycopg2-binary==2.9.11"),
    "requirements": matches(BELOW_SOURCE, "must be auto or a file below the source, such as requirements.txt"),
    "restart_on_change": each(UNIT_PATH, "must be absolute paths"),
    "to": matches(r"previous|[0-9]{8}-[0-9]{6}-[0-9a-f]{8}", "must be a release's id, such as 20260131-101500-1f0c9a3e, or previous"),
    "unit": matches(r"[A-Za-z0-9:_.-]+", "must be a unit's name without @, such as gunicorn-shop"),
    "warm_up": each(r"/[!-~]*", "must be paths that begin with / and have no spaces, such as /products"),
}
