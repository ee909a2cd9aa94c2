"""Rules of `app_release`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import (
    BELOW_SOURCE,
    DEBIAN_PACKAGE,
    INDEX_URL,
    INDEX_URL_HINT,
    NATURAL,
    UNIT_PATH,
    Rule,
    each,
    matches,
    must,
)
from ansible_collections.bulwark.flask.plugins.module_utils.preflight import policy as preflight_policy


def policy(where: str, value: Mapping[str, Any]) -> list[str]:
    """The policy of the inspection."""
    return preflight_policy.problems(value, where)


COMMANDS = each(r"[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*", "must be commands of one line each, such as flask db upgrade")
RULES: dict[str, Rule] = {
    "build": COMMANDS,
    "drain_seconds": NATURAL,
    "health_status": must("must be a status such as 200, or 0", lambda value: int(value) == 0 or 100 <= int(value) <= 599),
    "index_url": matches(INDEX_URL, INDEX_URL_HINT),
    "packages": each(DEBIAN_PACKAGE, "must be names of Debian packages, such as libpq5"),
    "policy": policy,
    "post_activate": COMMANDS,
    "pre_activate": COMMANDS,
    "prepare": COMMANDS,
    "requirements": matches(BELOW_SOURCE, "must be auto or a file below the source, such as requirements.txt"),
    "restart_on_change": each(UNIT_PATH, "must be absolute paths"),
    "to": matches(r"previous|[0-9]{8}-[0-9]{6}-[0-9a-f]{8}", "must be a release's id, such as 20260131-101500-1f0c9a3e, or previous"),
    "unit": matches(r"[A-Za-z0-9:_.-]+", "must be a unit's name without @, such as gunicorn-shop"),
    "warm_up": each(r"/[!-~]*", "must be paths that begin with / and have no spaces, such as /products"),
}
