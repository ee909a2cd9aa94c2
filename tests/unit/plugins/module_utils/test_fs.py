"""Atomic writes and locks."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils import fs


def test_a_write_replaces_the_contents_and_the_mode_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o644)
    fs.write(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["key"]


def test_a_reader_keeps_the_old_contents_while_they_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    with open(path, encoding="utf-8") as reader:
        fs.write(path, b"new")
        assert reader.read() == "old"


def test_a_file_of_an_interrupted_write_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    Path(fs.temporary_name(path)).write_text("half")
    fs.write(path, b"whole")
    assert os.listdir(tmp_path) == ["key"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    with pytest.raises(OSError):
        fs.write(tmp_path / "key", b"new")
    assert os.listdir(tmp_path) == ["key"]


def test_a_link_is_replaced_and_never_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("untouched")
    (tmp_path / "path").symlink_to("target")
    fs.write(tmp_path / "path", b"new")
    assert (tmp_path / "target").read_text() == "untouched"
    assert not (tmp_path / "path").is_symlink()
    fs.link(tmp_path / "path", "target")
    assert os.readlink(tmp_path / "path") == "target"


def test_json_is_read_back_and_a_missing_file_is_none(tmp_path: Path) -> None:
    fs.write_json(tmp_path / "a.json", {"b": [1]})
    assert fs.read_json(tmp_path / "a.json") == {"b": [1]}
    assert fs.read_json(tmp_path / "c.json") is None


@pytest.mark.parametrize("kind", ["link", "directory", "fifo", "socket"])
def test_only_a_regular_file_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "path"
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        socket.socket(socket.AF_UNIX).bind(str(path))
    with pytest.raises(ValueError, match="is not a regular file"):
        fs.read_regular(path)
    assert fs.read_regular(tmp_path / "none") is None


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_second_process_waits_and_then_fails(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "lock"
    if kind == "directory":
        path.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, os, sys; h = os.open(sys.argv[1], os.O_RDONLY | (0 if os.path.isdir(sys.argv[1]) "
         "else os.O_CREAT)); fcntl.flock(h, fcntl.LOCK_EX); print(1, flush=True); sys.stdin.read()", str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdout.readline()
    with pytest.raises(fs.Locked, match=rf"process {holder.pid} \(.*fcntl.*has held {path} for more than 0 seconds"), fs.locked(path, wait_seconds=0.2):
        pass
    holder.communicate()
    with fs.locked(path, wait_seconds=0):
        pass


def test_no_lock_is_waited_for_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 0.0, fs.WAIT_SECONDS - 1, fs.WAIT_SECONDS + 1])
    monkeypatch.setattr(fs.time, "monotonic", lambda: next(seconds))
    with fs.locked(tmp_path / "lock", wait_seconds=0), pytest.raises(fs.Locked), fs.locked(tmp_path / "lock"):
        pass


def test_a_process_that_inherited_a_lock_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with fs.locked(path) as handle:
        heir = subprocess.Popen(["sleep", "60"], pass_fds=[handle])
    with pytest.raises(fs.Locked, match=rf"^process {heir.pid} \(sleep 60\) holds {path}"), fs.locked(path, wait_seconds=0):
        pass
    heir.kill()
    heir.wait()


def test_a_program_that_is_started_under_a_lock_does_not_keep_it(tmp_path: Path) -> None:
    with fs.locked(tmp_path / "lock"):
        daemon = subprocess.Popen(["sleep", "60"], close_fds=False)
    with fs.locked(tmp_path / "lock", wait_seconds=0):
        pass
    daemon.kill()
    daemon.wait()


def test_of_endless_output_only_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.write_bytes(b"x" * 100 + "grüße".encode())
    with open(path, "rb") as stream:
        assert fs.read_end(stream, longest=8) == "xgrüße"
        assert fs.read_end(stream).endswith("xgrüße")
