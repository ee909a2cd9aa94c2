"""Call the module credential_files, unless the host has said that there is nothing to do."""

from __future__ import annotations

import os

from ansible_collections.bulwark.flask.plugins.plugin_utils.unchanged import RememberedCall


class ActionModule(RememberedCall):
    """Controller side of credential_files."""

    MODULE = "credential_files"
    NOTHING = {"written": [], "removed": []}

    def name(self) -> str:
        """The directory."""
        return os.path.basename(str(self._task.args.get("path")))
