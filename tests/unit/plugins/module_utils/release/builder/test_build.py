"""Releases on disk: found again, cleaned up after an interruption, one builder at a time, sealed."""

from __future__ import annotations

import datetime
import gzip
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder import finalize as finish
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.build import Build
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.sandbox import hint, tail
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import (
    Releases,
    fingerprint,
    new_id,
)
from ansible_collections.bulwark.flask.plugins.module_utils.release.options import Options

PACKAGE = {"package": "shop==1.0"}
Make = Callable[..., Options]


@pytest.fixture(name="releases")
def _releases(tmp_path: Path) -> Releases:
    found = Releases(tmp_path)
    found.folder.mkdir()
    return found


def finished(releases: Releases, name: str, **facts: Any) -> Path:
    path = releases.folder / name
    for folder in ("src", "venv/bin"):
        (path / folder).mkdir(parents=True)
    (path / "venv/bin/python").symlink_to(sys.executable)
    releases.write_manifest(path, {"release": name, **facts}, -1)
    return path


@pytest.fixture(name="of")
def _of(make_options: Make) -> Callable[..., str]:
    """Makes the fingerprint of a release that differs in what is given."""

    def of(version: str = "3.13.5", source: Any = None, local: Any = None, **changed: Any) -> str:
        return fingerprint(Build(make_options(**changed), source or PACKAGE, local).identity(version, False))

    return of


@pytest.mark.parametrize(
    "changed",
    [
        {"source": {"package": "shop==1.1"}},
        {"static": {}},
        {"gunicorn_requirements": "gunicorn==2"},
        {"python": "/usr/bin/python3.14"},
        {"requirements": "pylock.toml"},
        {"version": "3.14.0"},
        {"source": {"archive": "https://x/y.zip", "sha256": "a" * 64}},
        {"source": {"git": "https://x/y", "version": "a" * 40}},
        {"shared": ["instance", "uploads"]},
        {"files": {"wikiconfig.py": "wikiconfig.py"}},
        {"build": ["flask translate compile"]},
        {"python_packages": ["cachetools"]},
        {"source": {"path": "x"}, "local": {"digest": "abc"}},
    ],
)
def test_the_fingerprint_changes_with_the_properties_of_a_release(of: Callable[..., str], changed: dict[str, Any]) -> None:
    assert of(**changed) != of()


@pytest.mark.parametrize(
    "changed",
    [
        {"version": "3.13.6"},
        {"by": "ann@desk"},
        {"build_timeout_seconds": 1},
        {"ca_bundle": "/x"},
        {"index_url": "https://mirror/simple"},
    ],
)
def test_the_fingerprint_ignores_other_properties(of: Callable[..., str], changed: dict[str, Any]) -> None:
    assert of(**changed) == of()


def test_the_same_commit_from_another_url_or_name_is_the_same_release(of: Callable[..., str]) -> None:
    assert of(source={"git": "https://a/x", "version": "a" * 40}) == of(source={"git": "git@b:x", "version": "a" * 40})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "../x"}, "no name of an application"),
        ({"subdirectory": "../x"}, "leads out"),
        ({"static": {"static": "x"}}, "no URL prefix"),
        ({"static": {"/../x": "x"}}, "no URL prefix"),
        ({"subdirectory": "x"}, "no meaning for a package"),
        ({"index_url": "https://jo:secret@mirror/simple"}, "must not contain a password"),
    ],
)
def test_bad_options_are_refused_before_anything_happens(make_options: Make, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ReleaseError, match=words):
        Build(make_options(**changed), PACKAGE, None)


def test_on_a_host_that_is_not_prepared_a_build_is_predicted(tmp_path: Path, make_options: Make) -> None:
    answer = Build(make_options(name="no-such-account", base=tmp_path / "nowhere"), PACKAGE, None).predict()
    assert answer["changed"] is True
    assert answer["reused"] is False
    assert not list(tmp_path.iterdir())


def test_an_id_sorts_by_time_and_names_the_contents() -> None:
    moment = datetime.datetime(2026, 11, 24, 6, 15, 2, tzinfo=datetime.timezone.utc)
    assert new_id("1f0c9a3e" + "0" * 56, moment) == "20261124-061502-1f0c9a3e"


def test_a_finished_release_is_found_and_an_unfinished_one_is_not(releases: Releases) -> None:
    finished(releases, "1", fingerprint="x")
    finished(releases, "2", fingerprint="x", commit="abcdef0123")
    (releases.folder / "3").mkdir()
    found = releases.find("x")
    assert found is not None
    assert found["release"] == "2"
    assert releases.find("y") is None
    assert releases.commit_starting_with("abcdef0") == "abcdef0123"


@pytest.mark.parametrize("gone", ["src", "venv", "venv/bin/python"])
def test_a_release_that_lost_a_part_is_built_again(releases: Releases, gone: str) -> None:
    finished(releases, "1", fingerprint="x")
    assert releases.find("x")
    path = releases.folder / "1" / gone
    path.rename(releases.folder / "away")
    assert releases.find("x") is None


