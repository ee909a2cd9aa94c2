"""Which file decides about the dependencies, and whether its hashes count."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder import dependencies
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError

ALL = ["uv.lock", "pylock.toml", "requirements.txt", "pyproject.toml"]


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize("first", range(4))
def test_the_most_exact_lock_wins(tmp_path: Path, first: int) -> None:
    for name in ALL[first:]:
        (tmp_path / name).write_text("")
    assert dependencies.plan(tmp_path, "auto").file == ALL[first]


def test_a_source_without_dependencies_is_told_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"none of uv\.lock, pylock\.toml, requirements\.txt, pyproject\.toml"):
        dependencies.plan(tmp_path, "auto")


@pytest.mark.parametrize("wanted", ["missing.txt", "../outside.txt"])
def test_a_named_file_must_be_in_the_source(tmp_path: Path, wanted: str) -> None:
    (tmp_path / "outside.txt").write_text("flask")
    (tmp_path / "src").mkdir()
    with pytest.raises(ReleaseError, match="has no file"):
        dependencies.plan(tmp_path / "src", wanted)


@pytest.mark.parametrize(
    ("text", "hashes"),
    [
        ("flask==3.1.3\n", False),
        ("flask==3.1.3 \\\n    --hash=sha256:aa\n", True),
        ("-r base.txt\n", True),
    ],
)
def test_hashes_are_found_in_the_file_and_in_what_it_includes(tmp_path: Path, text: str, hashes: bool) -> None:
    write(tmp_path, requirements__txt=text, base__txt="-r requirements.txt\nflask==3.1.3 --hash=sha256:aa\n")
    assert dependencies.plan(tmp_path, "auto").hashes is hashes


def test_an_include_from_outside_of_the_source_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    write(tmp_path, base__txt="--hash=")
    write(tmp_path / "src", requirements__txt="-r ../base.txt")
    assert dependencies.plan(tmp_path / "src", "auto").hashes is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [("[project]\nname='x'\n", False), ("[build-system]\nrequires=[]\n", True), ("# [build-system]", False)],
)
def test_a_project_that_says_how_it_is_built_is_installed_too(tmp_path: Path, text: str, expected: bool) -> None:
    write(tmp_path, requirements__txt="", pyproject__toml=text)
    assert dependencies.plan(tmp_path, "auto").is_package is expected


def test_a_version_is_read_off_the_venv(tmp_path: Path) -> None:
    (tmp_path / "lib/python3.13/site-packages/gunicorn-27.0.1.dist-info").mkdir(parents=True)
    assert dependencies.installed_version(tmp_path, "gunicorn") == "27.0.1"
    assert dependencies.installed_version(tmp_path, "flask") is None
