"""Runs of the playbook, each with something that fails."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host.playbooks import Playbooks, Run
from testhosts import scenario

ROOT = Path(__file__).resolve().parents[3]

STATE = scenario().folder
EAB_KEY = STATE / "eab-key"
KILLED_AFTER_SECONDS = 4


@dataclass(frozen=True)
class Step:
    """One run of the playbook: what is different for each host, in which task it is killed, on which hosts it is, and its tags."""

    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    kill_at: str = ""
    hosts: str = "all"
    tags: str = "all"


BOUND = {"eab_kid": "kid-1", "eab_hmac_key": "{{ lookup('ansible.builtin.file', test_state ~ '/eab-key') }}"}
# The parts of a run that these steps are about; the last step runs all.
RELEASE = "app_release,acme_cert"
STEPS = {
    "clash": Step({"debian13": {"catch_all": True}}, kill_at="app_release : release | Build"),
    "a key of root's": Step({"debian13": {"unprivileged": True}}, hosts="debian13"),
    "CA down": Step({"debian13": {"directory_url": "https://pebble:9/dir"}}),
    "CA refuses": Step({"debian13": {"directory_url": "https://pebble:14000/dir", "more_domains": ["nowhere.debian13.example.test"],
                                            "acme_cert": {"preflight": False}},
                               "debian12": {"source": f"{STATE}/failures-changed-package"}}, tags=RELEASE),
    "CA requires a binding": Step({"debian12": {"source": f"{STATE}/failures-not-importable"}}, tags=RELEASE),
    "corrected": Step({"debian13": {"acme_cert": BOUND}}, tags=RELEASE),
    "again": Step({"debian13": {"acme_cert": BOUND}}),
}


def play(step: Step) -> Run:
    """Run the playbook; one that is killed is killed as by a machine that is switched off."""
    inventory = STATE / "failures-step.json"
    inventory.write_text(json.dumps({"web": {"hosts": {host: {"step": step.changes.get(host, {})} for host in ("debian13", "debian12")}}}))
    playbooks = Playbooks.verbose([str(ROOT / "molecule/inventory"), str(ROOT / "molecule/failures/inventory"), str(inventory)])
    if not step.kill_at:
        return playbooks.run("site", f"--limit={step.hosts}", f"--tags={step.tags}")
    lines, reached = [], False
    with playbooks.start("site", f"--limit={step.hosts}") as running:
        assert running.stdout
        for line in running.stdout:
            lines.append(line)
            # The task is under way when Ansible says by which connection.
            reached = reached or line.startswith("TASK") and step.kill_at in line
            if reached and "ESTABLISH SSH CONNECTION" in line:
                time.sleep(KILLED_AFTER_SECONDS)
                running.kill()
                break
    return Run(running.returncode, "".join(lines))
