"""Records of releases: status, history, and a killed run."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release import history
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate import activation, tasks
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.activation import Activation
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.report import summary
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.units import Ran
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.history import FAILED, GOOD, ROLLED_BACK, Record
from ansible_collections.bulwark.flask.plugins.module_utils.release.options import Options


@pytest.fixture(name="live")
def _live(tmp_path: Path, make_options: Callable[..., Options]) -> Activation:
    """Five finished releases, the third of them live."""
    found = Activation(make_options(base=tmp_path))
    found.gid = found.instances.gid = -1
    for number in range(1, 6):
        release = tmp_path / "releases" / f"r{number}"
        release.mkdir(parents=True)
        (release / "manifest.json").write_text(json.dumps({"release": release.name}))
    found.instances.create("r3", "r3")
    found.instances.make_live("r3")
    return found


def with_statuses(live: Activation, monkeypatch: pytest.MonkeyPatch, *statuses: tuple[str, str]) -> None:
    """Set statuses, a minute apart."""
    for minute, (release, state) in enumerate(statuses):
        monkeypatch.setattr(history, "moment", lambda minute=minute: f"2026-01-31T10:{minute:02d}:00Z")
        live.record.set_status(release, state, "jo@laptop")


def test_the_rollback_target_is_the_good_release_that_was_live_last(live: Activation, monkeypatch: pytest.MonkeyPatch) -> None:
    with_statuses(live, monkeypatch, ("r1", GOOD), ("r5", GOOD), ("r2", GOOD), ("r3", GOOD))
    assert live.candidates().choose("") == "r2"
    with_statuses(live, monkeypatch, ("r2", ROLLED_BACK))
    assert live.candidates().choose("") == "r5"


@pytest.mark.parametrize(("state", "words"), [(ROLLED_BACK, "was rolled back on"), (FAILED, "failed on"), ("", "has never been live")])
def test_a_rollback_to_a_bad_release_is_refused(live: Activation, monkeypatch: pytest.MonkeyPatch, state: str, words: str) -> None:
    with_statuses(live, monkeypatch, ("r1", GOOD), ("r3", GOOD), *([("r2", state)] if state else []))
    with pytest.raises(ReleaseError, match=words) as refused:
        live.candidates().choose("r2")
    assert "Good ones: r1" in str(refused.value)


def test_without_an_earlier_good_release_a_rollback_is_refused(live: Activation, monkeypatch: pytest.MonkeyPatch) -> None:
    with_statuses(live, monkeypatch, ("r3", GOOD), ("r4", FAILED))
    with pytest.raises(ReleaseError, match="no good release before it"):
        live.candidates().choose("")
    with pytest.raises(ReleaseError, match="There is no release r9"):
        live.candidates().choose("r9")


def test_the_rollback_target_is_not_pruned(live: Activation, monkeypatch: pytest.MonkeyPatch) -> None:
    with_statuses(live, monkeypatch, ("r1", GOOD), ("r3", GOOD))
    assert live.prune() == ["r2"]
    assert sorted(path.name for path in live.releases.folder.iterdir()) == ["r1", "r3", "r4", "r5"]


def test_a_run_that_was_killed_is_closed_by_the_next(live: Activation) -> None:
    live.record.begin("deploy", "ann@desk", release="r3", previous="r1")
    assert live.recover()
    assert [(entry["by"], entry["result"]) for entry in live.record.history()] == [("ann@desk", "interrupted")]
    assert live.record.status("r3")["by"] == "ann@desk", "what it made live has served"
    assert not live.recover()


def test_the_live_instance_keeps_connections_again_after_a_run_that_was_killed(live: Activation) -> None:
    assert live.instances.end_kept_connections("r3", 0)
    live.recover()
    assert (live.instances.folder / "r3" / "keepalive").stat().st_mode & 0o040


def test_an_interrupted_rollback_marks_the_release_it_left(live: Activation) -> None:
    live.record.begin("rollback", "ann@desk", release="r3", previous="r4")
    live.recover()
    assert live.record.state("r4") == ROLLED_BACK


def test_links_a_killed_run_left_are_removed(live: Activation) -> None:
    (live.base / ".current.77").symlink_to("instances/r1")
    assert live.recover()
    assert not list(live.base.glob(".current.*"))


def test_the_history_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT", 3)
    record = Record(tmp_path)
    for number in range(5):
        record.end(record.begin("deploy", "jo", number=number), "live")
    assert [entry["number"] for entry in record.history()] == [2, 3, 4]


def test_a_broken_line_of_the_history_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"action": "deploy"}\n{"action": "rollb\n')
    assert Record(tmp_path).history() == [{"action": "deploy"}]


def test_no_status_is_written_for_a_release_that_is_gone(tmp_path: Path) -> None:
    Record(tmp_path).set_status("r1", GOOD, "jo")
    assert not (tmp_path / "releases").exists()


def test_the_report_has_every_step_with_its_time() -> None:
    answer = {"release": "r2", "steps": {"build": 4.1, "preflight": 1.2, "swap": 0.01}, "report": {"table": "all is well"}}
    assert summary("shop", answer, {"venv": 1.0, "seal": 0.01}) == [
        "shop: r2 is live, 5.3 s", "  build        4.1 s  (venv 1.0 s)", "  preflight    1.2 s", "  swap           0 s", "all is well"]
    assert summary("shop", {**answer, "steps": {}}) == ["shop: r2 is live; nothing to do"]


def test_the_report_names_the_places_that_were_found() -> None:
    answer = {"release": "r2", "steps": {"swap": 0.1}, "report": {}, "kept": ["/var/lib/shop/shared", "uploads", "app.db"]}
    assert "are kept in /var/lib/shop/shared: uploads, app.db" in "\n".join(summary("shop", answer))


def test_places_that_were_found_are_kept_in_later_releases(tmp_path: Path, make_options: Callable[..., Options]) -> None:
    (tmp_path / "shared.json").write_text('{"found": ["uploads", "instance/cache"]}')
    assert Activation(make_options(base=tmp_path)).shared.entries == ["instance", "uploads"]


def test_the_end_of_a_commands_output_is_shown() -> None:
    ran = Ran(1, "exit-code", "".join(f"line {n}\n" for n in range(100)), "boom\n")
    assert tasks.output_of(ran).splitlines()[-2:] == ["  line 99", "  boom"]
    assert tasks.output_of(Ran(1, "timeout", "", "")) == "  (no output)"


@pytest.fixture(name="without_systemd")
def _without_systemd(live: Activation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run as they are."""
    def run(_instance: str, argv: list[str], folder: Path, _seconds: int, environment: dict[str, str]) -> Ran:
        done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        return Ran(done.returncode, "success" if done.returncode == 0 else "exit-code", done.stdout, done.stderr)
    monkeypatch.setattr(live.units, "run_once", run)
    monkeypatch.setattr(live.units, "stop", lambda instance: None)


