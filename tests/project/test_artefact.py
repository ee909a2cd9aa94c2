"""The contents of the artefact of `ansible-galaxy collection build`: the collection, and no other files of the clone."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# For developers and their tools only.
DEVELOPMENT = ("tests/", "molecule/", "tools/", "requirements/", ".github/", ".ci/", ".config/", ".ansible/")
DEVELOPMENT_FILES = {".ansible-lint", ".editorconfig", ".gitignore", ".pre-commit-config.yaml", "Makefile", "ansible.cfg", "galaxy.yml",
                     "pyproject.toml", "renovate.json"}
STRAY = [
    ".env", ".vault_pass", "id_ed25519", "inventory.yml", "inventory.ini", "production.yml", "group_vars/all/vault.yml", "host_vars/web1.yml",
    "playbooks/inventory.yml", "playbooks/group_vars/all.yml", "playbooks/host_vars/web1.yml", "templates/nginx_site_shop.conf.j2",
    "roles/app_secrets/.env", "roles/app_secrets/files/shop.key", "examples/shop/.env", "examples/shop/shop.sqlite3",
    "examples/shop/.venv/lib/module.py", "build/notes.md", "plugins/modules/release.pyc",
]


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """The files of the repository, committed or not, that nothing ignores."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}


@pytest.fixture(scope="module")
def packed(tracked: set[str], tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files of an artefact that is built while an operator's own files lie in the clone."""
    clone, artefact = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("artefact")
    for name in tracked:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            (clone / name).symlink_to((ROOT / name).readlink())
        else:
            (clone / name).write_bytes((ROOT / name).read_bytes())
    for name in STRAY:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text("a secret\n", encoding="utf-8")
    subprocess.run(["ansible-galaxy", "collection", "build", "--output-path", artefact, clone], check=True, capture_output=True)
    with tarfile.open(next(artefact.glob("bulwark-flask-*.tar.gz"))) as archive:
        return {member.name for member in archive if member.isfile()} - {"MANIFEST.json", "FILES.json"}


def test_nothing_of_an_operator_is_packed(packed: set[str]) -> None:
    assert packed.isdisjoint(STRAY)


def test_nothing_is_packed_that_is_no_file_of_the_repository(packed: set[str], tracked: set[str]) -> None:
    assert packed - tracked == set()


def test_every_file_of_the_collection_is_packed(packed: set[str], tracked: set[str]) -> None:
    development = {name for name in tracked if name.startswith(DEVELOPMENT) or name in DEVELOPMENT_FILES}
    # Links of this clone, which the artefact does not have, are for the tests only.
    assert {name for name in tracked - development if not (ROOT / name).is_symlink()} == packed
