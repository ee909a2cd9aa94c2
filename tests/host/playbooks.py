"""Run the project's own playbooks as an operator does."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 1200


@dataclass(frozen=True)
class Run:
    """The exit status and the output of a run."""

    rc: int
    output: str

    def count(self, what: str) -> dict[str, int]:
        """A number of the recap per host: ok, changed, failed."""
        return {host: int(number) for host, number in re.findall(rf"^(\S+)\s+: .*?\b{what}=(\d+)", self.output, re.MULTILINE)}

    def failure(self, host: str) -> str:
        """The error of one host, in one line."""
        found = re.findall(rf"^fatal: \[{host}\]:.*?(?=^fatal: |^PLAY RECAP)", self.output, re.MULTILINE | re.DOTALL)
        return " ".join(" ".join(found).split())

    def says(self, *texts: str) -> None:
        """Each of these was printed; where one was not, show the errors that were, not the whole run."""
        errors = "\n".join(line for line in self.output.splitlines() if line.startswith(("[ERROR]", "    \"msg\"")))
        for text in texts:
            if text not in self.output:
                pytest.fail(f"{text!r} is not in what was printed:\n{errors}", pytrace=False)

    @property
    def words(self) -> str:
        """The output without line breaks."""
        return " ".join(self.output.split())


class Playbooks:
    """Playbooks, on one inventory. A name such as `site` is one of playbooks/; a path is below the checkout."""

    def __init__(self, inventories: list[str], *options: str) -> None:
        self.command = ["ansible-playbook", *(f"--inventory={path}" for path in inventories), *options]
        if "BULWARK_LIMIT" in os.environ:
            # A run on one host; a narrower limit of a test comes later and takes precedence.
            self.command += ["--limit", os.environ["BULWARK_LIMIT"]]
        # Not as verbose as the runs of the scenario itself.
        self.environment = {**os.environ, "ANSIBLE_VERBOSITY": "0", "ANSIBLE_DIFF_ALWAYS": "false", "ANSIBLE_NOCOLOR": "1",
                            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        self.environment.pop("ANSIBLE_LOG_PATH", None)
        # What all runs printed, for tests that search it.
        self.printed: list[str] = []

    @classmethod
    def verbose(cls, inventories: list[str], *options: str) -> Playbooks:
        """With all that Ansible can print, errors as JSON."""
        found = cls(inventories, "-vvv", "--diff", *options)
        found.environment["ANSIBLE_CALLBACK_RESULT_FORMAT"] = "json"
        return found

    def start(self, name: str, *options: str, environment: Mapping[str, str] | None = None, **variables: Any) -> subprocess.Popen[str]:
        """Start a run; read its output to the end, or end the process."""
        extra = ["--extra-vars", json.dumps(variables)] if variables else []
        path = ROOT / name if name.endswith(".yml") else ROOT / "playbooks" / f"{name}.yml"
        return subprocess.Popen([*self.command, *options, *extra, str(path)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, env={**self.environment, **(environment or {})}, start_new_session=True)

    def run(self, name: str, *options: str, environment: Mapping[str, str] | None = None, **variables: Any) -> Run:
        """A whole run."""
        running = self.start(name, *options, environment=environment, **variables)
        output, _ = running.communicate(timeout=LONGEST_SECONDS)
        self.printed.append(output)
        return Run(running.returncode, output)

    def good(self, name: str, *options: str, environment: Mapping[str, str] | None = None, **variables: Any) -> Run:
        """A whole run that must succeed."""
        run = self.run(name, *options, environment=environment, **variables)
        assert run.rc == 0, run.output
        return run
