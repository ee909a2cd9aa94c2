"""The systemd units of an application's instances: start, stop, state, and commands that run once.

A unit template `<unit>@.service` with its socket `<unit>@.socket` runs one instance each. No Ansible imports.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.bulwark.flask.plugins.module_utils import fs, systemd_bus
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError

RUNTIME = Path("/run/systemd/system")
ONCE = "90-once.conf"
PROPERTIES = "ActiveState,SubState,NRestarts,Result,UnitFileState,ExecMainStatus,ExecMainCode"


@dataclass(frozen=True)
class Ran:
    """The result of a command that was run once."""

    status: int
    result: str
    output: str
    errors: str

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.result == "success" and self.status == 0


def quoted(word: str) -> str:
    """One word of a command line, quoted for systemd without expansion."""
    if "\n" in word or "\0" in word:
        raise ReleaseError("input", "A command must be one line.")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


class Units:
    """The units of one application."""

    def __init__(self, unit: str) -> None:
        self.unit = unit

    def service(self, instance: str) -> str:
        """The service that runs an instance."""
        return f"{self.unit}@{instance}.service"

    def socket(self, instance: str) -> str:
        """The socket that holds its connections."""
        return f"{self.unit}@{instance}.socket"

    def both(self, instance: str) -> list[str]:
        """Socket and service."""
        return [self.socket(instance), self.service(instance)]

    @staticmethod
    def systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
        """Run systemctl; a failure is no error."""
        def run() -> tuple[int, str, str]:
            done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
            return done.returncode, done.stdout, done.stderr

        return subprocess.CompletedProcess(["systemctl", *arguments], *systemd_bus.patient(run))

    def must(self, *arguments: str) -> None:
        """Run systemctl; a failure ends the run with systemd's message."""
        done = self.systemctl(*arguments)
        if done.returncode:
            raise ReleaseError("systemd", f"systemctl {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")

    def properties(self, unit: str) -> dict[str, str]:
        """The properties of a unit."""
        text = self.systemctl("show", "-p", PROPERTIES, unit).stdout
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def is_serving(self, instance: str) -> bool:
        """Whether an instance runs, listens, and is enabled."""
        units = [self.properties(unit) for unit in self.both(instance)]
        return all(unit.get("ActiveState") == "active" and unit.get("UnitFileState") == "enabled" for unit in units)

    def start(self, instance: str) -> str:
        """Start an instance; returns systemd's message when it cannot."""
        done = self.systemctl("start", *self.both(instance))
        return done.stderr.strip() or "it cannot be started" if done.returncode else ""

    def ended(self, instance: str, restarts: int = 0) -> str:
        """Why the process of an instance that was started has ended, more often than systemd may restart it; empty while it runs."""
        state = self.properties(self.service(instance))
        over = state.get("ActiveState") == "failed" or int(state.get("NRestarts") or 0) + (state.get("SubState") == "auto-restart") > restarts
        return str(state.get("Result") or "unknown") if over else ""

    def enable(self, instance: str) -> None:
        """Enable an instance, so that it starts at boot."""
        self.must("enable", "--quiet", *self.both(instance))

    def stop(self, instance: str) -> None:
        """Stop and disable an instance, after requests in progress."""
        if any(self.properties(unit).get("UnitFileState") == "enabled" for unit in self.both(instance)):
            self.must("disable", "--quiet", *self.both(instance))
        self.must("stop", *self.both(instance))
        self.systemctl("reset-failed", *self.both(instance))
        self.remove_once(instance)

    # --- one command in the place of the server -------------------------------------------------

    def _drop_in(self, instance: str) -> Path:
        return RUNTIME / f"{self.service(instance)}.d"

    def run_once(self, instance: str, argv: Sequence[str], folder: Path, timeout_seconds: int,
                 environment: Mapping[str, str] | None = None) -> Ran:
        """Run a command in the place of an instance: its account, its sandbox, its environment, its release.

        It is the same unit with another command, so an operator's drop-ins apply too. The output is stored in `folder`,
        readable by root only.
        """
        output, errors = folder / "output", folder / "errors"
        for path in (output, errors):
            path.unlink(missing_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        lines = ["# A command of a deploy; removed when it is over.", "[Service]", "Type=oneshot", "Restart=no", "ExecStart=",
                 f"ExecStart={' '.join(map(quoted, argv))}", f"TimeoutStartSec={timeout_seconds}",
                 f"StandardOutput=truncate:{output}", f"StandardError=truncate:{errors}"]
        lines += [f"Environment={quoted(f'{key}={value}')}" for key, value in (environment or {}).items()]
        drop_in = self._drop_in(instance)
        drop_in.mkdir(parents=True, exist_ok=True)
        (drop_in / ONCE).write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.must("daemon-reload")
        self.systemctl("reset-failed", self.service(instance))
        self.systemctl("start", self.service(instance))
        state = self.properties(self.service(instance))
        texts = []
        for path in (output, errors):
            with open(path, "rb") as stream:
                texts.append(fs.read_end(stream))
        return Ran(int(state.get("ExecMainStatus") or 0), state.get("Result", "unknown"), *texts)

    def remove_once(self, instance: str) -> None:
        """Remove the drop-in of `run_once`, also that of a killed run."""
        if self._drop_in(instance).is_dir():
            shutil.rmtree(self._drop_in(instance))
            self.must("daemon-reload")
