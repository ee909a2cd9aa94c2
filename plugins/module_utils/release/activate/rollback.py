"""The releases of an application that a rollback can activate. No Ansible imports."""

from __future__ import annotations

from ansible_collections.bulwark.flask.plugins.module_utils.release import history
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.history import Record
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import Releases

REASONS = {history.ROLLED_BACK: "was rolled back", history.FAILED: "failed"}


class Candidates:
    """Complete releases with the status good, beside the live one."""

    def __init__(self, releases: Releases, record: Record, live: str | None) -> None:
        self.record = record
        self.live = live
        self.complete = [str(manifest["release"]) for manifest in releases.manifests()]
        self.good = [name for name in self.complete if name != live and record.state(name) == history.GOOD]

    def previous(self) -> str | None:
        """The one that was live last."""
        return max(self.good, key=lambda name: (str(self.record.status(name).get("time")), name), default=None)

    def choose(self, to: str) -> str:
        """The release that `to` names, an id, or the previous one when it is empty; fails when it cannot be activated."""
        if self.live is None:
            raise ReleaseError("rollback", "No release is live, so there is nothing to roll back; deploy one.")
        if not to:
            target = self.previous()
            if target is None:
                raise ReleaseError("rollback", f"{self.live} is live, and no good release before it is left; deploy instead.")
            return target
        listed = f"Good ones: {', '.join(self.good)}." if self.good else "There is no other good one; deploy instead."
        if to not in self.complete:
            raise ReleaseError("rollback", f"There is no release {to}. {listed}")
        if to != self.live and to not in self.good:
            status = self.record.status(to)
            reason = REASONS.get(str(status.get("state")), "has never been live")
            when = f" on {status['time']} by {status['by']}" if status else ""
            raise ReleaseError("rollback", f"{to} {reason}{when} and cannot be activated by a rollback. {listed}")
        return to
