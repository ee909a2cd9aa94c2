"""What every playbook refuses before it needs a host: this one cannot be reached."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.tests.unit.checkout import ROOT
from ansible_collections.bulwark.flask.tests.unit.environments import environment
from ansible_collections.bulwark.flask.tests.unit.support import ansible_playbook

INVENTORY = """
all:
  hosts: {web: {ansible_host: 127.0.0.1, ansible_port: 1}}
  vars:
    acme_cert_email: ops@example.com
    flask_apps: {shop: {domains: [shop.example.com], source: {git: "https://git.example.com/shop.git"}, wsgi: "shop:app"}}
"""
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))


def words(done: subprocess.CompletedProcess[str]) -> str:
    """The output of a run that failed, without line breaks."""
    assert done.returncode != 0
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_an_old_ansible_core_in_one_line(tmp_path: Path, playbook: str) -> None:
    (tmp_path / "inventory.yml").write_text(INVENTORY, encoding="utf-8")
    command = environment("too-old", ROOT / "requirements/too-old.txt") / "ansible-playbook"
    output = words(subprocess.run([command, "-i", tmp_path / "inventory.yml", f"playbooks/{playbook}.yml", "-e", "app=shop"], capture_output=True, text=True,
                                  check=False, cwd=ROOT, stdin=subprocess.DEVNULL, env={**os.environ, "ANSIBLE_HOME": str(tmp_path), "ANSIBLE_NOCOLOR": "1"}))
    assert "bulwark.flask needs 2.19 or later" in output, output
    assert output.count("FAILED!") == 1 and "Traceback" not in output, output


# host.yml has no applications; inspect.yml is for any directory; remove.yml also for what is not in the inventory any more.
@pytest.mark.parametrize("playbook", sorted({*PLAYBOOKS} - {"host", "inspect", "remove"}))
def test_an_application_that_is_not_in_the_inventory(tmp_path: Path, playbook: str) -> None:
    (tmp_path / "inventory.yml").write_text(INVENTORY, encoding="utf-8")
    output = words(ansible_playbook(tmp_path, "-i", "inventory.yml", str(ROOT / "playbooks" / f"{playbook}.yml"), "-e", "app=shpo state=on"))
    assert "app=shpo is not an application of the inventory; there are: shop" in output, output
