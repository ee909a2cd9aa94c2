"""The rollback timer restores the old state with one shell script."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.fileset import plan as file_plan
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Entry
from ansible_collections.bulwark.flask.plugins.module_utils.host_access import rollback_timer


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose systemd writes its commands to a file."""
    for name, value in {"FOLDER": "state", "PENDING": "state/pending", "UNDOING": "state/undoing", "CONFIRMED": "state/confirmed",
                        "UNIT": "etc/undo.service", "WANTED": "etc/wants/undo.service"}.items():
        monkeypatch.setattr(rollback_timer, name, str(tmp_path / value))
    (tmp_path / "bin").mkdir()
    (tmp_path / "etc").mkdir()
    for name in ("systemctl", "systemd-run"):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/commands\n')
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return tmp_path


def change(host: Path) -> list[file_plan.Change]:
    """One file replaced, one new, one link gone, one new directory."""
    owner = {"owner": str(os.geteuid()), "group": str(os.getegid())}
    (host / "etc/old").write_text("old\n")
    (host / "etc/old").chmod(0o600)
    (host / "etc/link").symlink_to("old")
    return file_plan.make_plan([Entry(str(host / "etc/old"), "file", data=b"new\n", **owner), Entry(str(host / "etc/d"), "directory", mode=0o755, **owner),
                                Entry(str(host / "etc/d/new"), "file", data=b"new\n", **owner), Entry(str(host / "etc/link"), "absent")])


def carry_out(host: Path) -> None:
    """Make the change."""
    (host / "etc/old").write_text("new\n")
    (host / "etc/old").chmod(0o644)
    (host / "etc/d").mkdir()
    (host / "etc/d/new").write_text("new\n")
    (host / "etc/link").unlink()


def undo(host: Path) -> None:
    """Run what the unit runs."""
    line = next(line for line in rollback_timer.SERVICE.splitlines() if line.startswith("ExecStart="))
    words = line.partition("-c ")[2].strip("'").replace("/var/lib/host_access", str(host / "state"))
    subprocess.run(["sh", "-c", words], check=True, capture_output=True)


WAS = {"ssh.service": {"active": True, "enabled": True}, "wall.service": {"active": False, "enabled": False}}


def test_an_undo_restores_files_links_and_units(host: Path) -> None:
    changes = change(host)
    rollback_timer.arm(changes, WAS, 60, {"token": "t"})
    carry_out(host)
    undo(host)
    assert (host / "etc/old").read_text() == "old\n"
    assert (host / "etc/old").stat().st_mode & 0o777 == 0o600
    assert os.readlink(host / "etc/link") == "old"
    assert sorted(os.listdir(host / "etc")) == ["link", "old", "wants"]
    assert os.listdir(host / "state") == []
    commands = (host / "commands").read_text().splitlines()
    assert "systemctl stop wall.service" in commands
    assert "systemctl disable wall.service" in commands
    assert commands.index("systemctl daemon-reload") < commands.index("systemctl --no-block restart ssh.service")
    assert "systemctl --no-block restart wall.service" not in commands


def test_an_interrupted_undo_is_finished_by_the_next_one(host: Path) -> None:
    changes = change(host)
    rollback_timer.arm(changes, WAS, 60, {"token": "t"})
    carry_out(host)
    (host / "state/pending").rename(host / "state/undoing")
    (host / "etc/d/new").unlink()
    undo(host)
    assert (host / "etc/old").read_text() == "old\n"
    assert not (host / "etc/d").exists()


def test_the_timer_starts_before_anything_changes_and_a_boot_runs_the_undo_too(host: Path) -> None:
    rollback_timer.arm(change(host), WAS, 42, {"token": "t"})
    assert "systemd-run --quiet --on-active=42s" in (host / "commands").read_text()
    assert os.readlink(host / "etc/wants/undo.service") == str(host / "etc/undo.service")
    assert (host / "etc/old").read_text() == "old\n"


def test_a_timer_that_cannot_be_started_stops_the_change(host: Path) -> None:
    (host / "bin/systemd-run").write_text("#!/bin/sh\necho no bus >&2; exit 1\n")
    with pytest.raises(file_plan.Problem, match="rollback timer could not be started: no bus"):
        rollback_timer.arm(change(host), WAS, 60, {"token": "t"})
    assert os.listdir(host / "state") == []
    assert not (host / "etc/undo.service").exists()


def test_only_the_waiting_change_can_be_confirmed_and_only_once(host: Path) -> None:
    rollback_timer.arm(change(host), WAS, 60, {"token": "t"})
    assert not rollback_timer.confirm("another")
    assert rollback_timer.armed() is not None
    assert rollback_timer.confirm("t")
    assert not rollback_timer.confirm("t")
    assert os.listdir(host / "state") == []
    assert not (host / "etc/undo.service").exists()


def test_a_change_whose_undo_has_begun_cannot_be_confirmed(host: Path) -> None:
    rollback_timer.arm(change(host), WAS, 60, {"token": "t"})
    (host / "state/pending").rename(host / "state/undoing")
    assert not rollback_timer.confirm("t")
