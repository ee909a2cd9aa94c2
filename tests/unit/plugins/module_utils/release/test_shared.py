"""Files that an application writes beside its code survive releases, and are created as its account."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.shared import Shared, link_files, problems
from ansible_collections.bulwark.flask.plugins.module_utils.release.writes import entry_of, written

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def release() -> Iterator[Path]:
    """A sealed release, and a state directory of another account, which may not enter pytest's own directories."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        (Path(name) / "release" / "src").mkdir(parents=True)
        state = Path(name) / "state"
        state.mkdir()
        os.chown(state, NOBODY.pw_uid, NOBODY.pw_gid)
        yield Path(name) / "release"


def shared(release: Path, *entries: str) -> Shared:
    return Shared("shop", list(entries), release.parent / "state")


def deploy(release: Path, *entries: str) -> Shared:
    found = shared(release, *entries)
    found.link(release, release / "src", NOBODY.pw_gid)
    found.prepare(release, NOBODY.pw_uid, NOBODY.pw_gid)
    return found


def test_files_written_in_the_release_are_in_the_state_directory(release: Path) -> None:
    deploy(release, "instance", "data/uploads")
    (release / "src" / "instance" / "app.db").write_text("rows")
    (release / "src" / "data" / "uploads" / "a.png").write_text("image")
    assert (release.parent / "state" / "shared" / "instance" / "app.db").read_text() == "rows"
    assert (release.parent / "state" / "shared" / "data" / "uploads" / "a.png").read_text() == "image"


def test_a_file_may_be_made_by_the_application_where_the_source_has_none(release: Path) -> None:
    deploy(release, "data/app.db")
    (release / "src" / "data" / "app.db").write_text("rows")
    assert (release.parent / "state" / "shared" / "data" / "app.db").read_text() == "rows"


def test_contents_of_the_source_are_the_first_contents_and_replace_nothing_later(release: Path) -> None:
    (release / "src" / "uploads").mkdir()
    (release / "src" / "uploads" / "default.png").write_text("from the source")
    found = deploy(release, "uploads")
    default = release / "src" / "uploads" / "default.png"
    assert default.read_text() == "from the source"
    default.write_text("changed by the application")
    found.prepare(release, NOBODY.pw_uid, NOBODY.pw_gid)
    assert default.read_text() == "changed by the application"


def test_everything_in_the_state_directory_belongs_to_the_application_only(release: Path) -> None:
    (release / "src" / "uploads").mkdir()
    (release / "src" / "uploads" / "default.png").write_text("")
    deploy(release, "uploads", "instance")
    for path in (release.parent / "state" / "shared").rglob("*"):
        assert path.stat().st_uid == NOBODY.pw_uid
        assert path.stat().st_mode & 0o077 == 0


def test_a_link_that_the_application_planted_gives_no_rights(release: Path) -> None:
    target = release.parent / "of-root"
    target.mkdir(mode=0o700)
    os.symlink(target, release.parent / "state" / "shared")
    with pytest.raises(ReleaseError, match="cannot be prepared as shop"):
        deploy(release, "instance")
    assert list(target.iterdir()) == []


def test_a_directory_that_is_a_link_in_the_source_is_refused(release: Path) -> None:
    os.symlink("/etc", release / "src" / "data")
    with pytest.raises(ReleaseError, match="shared: data is no directory of the source; remove data/uploads"):
        deploy(release, "data/uploads")


def test_a_link_of_the_source_that_leads_to_the_state_directory_stays(release: Path) -> None:
    os.symlink(release.parent / "state" / "files", release / "src" / "uploads")
    deploy(release, "uploads")
    assert os.readlink(release / "src" / "uploads").endswith("state/files")


def test_paths_that_leave_the_source_or_overlap_are_all_named() -> None:
    assert problems(["instance", "data/app.db"]) == []
    assert len(problems(["/var/data", "../data", ".", "a/b", "a"])) == 4


@pytest.mark.parametrize(("text", "place"), [
    ("OSError: [Errno 30] Read-only file system: 'logs'", "logs"),
    ("OSError: [Errno 30] Read-only file system: '/srv/shop/releases/2026-1/src/app/static/uploads/a.png'", "app/static/uploads"),
    ("fatal: cannot mkdir repository: Read-only file system", "repository"),
    ("mkdir: cannot create directory ‘uploads’: Read-only file system", "uploads"),
    ('    db = sqlite3.connect("data.db")\n         ~~~~~~~~^^^^^^^^^^\nsqlite3.OperationalError: unable to open database file', "data.db"),
    ("PermissionError: [Errno 13] Permission denied: '/srv/shop/instances/2026-1.task/release/src/app.db'", "app.db"),
])
def test_the_error_of_a_write_below_a_release_has_the_setting_to_write(release: Path, text: str, place: str) -> None:
    assert f"shared: [instance, {place}]" in shared(release, "instance").advice(text)
    assert shared(release, "instance").line(text) == f"shared: [instance, {place}]"


