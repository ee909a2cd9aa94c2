"""Archives of the controller: reproducible and without secrets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.pack import (
    entries,
    git_state,
    is_left_out,
    pack,
    tree_digest,
)
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.unpack import ArchiveError, unpack


@pytest.fixture(name="tree")
def _tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for name in (
        "shop/__init__.py",
        "shop/static/a.css",
        "requirements.txt",
        ".env",
        ".env.production",
        ".env.example",
        ".git/config",
        ".venv/bin/python",
        "node_modules/x.js",
        "shop/__pycache__/a.pyc",
        "env/pyvenv.cfg",
        "env/lib/x.py",
    ):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tree / ".git").rename(tmp_path / "not-a-repository")
    (tree / "deploy.key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n")
    return tree


def names(tree: Path) -> list[str]:
    return [entry.name for entry in entries(tree)[0]]


def repository(tree: Path) -> None:
    for command in (
        ["init", "-q"],
        ["add", "requirements.txt"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", "-C", str(tree), *command], check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"})


def test_secrets_caches_and_venvs_are_left_out(tree: Path) -> None:
    assert names(tree) == [".env.example", "requirements.txt", "shop/__init__.py", "shop/static/a.css"]


def test_a_private_key_is_left_out_and_named_whatever_its_file_is_called(tree: Path) -> None:
    (tree / "shop/innocent.txt").write_text("-----BEGIN PRIVATE KEY-----\nsecret\n")
    found, keys = entries(tree)
    assert keys == ["deploy.key", "shop/innocent.txt"]
    assert not {"deploy.key", "shop/innocent.txt"} & {entry.name for entry in found}


def test_gitignore_counts_in_a_work_tree(tree: Path) -> None:
    repository(tree)
    (tree / ".gitignore").write_text("/shop/static\n")
    assert "shop/static/a.css" not in names(tree)
    assert "shop/__init__.py" in names(tree)


def test_a_committed_env_file_is_left_out_all_the_same(tree: Path) -> None:
    repository(tree)
    subprocess.run(["git", "-C", str(tree), "add", "-f", ".env"], check=True)
    assert ".env" not in names(tree)


def test_a_file_deleted_from_the_work_tree_is_no_error(tree: Path) -> None:
    repository(tree)
    (tree / "requirements.txt").unlink()
    assert "requirements.txt" not in names(tree)


def test_an_ignored_directory_is_packed_when_it_is_the_source_itself(tree: Path) -> None:
    repository(tree)
    (tree / ".gitignore").write_text("/shop\n")
    assert "__init__.py" in names(tree / "shop")
    assert git_state(tree / "shop") == {}


def test_the_manifest_has_the_commit_and_whether_there_are_changes(tree: Path) -> None:
    assert git_state(tree) == {}
    repository(tree)
    state = git_state(tree)
    assert len(str(state["commit"])) == 40
    assert state["modified"] is True


def test_two_packs_are_the_same_bytes_whatever_the_times_and_modes_are(tree: Path, tmp_path: Path) -> None:
    pack(entries(tree)[0], tmp_path / "one")
    digest = tree_digest(entries(tree)[0])
    for path in tree.rglob("*"):
        os.utime(path, (1, 1))
    (tree / "requirements.txt").chmod(0o600)
    pack(entries(tree)[0], tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert tree_digest(entries(tree)[0]) == digest


@pytest.mark.parametrize("change", ["content", "name", "executable", "link"])
def test_the_digest_changes_with_relevant_properties(tree: Path, change: str) -> None:
    before = tree_digest(entries(tree)[0])
    file = tree / "requirements.txt"
    if change == "content":
        file.write_text("flask")
    elif change == "name":
        file.rename(tree / "requirements2.txt")
    elif change == "executable":
        file.chmod(0o755)
    else:
        (tree / "link").symlink_to("shop")
    assert tree_digest(entries(tree)[0]) != before


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "shop/../../outside"])
def test_a_link_that_leaves_the_tree_is_refused_by_name(tree: Path, target: str) -> None:
    (tree / "link").symlink_to(target)
    with pytest.raises(ArchiveError, match="link -> "):
        entries(tree)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="contains no file"):
        entries(tmp_path)


def test_a_packed_directory_is_unpacked_unchanged(tree: Path, tmp_path: Path) -> None:
    (tree / "run.sh").write_text("x")
    (tree / "run.sh").chmod(0o700)
    (tree / "link").symlink_to("shop/static")
    pack(entries(tree)[0], tmp_path / "packed")
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "packed", tmp_path / "out", False)
    assert tree_digest(entries(tmp_path / "out")[0]) == tree_digest(entries(tree)[0])
    assert (tmp_path / "out/run.sh").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "out/link").readlink() == Path("shop/static")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".env", True),
        ("a/.env.local", True),
        (".env.example", False),
        ("a/.git/x", True),
        ("git/x.py", False),
        ("a/b.pyc", True),
        ("environment.py", False),
        (".vault_pass.txt", True),
    ],
)
def test_names_that_are_never_deployed(name: str, expected: bool) -> None:
    assert is_left_out(name) is expected


def test_git_runs_no_program_that_the_directory_names(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "app.py").touch()
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    for argv in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"],
                 ["config", "core.fsmonitor", str(program)]):
        subprocess.run(["git", "-C", str(tree), *argv], check=True)
    entries(tree)
    git_state(tree)
    assert not (tmp_path / "ran").exists()
