"""The status of each release, and the history of an application. No Ansible imports.

`<base>/releases/<id>/status.json` has the status of a release: good, failed or rolled back;
`<base>/history.jsonl` has one line per deploy, rollback and restart, `<base>/.running.json` the one that
is under way or was killed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.release.lock import now

GOOD, FAILED, ROLLED_BACK = "good", "failed", "rolled back"
STATUS = "status.json"
KEPT = 200


def read(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one."""
    try:
        content = fs.read_json(path)
    except OSError:
        return {}
    return content if isinstance(content, dict) else {}


def moment() -> str:
    """The time, as files show it."""
    return f"{now():%Y-%m-%dT%H:%M:%SZ}"


class Record:
    """Statuses and history below one application's base directory."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.history_file = base / "history.jsonl"
        self.running_file = base / ".running.json"

    # --- statuses --------------------------------------------------------------------------------

    def _status_file(self, release: str) -> Path:
        return self.base / "releases" / release / STATUS

    def status(self, release: str) -> dict[str, Any]:
        """The status of a release: state, time, by, reason; empty for one that never served."""
        return read(self._status_file(release))

    def state(self, release: str) -> str:
        """`good`, `failed`, `rolled back`, or empty."""
        return str(self.status(release).get("state", ""))

    def set_status(self, release: str, state: str, by: str, reason: str = "") -> None:
        """Write a release's status; does nothing for a release that was removed."""
        if self._status_file(release).parent.is_dir():
            text = json.dumps({"state": state, "time": moment(), "by": by, "reason": reason}, sort_keys=True)
            fs.write(self._status_file(release), (text + "\n").encode(), mode=0o640)

    # --- history ---------------------------------------------------------------------------------

    def history(self) -> list[dict[str, Any]]:
        """All entries, oldest first."""
        try:
            lines = self.history_file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        entries = []
        for line in lines:
            try:
                entries.append(json.loads(line))
            except ValueError:
                continue
        return [entry for entry in entries if isinstance(entry, dict)]

    def interrupted(self) -> dict[str, Any]:
        """The entry of a run that was killed, or an empty one. Call it under the lock."""
        return read(self.running_file)

    def recover(self) -> dict[str, Any]:
        """Close the entry of a run that was killed; returns it."""
        left = self.interrupted()
        if left:
            self._append({**left, "result": "interrupted"})
        self.running_file.unlink(missing_ok=True)
        return left

    def begin(self, action: str, by: str, **facts: Any) -> dict[str, Any]:
        """Record the start of a run."""
        entry = {"time": moment(), "action": action, "by": by, **facts}
        fs.write_json(self.running_file, entry, mode=0o640)
        return entry

    def end(self, entry: dict[str, Any], result: str, **facts: Any) -> None:
        """Record the end of a run."""
        self._append({**entry, "result": result, **facts})
        self.running_file.unlink(missing_ok=True)

    def _append(self, entry: dict[str, Any]) -> None:
        entries = [*self.history(), entry][-KEPT:]
        lines = "".join(json.dumps(item, sort_keys=True) + "\n" for item in entries)
        fs.write(self.history_file, lines.encode(), mode=0o640)