def test_other_failures_have_no_advice(release: Path) -> None:
    for text in ("OSError: [Errno 30] Read-only file system: '/etc/hosts'", "PermissionError: [Errno 13] Permission denied: 'ping'"):
        assert shared(release, "instance").advice(text) == ""


# --- places that deployments find ------------------------------------------------------------------


def find(release: Path, *paths: str) -> list[str]:
    found = shared(release, "instance")
    return found.find(release, release / "src", paths)


def test_what_an_application_writes_is_kept_by_its_directory(release: Path) -> None:
    assert find(release, "uploads", "app.db", "data/cache/a.bin", "instance/app.db", "uploads/b.png") == ["uploads", "app.db", "data/cache"]


@pytest.mark.parametrize("code", ["models.py", "page.html", "deep/module.so"])
def test_a_directory_with_code_is_not_given_to_the_application(release: Path, code: str) -> None:
    (release / "src" / "app" / code).parent.mkdir(parents=True)
    (release / "src" / "app" / code).write_text("")
    assert find(release, "app/app.db", "app", f"app/{code}") == ["app/app.db"]


def test_no_path_leads_out_of_the_release(release: Path) -> None:
    os.symlink("/etc", release / "src" / "data")
    (release / "src" / "file").write_text("")
    assert find(release, "../x", "/etc/x", ".", "data/cache", "file/x/y") == []


def test_places_in_packages_are_kept_too(release: Path) -> None:
    packages = release / "venv" / "lib" / "python3.13" / "site-packages"
    (packages / "search" / "static").mkdir(parents=True)
    found = shared(release, "instance")
    path = "/srv/shop/instances/1/release/venv/lib/python3.13/site-packages/search/static/config/a.json"
    assert found.find(release, release / "src", written(f"[Errno 30] Read-only file system: '{path}'")) == ["site-packages/search/static/config"]
    found.link(release, release / "src", NOBODY.pw_gid)
    found.prepare(release, NOBODY.pw_uid, NOBODY.pw_gid)
    (packages / "search/static/config/a.json").write_text("{}")
    assert (release.parent / "state/shared/site-packages/search/static/config/a.json").exists()


def test_the_target_of_a_copy_is_what_cannot_be_written() -> None:
    base = "/srv/search/releases/20261129-192658-d437b68f/venv/lib/python3.13/site-packages/app/static"
    assert written(f"OSError: [Errno 30] Read-only file system: '{base}/css/a.css' -> '{base}/build/a.1f.css'") == ["site-packages/app/static/build/a.1f.css"]


def test_the_instance_folder_of_an_installed_application_is_in_the_state_directory(release: Path) -> None:
    (release / "venv").mkdir()
    deploy(release, "instance")
    (release / "venv/var/shop-instance").mkdir()
    assert (release.parent / "state/shared/instance/shop-instance").is_dir()


def test_a_place_that_the_inventory_names_later_is_no_longer_a_found_one(release: Path) -> None:
    assert Shared("shop", ["instance", "data"], release.parent / "state", ["data/cache", "uploads"]).detected == ["uploads"]


@pytest.mark.parametrize(("path", "subdirectory", "entry"), [
    ("uploads", "", "uploads"), ("/srv/shop/releases/1/src/web/uploads", "web", "uploads"), ("/srv/shop/releases/1/src/uploads", "web", ""),
    ("/var/lib/shop/uploads", "", ""), ("/srv/shop/releases/1/src/../../x", "", ""), ("/srv/shop/releases/1/venv/bin/x", "", ""),
])
def test_a_path_of_the_application_is_an_entry_where_it_is_below_the_release(path: str, subdirectory: str, entry: str) -> None:
    assert entry_of(path, subdirectory) == entry


# --- files that systemd passes --------------------------------------------------------------------


def test_a_file_of_the_entry_is_a_link_at_its_path_and_replaces_a_sample(release: Path) -> None:
    source = release / "src"
    (source / "wikiconfig.py").write_text("sample")
    link_files(source, {"wikiconfig.py": "wikiconfig.py", "conf/app/isso.cfg": "isso.cfg"}, NOBODY.pw_gid)
    assert os.readlink(source / "wikiconfig.py") == "/run/flask-files/wikiconfig.py"
    assert os.readlink(source / "conf/app/isso.cfg") == "/run/flask-files/isso.cfg"


@pytest.mark.parametrize(("path", "words"), [("conf", "conf is a directory of the source"), ("away/isso.cfg", "away is no directory of the source")])
def test_a_file_replaces_no_directory_and_leads_through_no_link(release: Path, path: str, words: str) -> None:
    (release / "src" / "conf").mkdir()
    (release / "src" / "away").symlink_to("/etc")
    with pytest.raises(ReleaseError, match=words):
        link_files(release / "src", {path: "isso.cfg"}, NOBODY.pw_gid)