def test_a_copied_or_broken_manifest_counts_for_nothing(releases: Releases) -> None:
    (releases.folder / "1").mkdir()
    (releases.folder / "1/manifest.json").write_text('{"release": "other", "fingerprint": "x"}')
    (releases.folder / "2").mkdir()
    (releases.folder / "2/manifest.json").write_text("{")
    assert releases.find("x") is None


def test_leftovers_are_removed_and_finished_releases_stay(releases: Releases) -> None:
    finished(releases, "1")
    (releases.folder / "2/src").mkdir(parents=True)
    (releases.folder / ".failed-0").mkdir()
    assert releases.remove_leftovers(failed=False) == ["2"]
    assert releases.remove_leftovers(failed=True) == [".failed-0"]
    assert [path.name for path in releases.folder.iterdir()] == ["1"]


def test_the_error_of_a_second_build_names_the_first(releases: Releases) -> None:
    with releases.lock.hold("shop", "jo@laptop"):
        assert releases.lock.is_held()
        with (
            pytest.raises(ReleaseError, match=r"jo@laptop, since .* UTC, process \d+") as caught,
            releases.lock.hold("shop", "al@desk"),
        ):
            pass
        assert caught.value.step == "lock"
    assert not releases.lock.is_held()


def test_a_check_of_the_lock_creates_no_file(releases: Releases) -> None:
    assert not releases.lock.is_held()
    assert not releases.lock.file.exists()


def test_a_sealed_tree_has_no_special_modes_no_special_files_and_no_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish.os, "chown", lambda *_, **__: None)
    root = tmp_path / "tree"
    (root / "bin/.git").mkdir(parents=True)
    (root / "bin/tool").touch()
    (root / "bin/tool").chmod(0o6777)
    (root / "data").touch()
    (root / "data").chmod(0o666)
    os.mkfifo(root / "fifo")
    (root / "link").symlink_to("/etc/passwd")
    finish.seal(root, -1)
    modes = {
        str(path.relative_to(root)): stat.S_IMODE(path.lstat().st_mode) for path in root.rglob("*") if not path.is_symlink()
    }
    assert modes == {"bin": 0o750, "bin/tool": 0o750, "data": 0o640}
    assert (root / "link").is_symlink()


def test_links_among_static_files_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "s/css").mkdir(parents=True)
    (tmp_path / "s/css/a.css").write_text("a")
    (tmp_path / "s/passwd").symlink_to("/etc/passwd")
    (tmp_path / "s/etc").symlink_to("/etc")
    left_out = finish.copy_static(tmp_path / "s", tmp_path / "out/static")
    assert sorted(Path(path).name for path in left_out) == ["etc", "passwd"]
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["static", "css", "a.css"]


def test_texts_are_compressed_once_for_the_web_server(tmp_path: Path) -> None:
    text = b"a { color: red }\n" * 200
    for name, data in (("css/a.css", text), ("b.JS", text), ("short.css", b"a {}"), ("photo.jpg", text), ("own.csv", text)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "own.csv.gz").write_bytes(gzip.compress(text, 1))
    own = (tmp_path / "own.csv.gz").read_bytes()
    os.utime(tmp_path / "css/a.css", (1, 1))
    assert finish.compress(tmp_path) == []
    assert sorted(path.name for path in tmp_path.rglob("*.gz")) == ["a.css.gz", "b.JS.gz", "own.csv.gz"]
    assert gzip.decompress((tmp_path / "css/a.css.gz").read_bytes()) == text
    assert (tmp_path / "css/a.css.gz").stat().st_mtime == 1, "Last-Modified is the same for both"
    assert (tmp_path / "own.csv.gz").read_bytes() == own


@pytest.mark.parametrize("stale", [gzip.compress(b"b {}"), gzip.compress(b"a { }" * 2), gzip.compress(b"a { }")[:-9], b"no gzip", b""],
                         ids=["other", "longer", "cut off", "another format", "empty"])
def test_a_compressed_file_of_another_text_is_replaced(tmp_path: Path, stale: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(b"a { }")
    (tmp_path / "a.bin.gz").write_bytes(stale)
    assert finish.compress(tmp_path) == [str(tmp_path / "a.bin.gz")]
    assert gzip.decompress((tmp_path / "a.bin.gz").read_bytes()) == b"a { }"


@pytest.mark.parametrize("wanted", ["../x", "/etc", "gone", "link"])
def test_a_static_directory_must_be_in_the_source(tmp_path: Path, wanted: str) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(ReleaseError, match="static") as caught:
        finish.find_static([tmp_path], wanted)
    assert caught.value.step == "static"


@pytest.mark.parametrize(("prefix", "target"), [("/static/", "static"), ("/a/b", "a/b"), ("/", "")])
def test_static_files_lie_at_their_url_path(prefix: str, target: str) -> None:
    assert finish.static_target(prefix) == target


def test_an_error_shows_the_last_twenty_lines_and_a_hint() -> None:
    assert tail("\n".join(map(str, range(50)))).split() == [str(number) for number in range(30, 50)]
    assert "disk is full" in hint("OSError: [Errno 28] No space left on device")
    assert "ca_bundle" in hint("invalid peer certificate: UnknownIssuer")
