"""A set is written completely or not at all, also after a kill and with a full disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Entry, Problem, make_plan, problems
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.transaction import Store, Transaction
from ansible_collections.bulwark.flask.tests.unit.file_trees import ME, picture

# Every way the code changes a disk.
CALLS = ("link", "symlink", "replace", "rename", "unlink", "mkdir", "rmdir", "fchown", "fchmod", "fsync", "open")
NEEDS_SPACE = ("link", "symlink", "mkdir", "fsync", "open")


@pytest.fixture(autouse=True)
def _no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing a real disk a thousand times takes a minute and proves nothing here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


class Host:
    """A small host and a set that changes something of each kind."""

    def __init__(self, root: Path) -> None:
        self.etc, self.store = root / "etc", Store(str(root / "state"))
        self.etc.mkdir()
        for name in ("keep", "gone", "was-file", "mode"):
            (self.etc / name).write_text(name)
            (self.etc / name).chmod(0o600)
            os.utime(self.etc / name, (1, 1))
        (self.etc / "link").symlink_to("nowhere")
        for name in ("dir", "empty", "tree"):
            (self.etc / name).mkdir(mode=0o700)
        (self.etc / "tree" / "leaf").write_text("leaf")
        self.entries = [
            self.entry("dir", "directory", mode=0o755),
            self.entry("new", "directory", mode=0o755),
            self.entry("new/a", data=b"a" * 9000),
            self.entry("keep", data=b"new"),
            self.entry("mode", data=b"mode"),
            self.entry("was-file", "directory", mode=0o755),
            self.entry("empty", data=b"file now"),
            self.entry("link", "link", link="keep"),
            self.entry("tree/leaf", "absent"),
            self.entry("tree", "absent"),
            self.entry("gone", "absent"),
        ]
        self.dests = [entry.dest for entry in self.entries]
        self.before = picture(self.etc)

    def entry(self, name: str, kind: str = "file", **more: Any) -> Entry:
        return Entry(str(self.etc / name), kind, **{**ME, **more})

    def write(self) -> None:
        """One run as the module does it: recover, write, commit."""
        with self.store.locked():
            self.store.recover()
            changes = make_plan(self.entries)
            assert problems(self.entries, changes) == []
            transaction = Transaction(self.store, self.dests, changes)
            try:
                transaction.write()
                transaction.commit([["reload"]], set(self.dests))
            except BaseException:
                transaction.rollback()
                raise

    def recover(self) -> tuple[list[str], list[str]]:
        with self.store.locked():
            return self.store.recover()

    def is_complete(self) -> bool:
        return make_plan(self.entries) == []

    def leftovers(self) -> list[str]:
        hidden = [str(path) for path in self.etc.rglob(".file_set-*")]
        return hidden + [path.name for path in Path(self.store.folder).rglob("*.json") if path.name in ("journal.json", "done.json")]


@contextmanager
def at_call(number: int, act: Callable[[str], None], names: tuple[str, ...] = CALLS) -> Iterator[list[int]]:
    """Do `act` instead of the nth call that changes the disk; yields a counter."""
    count = [0]

    def wrapped(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name != "open" or args[1] & os.O_CREAT:
                count[0] += 1
                if count[0] == number:
                    act(name)
            return original(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(os, name, wrapped(name, getattr(os, name)))
        yield count


def dies_at(number: int, work: Callable[[], Any]) -> bool:
    """Run `work` in another process that is killed at its nth change of the disk; False when it came through."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with at_call(number, lambda name: os._exit(9)):
                work()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    return status == 9


def test_after_a_kill_at_any_point_the_next_run_finds_the_old_or_the_new_state(tmp_path: Path) -> None:
    number, outcomes = 0, []
    while True:
        number += 1
        (tmp_path / str(number)).mkdir()
        host = Host(tmp_path / str(number))
        if not dies_at(number, host.write):
            break
        host.recover()
        now = picture(host.etc)
        assert now == host.before or host.is_complete(), f"neither old nor new after dying at change {number}"
        assert host.leftovers() == []
        if host.is_complete():
            assert host.store.owed(host.dests), f"nothing would be reloaded after dying at change {number}"
        outcomes.append("old" if now == host.before else "new")
        host.write()
        assert host.is_complete() and host.leftovers() == []
    assert outcomes == sorted(outcomes, reverse=True)  # old until the commit, new from there on
    assert outcomes.count("old") > 50 and outcomes.count("new") > 5


