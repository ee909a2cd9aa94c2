"""Call the module generated_secrets, unless the host has said that there is nothing to do."""

from __future__ import annotations

import os

from ansible_collections.bulwark.flask.plugins.plugin_utils.unchanged import RememberedCall


class ActionModule(RememberedCall):
    """Controller side of generated_secrets."""

    MODULE = "generated_secrets"
    NOTHING = {"generated": [], "rotated": [], "waiting": [], "dropped": []}

    def name(self) -> str:
        """The file."""
        return os.path.basename(str(self._task.args.get("path")))
