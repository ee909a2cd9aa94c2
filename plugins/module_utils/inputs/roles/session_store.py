"""Rules of `session_store`."""

from __future__ import annotations

from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import Rule, at_least, each
from ansible_collections.bulwark.flask.plugins.module_utils.names import APP_NAME

RULES: dict[str, Rule] = {
    "apps": each(APP_NAME, "must be names of applications, such as shop"),
    "memory_mb": at_least(16),
}
