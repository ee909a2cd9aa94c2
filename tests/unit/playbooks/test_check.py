"""The check of the inputs with which every playbook begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.bulwark.flask.tests.unit.support import ROOT, ansible_playbook


def check(folder: Path, playbook: str, variables: dict[str, object]) -> str:
    """The output of the first play of a playbook, without the facts of a host."""
    play = yaml.safe_load((ROOT / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8"))[0]
    given = {key: value for key, value in play["tasks"][1].items() if not key.startswith("ansible.builtin.")}
    task = {**given, "ansible.builtin.include_tasks": str(ROOT / "playbooks/tasks/check.yml")}
    (folder / "play.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": [task]}]), encoding="utf-8")
    (folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"web": None}, "vars": variables}}), encoding="utf-8")
    done = ansible_playbook(folder, "-i", "inventory.yml", "play.yml")
    return "passed" if done.returncode == 0 else " ".join((done.stdout + done.stderr).split())


def test_the_host_needs_no_applications(tmp_path: Path) -> None:
    assert check(tmp_path, "host", {"host_baseline_tmp_exec": True}) == "passed"
    assert "host_baseline_tmp_exex is unknown; did you mean host_baseline_tmp_exec?" in check(tmp_path, "host", {"host_baseline_tmp_exex": True})


@pytest.mark.parametrize("playbook", ["site", "deploy"])
def test_playbooks_of_applications_need_some(tmp_path: Path, playbook: str) -> None:
    assert "flask_apps is missing" in check(tmp_path, playbook, {})
