"""Rules of `nginx_server`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import (
    NATURAL,
    PATH_BELOW_ROOT,
    SANDBOX,
    Rule,
    client_networks,
    each,
)

PROBE_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")


def probe(where: str, value: Mapping[str, Any]) -> list[str]:
    """The health check of load balancers."""
    if not value:
        return []
    if set(value) != {"path", "allow"} or not isinstance(value["allow"], list) or not value["allow"]:
        return [f"{where} must have path and allow, a list of networks, such as {{path: /up, allow: [10.0.0.0/8]}}"]
    problems = client_networks(f"{where}.allow", value["allow"])
    if not isinstance(value["path"], str) or not PROBE_PATH.fullmatch(value["path"]):
        problems.append(f"{where}.path must be a path without a query, such as /up")
    return problems


RULES: dict[str, Rule] = {
    "keepalive_seconds": NATURAL,
    "probe": probe,
    "sandbox": SANDBOX,
    "writable_paths": each(f"-?{PATH_BELOW_ROOT}", "must be absolute paths without spaces, and not /"),
}
