"""A clone works with an existing ansible-core, without a setup."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files as they are in the work tree, below a name that is not the collection's."""
    target = tmp_path_factory.mktemp("elsewhere") / "my-clone"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    for name in listed:
        if os.path.lexists(ROOT / name):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    shutil.copy2(ROOT / "inventory.example", target / "inventory.yml")
    return target


def run(clone: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the clone as a user whose environment says nothing of this project."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(clone.parent), "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("playbook", sorted(path.name for path in (ROOT / "playbooks").glob("*.yml")))
def test_a_playbook_finds_roles_and_modules(clone: Path, playbook: str) -> None:
    result = run(clone, "ansible-playbook", "--syntax-check", "-i", "inventory.yml", f"playbooks/{playbook}")
    assert result.returncode == 0, result.stderr


def test_the_inputs_are_checked_by_the_modules_of_the_clone(clone: Path) -> None:
    (clone / "broken.yml").write_text(
        "all: {hosts: {web1: {ansible_connection: local}}, vars: {flask_apps: {shop: {domain: [shop.example.com]}}}}\n", encoding="utf-8")
    result = run(clone, "ansible-playbook", "-i", "broken.yml", "playbooks/status.yml")
    assert result.returncode != 0
    assert "couldn't resolve" not in result.stdout + result.stderr
    assert "domains" in result.stdout


def test_documentation_is_found(clone: Path) -> None:
    result = run(clone, "ansible-doc", "bulwark.flask.file_set")
    assert result.returncode == 0, result.stderr
