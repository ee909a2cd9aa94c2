"""Rules of `app_logging`."""

from __future__ import annotations

from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import NATURAL, PORT, Rule, matches

RULES: dict[str, Rule] = {
    "journal_burst_lines": NATURAL,
    "ship_host": matches(r"|(?!-)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.?", "must be the collector's name, such as logs.example.com"),
    "ship_port": PORT,
}