@pytest.mark.usefixtures("without_systemd")
@pytest.mark.parametrize("imported", [True, False])
def test_a_command_that_fails_before_the_import_hides_no_refusal(live: Activation, monkeypatch: pytest.MonkeyPatch, imported: bool) -> None:
    def refuse(_release: str, whole: bool, look_ahead: bool) -> None:
        live.report = {"ok": False} if imported else {}
        raise ReleaseError("preflight", "SECRET_KEY is a placeholder")
    monkeypatch.setattr(live, "inspect", refuse)
    live.options = replace(live.options, prepare=["no-such-program"])
    with pytest.raises(ReleaseError, match="no-such-program") as refused:
        live._prepare("r4")
    assert ("SECRET_KEY is a placeholder" in str(refused.value)) == imported


@pytest.mark.usefixtures("without_systemd")
def test_what_prepares_the_first_start_runs_until_it_has_succeeded_once(live: Activation, tmp_path: Path) -> None:
    tables, data = tmp_path / "tables", tmp_path / "data"
    live.options = replace(live.options, prepare_once=[f"echo made >> {tables}", f"test -d {data} && cd {data} && echo made >> posts"])
    with pytest.raises(ReleaseError, match="A command of prepare_once failed .*test -d"):
        live.run_before("r4", "prepare_once")
    data.mkdir()
    for release in ("r4", "r5"):
        live.run_before(release, "prepare_once")
    assert [tables.read_text(), (data / "posts").read_text()] == ["made\n", "made\n"]


def test_an_instance_whose_socket_was_deleted_is_replaced(live: Activation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.units, "is_serving", lambda instance: True)
    live.instances.write_stamp("r3", activation.file_state(live.options.restart_on_change))
    assert live.needs_switch("r3")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(live.instances.socket("r3")))
        assert not live.needs_switch("r3")
