"""Rules of `nginx_server`."""

from __future__ import annotations

from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import NATURAL, PATH_BELOW_ROOT, SANDBOX, Rule, each

RULES: dict[str, Rule] = {
    "keepalive_seconds": NATURAL,
    "sandbox": SANDBOX,
    "writable_paths": each(f"-?{PATH_BELOW_ROOT}", "must be absolute paths without spaces, and not /"),
}