@pytest.mark.parametrize("late", [80, 120])
def test_killed_while_recovering_the_next_run_recovers(tmp_path: Path, late: int) -> None:
    number = 0
    while True:
        number += 1
        (tmp_path / str(number)).mkdir()
        host = Host(tmp_path / str(number))
        assert dies_at(late, host.write)
        if not dies_at(number, host.recover):
            break
        host.recover()
        assert picture(host.etc) == host.before and host.leftovers() == []
    assert number > 5


def test_check_mode_considers_the_recovery_from_an_interrupted_run(tmp_path: Path) -> None:
    for number in range(1, 400, 3):
        (tmp_path / str(number)).mkdir()
        host = Host(tmp_path / str(number))
        planned = [change.now for change in make_plan(host.entries)]
        if not dies_at(number, host.write):
            return
        if list(Path(host.store.folder).rglob("journal.json")):
            seen = picture(tmp_path / str(number))
            assert [change.now for change in make_plan(host.entries, host.store.due())] == planned
            assert picture(tmp_path / str(number)) == seen
    raise AssertionError("never came through")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_refuses_anywhere_leaves_the_old_host(tmp_path: Path, code: int) -> None:
    def refuse(name: str) -> None:
        raise OSError(code, os.strerror(code))

    number, refused = 0, 0
    while True:
        number += 1
        (tmp_path / str(number)).mkdir()
        host = Host(tmp_path / str(number))
        try:
            with at_call(number, refuse, NEEDS_SPACE) as count:
                host.write()
        except Problem as problem:
            refused += 1
            assert os.strerror(code) in str(problem)
            assert picture(host.etc) == host.before, f"changed after refusal {number}"
            assert host.leftovers() == []
        else:
            assert host.is_complete()
            host.recover()
            assert host.is_complete() and host.leftovers() == []
        if count[0] < number:
            break
    assert refused > 20


def test_without_hard_links_everything_is_restored_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    host = Host(tmp_path)
    for number in (30, 60, 80):
        assert dies_at(number, host.write)
        host.recover()
        assert picture(host.etc) == host.before and host.leftovers() == []


def test_a_file_that_cannot_be_replaced_is_named_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, replace, link = Host(tmp_path), os.replace, os.link

    def refused(done: Callable[..., None]) -> Callable[..., None]:
        """As the kernel refuses it for a file that is immutable."""
        def do(first: str, second: str, **options: Any) -> None:
            if str(host.etc / "keep") in (str(first), str(second)):
                raise OSError(errno.EPERM, "Operation not permitted", first, None, second)
            done(first, second, **options)
        return do

    monkeypatch.setattr(os, "replace", refused(replace))
    monkeypatch.setattr(os, "link", refused(link))
    with pytest.raises(Problem) as error:
        host.write()
    assert str(error.value) == f"could not write {host.etc / 'keep'}: Operation not permitted (is it immutable? See lsattr and chattr)"
    host.recover()
    assert picture(host.etc) == host.before and host.leftovers() == []


def test_files_changed_after_an_interrupted_run_are_kept(tmp_path: Path) -> None:
    reported = 0
    for number in range(1, 400, 3):
        (tmp_path / str(number)).mkdir()
        host = Host(tmp_path / str(number))
        if not dies_at(number, host.write):
            assert reported > 15
            return
        if not list(Path(host.store.folder).rglob("journal.json")):
            continue
        (host.etc / "mended").write_text("by hand")
        os.replace(host.etc / "mended", host.etc / "keep")
        restored, foreign = host.recover()
        reported += str(host.etc / "keep") in foreign
        assert (host.etc / "keep").read_text() == "by hand", f"overwritten after dying at change {number}"
        assert host.leftovers() == [] and str(host.etc / "keep") not in restored
    raise AssertionError("never came through")


def test_space_runs_out_before_the_first_file_is_replaced(tmp_path: Path) -> None:
    host = Host(tmp_path)
    order = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("open", "replace"):
            original = getattr(os, name)

            def call(*args: Any, _name: str = name, _original: Callable[..., Any] = original, **kwargs: Any) -> Any:
                if str(args[-1 if _name == "replace" else 0]).startswith(str(host.etc)) and (_name == "replace" or args[1] & os.O_CREAT):
                    order.append(_name)
                return _original(*args, **kwargs)

            patch.setattr(os, name, call)
        host.write()
    assert order == sorted(order) and "open" in order and "replace" in order
