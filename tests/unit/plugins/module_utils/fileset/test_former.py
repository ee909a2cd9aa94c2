"""The state of before the first change is recorded once, and not for a change that was undone."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.fileset import former
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Entry, Problem, make_plan
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.transaction import Store, Transaction
from ansible_collections.bulwark.flask.tests.unit.file_trees import ME


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The records of a host without any."""
    return Store(str(tmp_path / "state"))


def write(store: Store, *entries: Entry, fail: bool = False) -> None:
    """One set, as a module writes it."""
    with store.locked():
        store.recover()
        transaction = Transaction(store, [entry.dest for entry in entries], make_plan(list(entries)))
        transaction.write()
        if fail:
            transaction.rollback()
        else:
            transaction.commit(False, store.managed() | {entry.dest for entry in entries if entry.kind == "file"})


def entry(path: Path, kind: str = "file", **more: Any) -> Entry:
    return Entry(str(path), kind, **{**ME, **more})


def test_the_first_state_is_kept_whatever_is_written_later(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "app.conf"
    path.write_text("of others\n")
    path.chmod(0o640)
    for text in (b"one\n", b"two\n"):
        write(store, entry(path, data=text))
    state = store.former.state(str(path), store.former.read("paths")[str(path)])
    assert (state.kind, state.mode, state.data) == ("file", 0o640, b"of others\n")


def test_what_was_not_there_is_recorded_as_absent(tmp_path: Path, store: Store) -> None:
    write(store, entry(tmp_path / "d", "directory", mode=0o755), entry(tmp_path / "d" / "new", data=b"x"), entry(tmp_path / "link", "link", link="new"))
    assert {record["kind"] for record in store.former.read("paths").values()} == {"absent"}


def test_a_change_that_was_undone_is_not_recorded(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "app.conf"
    path.write_text("first\n")
    write(store, entry(path, data=b"ours\n"), fail=True)
    # Others change it before the next run.
    path.write_text("second\n")
    write(store, entry(path, data=b"ours\n"))
    assert store.former.state(str(path), store.former.read("paths")[str(path)]).data == b"second\n"


def test_a_run_that_was_killed_is_recorded_again(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "app.conf"
    path.write_text("first\n")
    with store.locked():
        Transaction(store, [str(path)], make_plan([entry(path, data=b"ours\n")])).write()
    with store.locked():
        store.recover()
    assert path.read_text() == "first\n" and str(path) not in store.former.read("paths")


def test_files_of_before_records_were_kept_are_unknown(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "app.conf"
    path.write_text("ours, of an earlier version\n")
    with store.locked():
        store.note_managed({str(path)}, final=True)
    write(store, entry(path, data=b"ours\n"))
    assert store.former.read("paths") == {} and store.former.read("host")["complete"] is False


def test_only_root_can_read_the_records(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "secret"
    path.write_text("of others\n")
    write(store, entry(path, data=b"ours\n"))
    modes = {stat.S_IMODE(os.lstat(found).st_mode) for found in Path(store.folder).rglob("*")}
    assert modes <= {0o600, 0o700}


def test_a_failure_to_write_says_that_nothing_was_changed(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app.conf"
    path.write_text("of others\n")

    def full(*_arguments: Any, **_more: Any) -> None:
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(former.fs, "write", full)
    with pytest.raises(Problem, match="No space left"):
        write(store, entry(path, data=b"ours\n"))
    assert path.read_text() == "of others\n"


@pytest.mark.parametrize(("line", "options"), [
    ("36 35 0:32 / /tmp rw,nosuid,nodev shared:1 - tmpfs tmpfs rw,size=1g", "rw,nosuid,nodev"),
    ("36 35 0:32 / /tmp rw,relatime - proc proc rw,gid=5,hidepid=invisible", "rw,relatime,gid=5,hidepid=invisible"),
    ("36 35 0:32 / /var rw - ext4 /dev/sda rw", None),
])
def test_options_of_a_mount(line: str, options: str | None) -> None:
    assert former.mount_options(line, "/tmp") == options
