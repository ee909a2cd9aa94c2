"""The effect of a run of the module on a host."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.fileset import former, session
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.transaction import Store
from ansible_collections.bulwark.flask.plugins.modules import file_set
from ansible_collections.bulwark.flask.tests.unit.file_trees import picture

Write = Callable[..., dict[str, Any]]
CANARY = "canary-Xq7pLw92"
REFUSE = [sys.executable, "-c", "import sys; print('seen'); sys.exit('refused')"]


def old_host(etc: Path) -> list[dict[str, Any]]:
    """A host with something of each kind, and a set that changes all of it."""
    (etc / "keep.conf").write_text("old\n")
    (etc / "keep.conf").chmod(0o640)
    os.utime(etc / "keep.conf", (1, 1))
    (etc / "gone.conf").write_text("gone\n")
    (etc / "gone.conf").chmod(0o600)
    (etc / "stray.conf").write_text("stray\n")
    (etc / "was-link").symlink_to("keep.conf")
    (etc / "link").symlink_to("nowhere")
    (etc / "was-file").write_text("file\n")
    (etc / "dir").mkdir(mode=0o700)
    (etc / "empty").mkdir(mode=0o711)
    (etc / "tree").mkdir()
    (etc / "tree" / "leaf").write_text("leaf\n")
    return [
        {"dest": etc / "dir", "state": "directory", "mode": "0750"},
        {"dest": etc / "new", "state": "directory"},
        {"dest": etc / "new" / "sub", "state": "directory"},
        {"dest": etc / "new" / "sub" / "a.conf", "content": "a\n"},
        {"dest": etc / "keep.conf", "content": "new\n", "backup": True},
        {"dest": etc / "was-link", "content": "file now\n"},
        {"dest": etc / "was-file", "state": "directory"},
        {"dest": etc / "link", "link": "keep.conf"},
        {"dest": etc / "empty", "link": "dir"},
        {"dest": etc / "gone.conf", "state": "absent"},
        {"dest": etc / "tree" / "leaf", "state": "absent"},
        {"dest": etc / "tree", "state": "absent"},
        {"dest": etc / "secret", "content": f"KEY={CANARY}\n", "mode": "0600", "sensitive": True},
    ]


def purge_of(etc: Path) -> list[dict[str, Any]]:
    return [{"path": str(etc), "patterns": ["*.conf"]}]


def test_the_whole_set_is_written(etc: Path, write: Write) -> None:
    result = write(old_host(etc), purge=purge_of(etc), validate=[["true"]], apply=[["true"]])
    assert result["changed"] and result["validated"] and result["applied"] == [["true"]]
    found = {name: (entry[0], entry[3]) for name, entry in picture(etc).items()}
    assert found == {
        "dir": ("0o40750", None), "new": ("0o40755", None), "new/sub": ("0o40755", None),
        "new/sub/a.conf": ("0o100644", b"a\n"),
        "keep.conf": ("0o100644", b"new\n"), "keep.conf.orig": ("0o100640", b"old\n"),
        "was-link": ("0o100644", b"file now\n"), "was-file": ("0o40755", None), "link": ("0o120777", "keep.conf"),
        "empty": ("0o120777", "dir"), "secret": ("0o100600", f"KEY={CANARY}\n".encode()),
    }
    assert str(etc / "stray.conf") in result["changed_files"]
    assert result["backup_files"] == [str(etc / "keep.conf.orig")]


def test_a_second_run_changes_nothing_and_runs_nothing(etc: Path, write: Write, tmp_path: Path) -> None:
    options = {"purge": purge_of(etc), "validate": [["touch", str(tmp_path / "proof")]], "apply": [["touch", str(tmp_path / "ran")]]}
    files = old_host(etc)
    write(files, **options)
    (tmp_path / "proof").unlink()
    (tmp_path / "ran").unlink()
    before = picture(etc)
    result = write(files, **options)
    assert not result["changed"] and result["changed_files"] == [] and not result["validated"]
    assert picture(etc) == before
    assert not (tmp_path / "proof").exists() and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("proof", [REFUSE, ["/no/such/command"]], ids=["refuses", "is missing"])
def test_a_failed_proof_puts_every_byte_owner_mode_and_time_back(etc: Path, write: Write, state: Path, proof: list[str]) -> None:
    files = old_host(etc)
    before = picture(etc)
    result = write(files, purge=purge_of(etc), validate=[["true"], proof], apply=[["touch", str(etc / "applied")]])
    assert result["failed"] and not result["changed"] and result["changed_files"] == []
    assert picture(etc) == before
    assert set(result["would_change"]) >= {str(etc / "keep.conf"), str(etc / "stray.conf")}
    assert result["command"] == proof and result["rc"] in (1, 127) and proof[0] in result["msg"]
    assert [path.name for path in state.iterdir() if path.name not in ("lock", "former")] == []


def test_the_validation_sees_the_new_files(etc: Path, write: Write) -> None:
    result = write([{"dest": etc / "a", "content": "new"}], validate=[["grep", "-q", "new", str(etc / "a")]])
    assert "failed" not in result and result["validated"]


def test_files_of_a_failed_validation_in_a_new_directory_are_removed(etc: Path, write: Write) -> None:
    script = "touch \"$1\"/log; exit 1"
    write([{"dest": etc / "d", "state": "directory"}], validate=[["sh", "-c", script, "-", str(etc / "d")]])
    assert picture(etc) == {}


def test_owners_are_set_and_put_back(etc: Path, write: Write) -> None:
    root = os.geteuid() == 0
    for name, kind in (("f", "file"), ("d", "directory")):
        (etc / name).write_text("x") if kind == "file" else (etc / name).mkdir()
        if root:
            os.chown(etc / name, 12, 34)
    before = picture(etc)
    files = [{"dest": etc / "f", "content": "x", "owner": "1", "group": "2"},
             {"dest": etc / "d", "state": "directory", "owner": "1", "group": "2"}]
    assert write(files, validate=[REFUSE])["failed"]
    assert picture(etc) == before
    result = write(files)
    if root:
        assert result["changed"]
        assert {entry[1:3] for entry in picture(etc).values()} == {(1, 2)}
    else:  # only root gives files away
        assert result["failed"] and picture(etc) == before


def test_check_mode_predicts_the_same_and_writes_nothing(etc: Path, write: Write, state: Path, tmp_path: Path) -> None:
    files = old_host(etc)
    before = picture(tmp_path)
    touch = [["touch", str(tmp_path / "ran")]]
    predicted = write(files, check=True, diff=True, purge=purge_of(etc), validate=touch, apply=touch)
    assert picture(tmp_path) == before and not state.exists()
    assert predicted["changed"] and not predicted["validated"] and predicted["applied"] == []
    done = write(files, diff=True, purge=purge_of(etc))
    assert {key: predicted[key] for key in ("changed_files", "diff", "backup_files")} == \
        {key: done[key] for key in ("changed_files", "diff", "backup_files")}
    assert not write(files, check=True, purge=purge_of(etc))["changed"]


def test_check_mode_works_where_nothing_is_installed_yet(etc: Path, write: Write) -> None:
    result = write([{"dest": etc / "none" / "a", "content": "", "owner": "nobody-yet", "group": "none-yet"}], check=True, diff=True)
    assert "failed" not in result and result["changed_files"] == [str(etc / "none" / "a")]
    assert "nobody-yet" in str(result["diff"])


def test_everything_that_is_missing_on_the_host_is_reported_at_once(etc: Path, write: Write) -> None:
    (etc / "full").mkdir()
    (etc / "full" / "x").write_text("")
    os.mkfifo(etc / "pipe")
    result = write([
        {"dest": etc / "none" / "a", "content": ""},
        {"dest": etc / "b", "content": "", "owner": "nobody-yet"},
        {"dest": etc / "full", "content": ""},
        {"dest": etc / "pipe", "content": ""},
    ])
    assert result["failed"]
    for text in (f"{etc}/none, the directory of", "no user nobody-yet", "full is a directory with contents", "pipe is a device"):
        assert text in result["msg"]
    assert not (etc / "b").exists()


def test_a_directory_with_contents_is_not_removed(etc: Path, write: Write) -> None:
    (etc / "full").mkdir()
    (etc / "full" / "x").write_text("")
    for check in (True, False):
        assert "directory with contents" in write([{"dest": etc / "full", "state": "absent"}], check=check)["msg"]
    assert (etc / "full" / "x").exists()


def test_a_link_is_replaced_and_never_followed(etc: Path, write: Write, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("untouched")
    (etc / "a").symlink_to(tmp_path / "victim")
    write([{"dest": etc / "a", "content": "mine"}])
    assert (tmp_path / "victim").read_text() == "untouched"
    assert not (etc / "a").is_symlink() and (etc / "a").read_text() == "mine"


def test_a_directory_that_was_moved_away_and_linked_stays_linked(etc: Path, write: Write, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (etc / "log").symlink_to(tmp_path / "disk")
    write([{"dest": etc / "log", "state": "directory", "mode": "0750"}, {"dest": etc / "log" / "a", "content": ""}])
    assert (etc / "log").is_symlink() and stat.S_IMODE((tmp_path / "disk").stat().st_mode) == 0o750


def test_another_hard_link_of_a_file_keeps_its_contents(etc: Path, write: Write) -> None:
    (etc / "a").write_text("old")
    os.link(etc / "a", etc / "other")
    write([{"dest": etc / "a", "content": "new"}])
    assert (etc / "other").read_text() == "old"


def test_purge_removes_only_matching_files_outside_of_the_set(etc: Path, write: Write) -> None:
    for name in ("mine.conf", "stray.conf", ".hidden.conf", "notes.txt"):
        (etc / name).write_text("")
    (etc / "dir.conf").mkdir()
    (etc / "link.conf").symlink_to("notes.txt")
    result = write([{"dest": etc / "mine.conf", "content": ""}], purge=[
        {"path": str(etc), "patterns": ["*.conf"]}, {"path": str(etc / "none"), "patterns": ["*"]}])
    assert sorted(path.name for path in etc.iterdir()) == [".hidden.conf", "dir.conf", "mine.conf", "notes.txt"]
    assert {os.path.basename(path) for path in result["changed_files"]} >= {"stray.conf", "link.conf"}


def test_purge_removes_a_directory_that_is_empty_and_no_longer_in_the_set(etc: Path, write: Write) -> None:
    folder = etc / "users" / "shop"
    rules = [{"path": str(path), "patterns": patterns, "remove_empty": True} for path, patterns in ((folder, ["*"]), (folder.parent, []))]
    files = [{"dest": folder.parent, "state": "directory"}, {"dest": folder, "state": "directory"}, {"dest": folder / "a", "content": ""}]
    write(files, purge=rules)
    (folder / ".other").write_text("")
    assert not write(files, purge=rules)["changed"]
    # A file of others keeps its directory.
    write([], purge=rules)
    assert [path.name for path in folder.iterdir()] == [".other"]
    (folder / ".other").unlink()
    assert not write(files[:2], purge=rules)["changed"] and folder.exists()
    write(files, purge=rules)
    assert write([], check=True, purge=rules)["changed_files"] == [str(path) for path in (folder / "a", folder, folder.parent)]
    before = picture(etc)
    assert write([], purge=rules, validate=[REFUSE])["failed"] and picture(etc) == before
    write([], purge=rules)
    assert not folder.parent.exists()
    assert not write([], purge=rules)["changed"]


def test_purge_keeps_an_empty_directory_of_others(etc: Path, write: Write) -> None:
    (etc / "users").mkdir()
    rules = [{"path": str(etc / "users"), "patterns": ["*"], "remove_empty": True}]
    write([{"dest": etc / "users", "state": "directory"}, {"dest": etc / "users" / "a", "content": ""}], purge=rules)
    write([], purge=rules)
    assert list((etc / "users").iterdir()) == []


@pytest.mark.parametrize("is_ours", [True, False])
def test_purge_removes_a_directory_that_another_module_made_below_one_of_ours(
    etc: Path, write: Write, monkeypatch: pytest.MonkeyPatch, is_ours: bool,
) -> None:
    monkeypatch.setattr(former, "TREES", (str(etc / "secrets"),))
    if not is_ours:
        (etc / "secrets").mkdir()
    write([{"dest": etc / "first", "content": ""}])
    (etc / "secrets" / "credentials").mkdir(parents=True)
    rules = [{"path": str(etc / "secrets" / "credentials"), "patterns": ["*"], "remove_empty": True}]
    assert write([{"dest": etc / "secrets", "state": "directory"}], purge=rules)["changed"] is is_ours
    assert (etc / "secrets" / "credentials").exists() is not is_ours


def test_an_entry_that_is_absent_empties_a_directory(etc: Path, write: Write) -> None:
    rules = [{"path": str(etc / "d"), "patterns": [], "remove_empty": True}]
    write([{"dest": etc / "d", "state": "directory"}, {"dest": etc / "d" / "a", "content": ""}])
    write([{"dest": etc / "d" / "a", "state": "absent"}], purge=rules)
    assert not (etc / "d").exists()


def test_purge_recognises_its_files_below_a_linked_directory(etc: Path, write: Write) -> None:
    (etc / "real").mkdir()
    (etc / "alias").symlink_to("real")
    write([{"dest": etc / "real" / "a.conf", "content": ""}], purge=[{"path": str(etc / "alias"), "patterns": ["*.conf"]}])
    result = write([{"dest": etc / "real" / "a.conf", "content": ""}], purge=[{"path": str(etc / "alias"), "patterns": ["*.conf"]}])
    assert not result["changed"] and (etc / "real" / "a.conf").exists()


def test_the_diff_shows_contents_owner_and_mode(etc: Path, write: Write) -> None:
    (etc / "a").write_text("old\n")
    (etc / "a").chmod(0o600)
    (etc / "gone").write_text("bye\n")
    (etc / "gone").chmod(0o644)
    diff = write([{"dest": etc / "a", "content": "new\n"}, {"dest": etc / "gone", "state": "absent"}], diff=True)["diff"]
    assert diff[0] == {"before": "old\n", "after": "new\n", "before_header": str(etc / "a"), "after_header": str(etc / "a")}
    assert "mode: 0600" in diff[1]["before"] and "mode: 0644" in diff[1]["after"]
    assert (diff[2]["before"], diff[2]["after"]) == ("bye\n", "")


def test_without_diff_no_contents_are_returned(etc: Path, write: Write) -> None:
    assert CANARY not in write([{"dest": etc / "a", "content": CANARY}])["raw"]


@pytest.mark.parametrize("options", [{}, {"check": True}, {"validate": [REFUSE]}], ids=["run", "check", "failure"])
def test_sensitive_contents_are_nowhere_in_the_result(etc: Path, write: Write, options: dict[str, Any]) -> None:
    (etc / "a").write_text("older-" + CANARY)
    result = write([{"dest": etc / "a", "content": f"K={CANARY}\n", "mode": "0600", "sensitive": True}], diff=True, **options)
    assert CANARY not in result["raw"]
    if "validate" not in options:
        assert "[[ sensitive: contents hidden ]]" in result["diff"][0]["prepared"]


def test_sensitive_contents_are_removed_from_the_output_of_a_command(etc: Path, write: Write) -> None:
    (etc / "a").write_text("K=older-secret-8812\n")
    files = [{"dest": etc / "a", "content": f"K={CANARY}\n", "sensitive": True}]
    script = f"echo line 3: K={CANARY} is wrong >&2; echo was older-secret-8812; echo {CANARY[:-3]}; exit 4"
    for option in ("validate", "apply"):
        result = write(files, **{option: [["bash", "-c", script]]})
        assert result["rc"] == 4 and "line 3: K=[hidden] is wrong" in result["stderr"]
        # The command itself is the operator's own text; what it printed is not.
        printed = result["msg"].split("status 4:")[1] + result["stdout"] + result["stderr"]
        assert CANARY[:-3] not in printed
        if option == "validate":
            assert "older-secret-8812" not in printed


def test_a_removed_file_that_only_some_may_read_is_not_shown(etc: Path, write: Write) -> None:
    (etc / "stray.conf").write_text(CANARY)
    (etc / "stray.conf").chmod(0o640)
    result = write([], diff=True, purge=purge_of(etc))
    assert CANARY not in result["raw"] and result["changed_files"] == [str(etc / "stray.conf")]


def test_apply_that_failed_runs_again_although_no_file_differs(etc: Path, write: Write, tmp_path: Path) -> None:
    files = [{"dest": etc / "a", "content": "x"}]
    apply = [["touch", str(tmp_path / "first")], ["test", "-e", str(tmp_path / "healthy")]]
    result = write(files, apply=apply)
    assert result["failed"] and result["changed"] and result["command"] == apply[1] and result["rc"] == 1
    assert result["applied"] == [apply[0]] and (etc / "a").read_text() == "x"
    assert write(files, apply=apply, check=True)["changed"]
    assert write(files, apply=apply)["failed"]
    (tmp_path / "healthy").touch()
    result = write(files, apply=apply)
    assert result["changed"] and result["changed_files"] == [] and result["applied"] == apply
    assert not write(files, apply=apply)["changed"]


def test_apply_that_failed_runs_again_when_the_set_has_grown(etc: Path, write: Write, tmp_path: Path) -> None:
    (etc / "b").write_text("")
    (etc / "b").chmod(0o644)
    files = [{"dest": etc / "a", "content": "x"}]
    assert write(files, apply=[["false"]])["failed"]
    result = write([*files, {"dest": etc / "b", "content": ""}], apply=[["true"]])
    assert result["changed_files"] == [] and result["applied"] == [["true"]]


def test_the_first_foreign_file_is_kept_and_only_once(etc: Path, write: Write) -> None:
    (etc / "a").write_text("of the package\n")
    (etc / "a").chmod(0o600)
    for text in ("one", "two"):
        write([{"dest": etc / "a", "content": text, "backup": True}])
        assert (etc / "a.orig").read_text() == "of the package\n"
    assert stat.S_IMODE((etc / "a.orig").stat().st_mode) == 0o600


def test_a_managed_file_gets_no_backup(etc: Path, write: Write) -> None:
    for text in ("one", "two"):
        write([{"dest": etc / "a", "content": text, "backup": True}])
    (etc / "same").write_text("same")
    (etc / "same").chmod(0o644)
    write([{"dest": etc / "same", "content": "same", "backup": True}])
    write([{"dest": etc / "same", "content": "other", "backup": True}])
    assert sorted(path.name for path in etc.iterdir()) == ["a", "same"]


def test_a_restored_set_does_not_make_a_file_managed(etc: Path, write: Write) -> None:
    (etc / "a").write_text("foreign")
    files = [{"dest": etc / "a", "content": "x", "backup": True}]
    write(files, validate=[REFUSE])
    write(files)
    assert (etc / "a.orig").read_text() == "foreign"


def test_a_sensitive_file_is_never_kept(etc: Path, write: Write) -> None:
    (etc / "a").write_text(CANARY)
    write([{"dest": etc / "a", "content": "x", "backup": True, "sensitive": True}], validate=[["true"]])
    assert [path.name for path in etc.iterdir()] == ["a"]


def test_only_its_owner_can_enter_the_state_directory(etc: Path, write: Write, state: Path) -> None:
    state.mkdir(mode=0o755)
    write([{"dest": etc / "a", "content": "x"}], apply=[["false"]])
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.lstat().st_mode) for path in state.rglob("*")} <= {0o600, 0o700}


def test_a_signal_puts_everything_back(etc: Path, write: Write) -> None:
    files = old_host(etc)
    before = picture(etc)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    result = write(files, validate=[["sleep", "2"]])
    assert "SIGTERM" in result["msg"] and picture(etc) == before


def test_two_runs_wait_for_each_other(etc: Path, write: Write, state: Path) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with Store(str(state)).locked():
                os.write(writer, b"x")
                time.sleep(0.5)
        finally:
            os._exit(0)
    os.read(reader, 1)
    started = time.monotonic()
    write([{"dest": etc / "a", "content": "x"}])
    assert time.monotonic() - started > 0.3
    os.waitpid(child, 0)


def test_a_command_without_an_end_is_stopped(etc: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "COMMAND_SECONDS", 1)
    result = write([{"dest": etc / "a", "content": "x"}], validate=[["sleep", "60"]])
    assert "`sleep 60` failed with status 124:\nIt did not end within 1 seconds and was stopped." in result["msg"]
    assert not (etc / "a").exists()


def test_the_holder_of_the_write_lock_is_named(etc: Path, write: Write, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store.locked.__wrapped__, "__defaults__", (0,))
    with Store(str(state)).locked():
        assert f"process {os.getpid()} (" in write([{"dest": etc / "a", "content": "x"}])["msg"]
    assert not (etc / "a").exists()


def test_a_daemon_started_by_apply_does_not_hold_the_lock(etc: Path, write: Write, state: Path) -> None:
    write([{"dest": etc / "a", "content": "x"}], apply=[["sh", "-c", "sleep 2 >/dev/null 2>&1 &"]])
    with Store(str(state)).locked(wait_seconds=0):
        pass


def test_a_large_file_is_recognised_as_unchanged(etc: Path, write: Write) -> None:
    files = [{"dest": etc / "a", "content": "x" * 200000}]
    assert write(files)["changed"] and not write(files)["changed"]
    assert "too long" in str(write([{"dest": etc / "a", "content": "y" * 200000}], diff=True)["diff"])


def test_check_mode_after_a_killed_run_predicts_from_the_old_host(
        etc: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(file_set.AnsibleModule, "warn", lambda self, text: warnings.append(text))
    (etc / "a").write_text("old")
    files = [{"dest": etc / "a", "content": "new"}]
    child = os.fork()
    if child == 0:
        try:
            write(files, validate=[["sh", "-c", f"kill -9 {os.getpid()}"]])
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert (etc / "a").read_text() == "new"
    before = picture(etc)
    predicted = write(files, check=True, diff=True)
    assert predicted["changed_files"] == [str(etc / "a")] and predicted["diff"][0]["before"] == "old"
    assert picture(etc) == before
    write([{"dest": etc / "b", "content": ""}])
    assert "was interrupted. Put back" in str(warnings) and (etc / "a").read_text() == "old"


def test_contents_are_not_in_the_invocation(etc: Path, write: Write) -> None:
    shown = write([{"dest": etc / "a", "content": CANARY}])["invocation"]["module_args"]
    assert shown["_contents"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def test_a_signal_after_the_validation_does_not_roll_back(etc: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = session.Transaction.commit

    def interrupted(self: Any, *args: Any) -> None:
        commit(self, *args)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)

    (etc / "a").write_text("old")
    files = [{"dest": etc / "a", "content": "new"}]
    with monkeypatch.context() as patch:
        patch.setattr(session.Transaction, "commit", interrupted)
        result = write(files, apply=[["true"]])
    assert result["failed"] and "SIGTERM" in result["msg"] and "as it was before" not in result["msg"]
    assert (etc / "a").read_text() == "new"
    assert write(files, apply=[["true"]])["applied"] == [["true"]]
