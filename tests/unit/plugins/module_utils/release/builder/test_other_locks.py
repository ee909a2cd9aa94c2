"""Lock files of Poetry and Pipenv become requirements with their hashes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder import dependencies
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.other_locks import as_requirements
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError

POETRY = """
[[package]]
name = "flask"
version = "3.1.3"
optional = false
groups = ["main"]
files = [{file = "flask-3.1.3.whl", hash = "sha256:aa"}, {file = "flask-3.1.3.tar.gz", hash = "sha256:bb"}]

[package.dependencies]
itsdangerous = ">=2"

[[package]]
name = "colorama"
version = "0.4.6"
optional = false
groups = ["main", "dev"]
files = [{file = "colorama.whl", hash = "sha256:cc"}]
markers = {main = "platform_system == \\"Windows\\"", dev = "sys_platform == \\"win32\\""}

[[package]]
name = "pytest"
version = "8.4.0"
optional = false
groups = ["dev"]
files = [{file = "pytest.whl", hash = "sha256:dd"}]

[[package]]
name = "psycopg2"
version = "2.9.10"
optional = true
groups = ["main"]
files = [{file = "psycopg2.tar.gz", hash = "sha256:ee"}]
markers = "extra == \\"pgsql\\""

[metadata]
lock-version = "2.1"
"""
OWN = POETRY.replace("[metadata]", """[[package]]
name = "own"
version = "1.0"
optional = false
groups = ["main"]
files = []

[package.source]
type = "git"
url = "https://git.example.com/own.git"
reference = "main"
resolved_reference = "0123456789abcdef0123456789abcdef01234567"
subdirectory = "python"

[metadata]""")
PIPFILE = {"_meta": {"sources": []}, "default": {
    "flask": {"version": "==3.1.3", "hashes": ["sha256:aa"], "index": "pypi", "markers": "python_version >= '3.9'"},
    "redis": {"version": "==6.0.0", "hashes": ["sha256:bb"], "extras": ["hiredis"]},
    "own": {"git": "https://git.example.com/own.git", "ref": "0123456"}, "shop": {"editable": True, "path": "."}},
    "develop": {"pytest": {"version": "==8.4.0", "hashes": ["sha256:dd"]}}}


def poetry(groups: tuple[str, ...] = (), extras: tuple[str, ...] = (), text: str = POETRY) -> list[str]:
    return as_requirements("poetry.lock", text, groups, extras).replace(" \\\n    ", " ").splitlines()


def test_a_poetry_lock_gives_the_dependencies_with_hashes() -> None:
    flask, colorama, psycopg2 = poetry()
    assert flask == "flask==3.1.3 --hash=sha256:aa --hash=sha256:bb"
    assert colorama == 'colorama==0.4.6 ; (platform_system == "Windows") --hash=sha256:cc'
    assert psycopg2 == 'psycopg2==2.9.10 ; (python_version < "3") --hash=sha256:ee'


def test_groups_and_extras_are_added() -> None:
    lines = poetry(("dev",), ("pgsql",))
    assert lines[1] == 'colorama==0.4.6 ; (platform_system == "Windows") or (sys_platform == "win32") --hash=sha256:cc'
    assert lines[2:] == ["pytest==8.4.0 --hash=sha256:dd", 'psycopg2==2.9.10 ; (python_version >= "3") --hash=sha256:ee']


def test_a_repository_is_named_by_its_commit() -> None:
    assert poetry(text=OWN)[-1] == "own @ git+https://git.example.com/own.git@0123456789abcdef0123456789abcdef01234567#subdirectory=python"


def test_the_error_of_an_old_poetry_lock_has_the_remedy() -> None:
    with pytest.raises(ReleaseError, match=r"Run `poetry lock` with Poetry 2 and commit the file\. Otherwise: Run `poetry export > requirements.txt`"):
        poetry(text=POETRY.replace("2.1", "2.0"))


def test_pipenv_names_its_packages_and_leaves_the_project_out() -> None:
    text = as_requirements("Pipfile.lock", json.dumps(PIPFILE), ("develop",), ())
    assert text.replace(" \\\n    ", " ").splitlines() == [
        "flask==3.1.3 ; python_version >= '3.9' --hash=sha256:aa", "redis[hiredis]==6.0.0 --hash=sha256:bb",
        "own @ git+https://git.example.com/own.git@0123456", "pytest==8.4.0 --hash=sha256:dd"]


@pytest.mark.parametrize(("name", "text"), [("Pipfile.lock", "{"), ("poetry.lock", "[[package]]"), ("Pipfile.lock", '{"default": 3}')])
def test_a_lock_that_cannot_be_read_is_an_error_with_the_remedy(name: str, text: str) -> None:
    with pytest.raises(ReleaseError, match=rf"{name} cannot be read: .*requirements: requirements.txt"):
        as_requirements(name, text, (), ())


def test_an_unknown_group_is_named_with_those_that_are_there() -> None:
    with pytest.raises(ReleaseError, match=r"Pipfile\.lock has no group docs; it has default, develop"):
        as_requirements("Pipfile.lock", json.dumps(PIPFILE), ("docs",), ())


@pytest.mark.parametrize(("text", "hashes"), [(POETRY, True), (OWN, False)])
def test_hashes_count_where_everything_has_them(tmp_path: Path, text: str, hashes: bool) -> None:
    (tmp_path / "poetry.lock").write_text(text)
    (tmp_path / "pyproject.toml").write_text("[tool.poetry]\npackage-mode = false\n[build-system]\nrequires = []\n")
    found = dependencies.plan(tmp_path, "auto")
    assert (found.file, found.kind, found.hashes, found.is_package) == ("poetry.lock", "other", hashes, False)
