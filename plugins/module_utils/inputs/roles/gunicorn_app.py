"""Rules of `gunicorn_app`."""

from __future__ import annotations

from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import (
    NATURAL,
    SANDBOX,
    UNIT_PATH,
    WRITABLE_PATHS,
    Rule,
    between,
    each,
    matches,
)
from ansible_collections.bulwark.flask.plugins.module_utils.names import ACCOUNT

RULES: dict[str, Rule] = {
    "environment_files": each(UNIT_PATH, "must be absolute paths, with a - before those that may be absent"),
    "groups": each(ACCOUNT, "must be names of groups"),
    "max_requests": NATURAL,
    "memory_max_mb": NATURAL,
    "proxy_headers": each(r"[A-Za-z0-9-]+", "must be names of headers, such as X-Auth-Request-User"),
    "sandbox": SANDBOX,
    "socket_group": matches(ACCOUNT, "must be a group such as www-data"),
    "threads": between(1, 1000, "a number of threads"),
    "trusted_origins": each(r"https?://[a-z0-9.-]+(:[0-9]+)?|https?://\[[0-9a-f:]+\](:[0-9]+)?",
                            "must be origins in lower case without a path, such as https://www.example.com"),
    "weight": between(1, 10000, "a weight"),
    "workers": between(0, 1000, "a number of processes"),
    "writable_paths": WRITABLE_PATHS,
}
