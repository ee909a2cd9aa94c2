"""Runs of the playbook, each with something that fails."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from testhosts import scenario

ROOT = Path(__file__).resolve().parents[3]

STATE = scenario().folder
EAB_KEY = STATE / "eab-key"
KILLED_AFTER_SECONDS = 4


@dataclass(frozen=True)
class Step:
    """One run of the playbook: what is different for each host, in which task it is killed, and on which hosts it is."""

    edge: dict[str, dict[str, Any]] = field(default_factory=dict)
    kill_at: str = ""
    hosts: str = "all"


@dataclass(frozen=True)
class Run:
    """What a run printed."""

    output: str

    def recap(self, host: str) -> dict[str, int]:
        """The counts of one host."""
        line = next(line for line in reversed(self.output.splitlines()) if line.startswith(f"{host} ") and "ok=" in line)
        return {key: int(value) for key, _, value in (part.partition("=") for part in line.split(":")[1].split())}

    def says(self, *all_words: str) -> None:
        """Each of these was printed; where one was not, show the errors that were, not the whole run."""
        errors = "\n".join(line for line in self.output.splitlines() if line.startswith(("[ERROR]", "    \"msg\"")))
        for words in all_words:
            if words not in self.output:
                pytest.fail(f"{words!r} is not in what was printed:\n{errors}", pytrace=False)


BOUND = {"eab_kid": "kid-1", "eab_hmac_key": "{{ lookup('ansible.builtin.file', test_state ~ '/eab-key') }}"}
STEPS = {
    "clash": Step({"debian13": {"catch_all": True}}, kill_at="app_release : release | Build"),
    "a key of root's": Step({"debian13": {"unprivileged": True}}, hosts="debian13"),
    "authority down": Step({"debian13": {"directory_url": "https://pebble:9/dir"}}),
    "authority refuses": Step({"debian13": {"directory_url": "https://pebble:14000/dir", "more_domains": ["nowhere.debian13.example.test"],
                                            "acme_cert": {"preflight": False}},
                               "debian12": {"source": f"{STATE}/edge-changed-package"}}),
    "authority wants a binding": Step({"debian12": {"source": f"{STATE}/edge-not-importable"}}),
    "mended": Step({"debian13": {"acme_cert": BOUND}}),
    "again": Step({"debian13": {"acme_cert": BOUND}}),
}


def play(step: Step) -> Run:
    """Run the playbook; one that is killed is killed as by a machine that is switched off."""
    inventory = STATE / "edge-step.json"
    inventory.write_text(json.dumps({"web": {"hosts": {host: {"edge": step.edge.get(host, {})} for host in ("debian13", "debian12")}}}))
    command = ["ansible-playbook", "-vvv", "--diff", "-i", "molecule/inventory", "-i", "molecule/failures/inventory", "-i", str(inventory),
               f"--limit={step.hosts}", "playbooks/site.yml"]
    environment = {name: value for name, value in os.environ.items() if name != "ANSIBLE_LOG_PATH"}
    environment["ANSIBLE_CALLBACK_RESULT_FORMAT"] = "json"
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=environment) as running:
        assert running.stdout
        reached = False
        for line in running.stdout:
            lines.append(line)
            # The task is under way when Ansible says by which connection.
            reached = reached or bool(step.kill_at) and line.startswith("TASK") and step.kill_at in line
            if reached and "ESTABLISH SSH CONNECTION" in line:
                time.sleep(KILLED_AFTER_SECONDS)
                running.kill()
                break
    return Run("".join(lines))
