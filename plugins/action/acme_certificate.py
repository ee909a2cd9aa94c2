"""Call the module acme_certificate, unless the host has said that no certificate is due."""

from __future__ import annotations

from ansible_collections.bulwark.flask.plugins.plugin_utils.unchanged import RememberedCall


class ActionModule(RememberedCall):
    """Controller side of acme_certificate."""

    MODULE = "acme_certificate"
    NOTHING = {"reason": ""}

    def name(self) -> str:
        """The certificate."""
        return str(self._task.args.get("name"))
