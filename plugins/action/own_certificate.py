"""Call the module own_certificate, unless the host has said that there is nothing to do."""

from __future__ import annotations

from ansible_collections.bulwark.flask.plugins.plugin_utils.unchanged import RememberedCall


class ActionModule(RememberedCall):
    """Controller side of own_certificate."""

    MODULE = "own_certificate"

    def name(self) -> str:
        """The certificate."""
        return str(self._task.args.get("name"))
