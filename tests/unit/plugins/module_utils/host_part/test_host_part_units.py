"""Units: systemctl commands from the wanted and the present state."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.host_part.units import (
    CLOCK_SECONDS,
    State,
    Wanted,
    look,
    needs_reload,
    newest_process,
    not_loaded,
    steps,
    wanted_of,
)

RUNS = State("loaded", "active", False, "enabled")
NGINX = Wanted("nginx.service", True, "started", restart_on=("/etc/nginx/modules/*",), reload_on=("/etc/nginx/*",))


def commands(state: State, *changed: str, wanted: Wanted = NGINX, stale: frozenset[str] = frozenset()) -> list[str]:
    return [" ".join(words) for words in steps([wanted], {wanted.name: state}, set(changed), stale)]


def test_nothing_is_done_for_a_unit_that_is_as_it_should_be() -> None:
    assert commands(RUNS) == commands(RUNS, "/etc/other") == []


@pytest.mark.parametrize(("state", "expected"), [
    (State("loaded", "inactive", False, "enabled"), ["start nginx.service"]),
    (State("loaded", "failed", False, "enabled"), ["reset-failed nginx.service", "start nginx.service"]),
    (State("loaded", "active", False, "disabled"), ["enable nginx.service"]),
    (State("masked", "inactive", False, "masked"), ["unmask nginx.service", "enable nginx.service", "start nginx.service"]),
    (State("masked", "inactive", False, "masked-runtime"),
     ["unmask --runtime nginx.service", "enable nginx.service", "start nginx.service"]),
    (State(), ["enable nginx.service", "start nginx.service"]),
])
def test_units_that_were_stopped_disabled_or_masked_by_hand_run_again(state: State, expected: list[str]) -> None:
    assert commands(state) == expected


@pytest.mark.parametrize(("path", "expected"), [
    ("/etc/systemd/system/nginx.service.d/sandbox.conf", ["restart nginx.service"]),
    ("/etc/systemd/system/nginx.service", ["restart nginx.service"]),
    ("/etc/nginx/modules/brotli", ["restart nginx.service"]),
    ("/etc/nginx/sites/shop.conf", ["reload-or-restart nginx.service"]),
])
def test_a_change_restarts_or_reloads_the_units_that_read_it(path: str, expected: list[str]) -> None:
    assert commands(RUNS, path) == expected
    assert commands(State("loaded", "inactive", False, "enabled"), path) == ["start nginx.service"]


def test_a_change_of_a_template_restarts_its_instance() -> None:
    unit = Wanted("renew@shop.timer", True, "started")
    assert commands(RUNS, "/etc/systemd/system/renew@.timer", wanted=unit) == ["restart renew@shop.timer"]


def test_a_unit_that_systemd_has_not_read_anew_is_restarted() -> None:
    assert commands(RUNS, stale=frozenset(["nginx.service"])) == ["restart nginx.service"]
    assert needs_reload({"a": State(stale=True)}, set()) and not needs_reload({"a": State()}, {"/etc/nginx/a"})


def test_a_unit_whose_state_is_not_given_is_restarted_only_where_it_runs() -> None:
    unit = Wanted("polkit.service", restart_on=("/etc/a",))
    assert commands(RUNS, "/etc/a", wanted=unit) == ["try-restart polkit.service"]
    assert commands(State(), "/etc/a", wanted=unit) == []


def test_a_unit_of_others_that_is_still_starting_is_not_waited_for() -> None:
    unit = Wanted("polkit.service", restart_on=("/etc/a",))
    starting = State("loaded", "activating", file="enabled")
    assert commands(starting, "/etc/a", wanted=unit) == ["--no-block try-restart polkit.service"]


def test_a_unit_that_is_to_be_absent_is_stopped() -> None:
    unit = Wanted("ship.service", state="absent")
    assert commands(RUNS, wanted=unit) == ["stop ship.service"]
    assert commands(State(active="failed"), wanted=unit) == ["reset-failed ship.service"]
    assert commands(State(), wanted=unit) == []


def test_all_that_is_wrong_with_units_is_named_at_once() -> None:
    with pytest.raises(ValueError) as error:
        wanted_of({"nginx": {}, "a.service": {"stat": 1}, "b.service": {"state": "on", "enabled": "yes"}, "c.timer": {"reload_on": "x"}})
    for text in ("nginx: must be the full name", "unknown key stat", "b.service: state must be", "enabled must be", "c.timer: reload_on must be"):
        assert text in str(error.value)


def test_a_socket_whose_path_was_deleted_is_made_again(tmp_path: Path) -> None:
    shown = f"Listen={tmp_path}/a.sock (Stream)\nListen=127.0.0.1:80 (Stream)\nLoadState=loaded\nActiveState=active\nNeedDaemonReload=no\n"
    unit = Wanted("a.socket", True, "started")

    def states() -> dict[str, State]:
        return look(["a.socket"], lambda command: shown if "show" in command else "enabled\n")

    assert steps([unit], states(), set()) == [["restart", "a.socket"]]
    assert steps([Wanted("a.socket")], states(), set()) == [["try-restart", "a.socket"]]  # one that other units start
    (tmp_path / "a.sock").touch()
    assert steps([unit], states(), set()) == []


def test_a_file_that_changed_after_the_newest_process_started_is_not_loaded(tmp_path: Path) -> None:
    early, late = tmp_path / "early.conf", tmp_path / "late.conf"
    early.touch()
    with subprocess.Popen(["sleep", "30"]) as process:
        try:
            time.sleep(CLOCK_SECONDS + 0.2)
            late.touch()
            assert not_loaded(process.pid, [str(early), str(late), str(tmp_path), "/absent"]) == {str(late)}
        finally:
            process.kill()


def test_a_service_without_a_process_has_nothing_to_load(tmp_path: Path) -> None:
    (tmp_path / "site.conf").touch()
    assert newest_process(0) is None
    assert not_loaded(0, [str(tmp_path / "site.conf")]) == set()
