"""Run the project's own playbooks as an operator does."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Run:
    """The exit status and the output of a run."""

    rc: int
    output: str

    def count(self, what: str) -> dict[str, int]:
        """A number of the recap per host: ok, changed, failed."""
        return {host: int(number) for host, number in re.findall(rf"^(\S+)\s+: .*?\b{what}=(\d+)", self.output, re.MULTILINE)}

    @property
    def words(self) -> str:
        """The output without line breaks."""
        return " ".join(self.output.split())


class Playbooks:
    """The playbooks, on one inventory."""

    def __init__(self, inventories: list[str]) -> None:
        self.command = ["ansible-playbook", *(f"--inventory={path}" for path in inventories)]
        if "BULWARK_LIMIT" in os.environ:
            # A run on one host; a narrower limit of a test comes later and takes precedence.
            self.command += ["--limit", os.environ["BULWARK_LIMIT"]]
        # Not as verbose as the runs of the scenario itself.
        self.environment = {**os.environ, "ANSIBLE_VERBOSITY": "0", "ANSIBLE_DIFF_ALWAYS": "false", "ANSIBLE_NOCOLOR": "1",
                            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        self.environment.pop("ANSIBLE_LOG_PATH", None)

    def start(self, name: str, *options: str, **variables: Any) -> subprocess.Popen[str]:
        """Start a run."""
        extra = ["--extra-vars", json.dumps(variables)] if variables else []
        return subprocess.Popen([*self.command, *options, *extra, str(ROOT / "playbooks" / f"{name}.yml")], cwd=ROOT, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.environment, start_new_session=True)

    def run(self, name: str, *options: str, **variables: Any) -> Run:
        """A whole run."""
        running = self.start(name, *options, **variables)
        output, _ = running.communicate(timeout=400)
        return Run(running.returncode, output)

    def good(self, name: str, *options: str, **variables: Any) -> Run:
        """A whole run that must succeed."""
        run = self.run(name, *options, **variables)
        assert run.rc == 0, run.output
        return run
