"""What must be in effect besides files and units: what is set, what is reported, and what fails."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Problem
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import in_effect, units

NOTHING: dict[str, Any] = {"sysctl": {}, "own_file": "60-a.conf", "mounts": {}, "mounts_unit": "", "running": {}, "apparmor": False, "accounts": False}


class Module:
    """A module whose commands end with a status; `ran` is what was run."""

    def __init__(self, check_mode: bool = False, **status: int) -> None:
        self.check_mode, self.status, self.ran = check_mode, status, []

    def run_command(self, command: list[str], **_unused: Any) -> tuple[int, str, str]:
        self.ran.append(" ".join(command))
        return next((rc for word, rc in self.status.items() if word in command), 0), "", "it failed"


@pytest.fixture(name="ensure")
def _ensure(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Settings after a run of a module, where units have these states."""
    monkeypatch.setattr(units, "record", lambda *_unused: None)

    def ensure(module: Module, states: dict[str, units.State] | None = None, **options: Any) -> in_effect.Settings:
        monkeypatch.setattr(units, "look", lambda names, _run: {name: (states or {}).get(name, units.State(load="not-found")) for name in names})
        made = in_effect.Settings(module, {**NOTHING, **options}, SimpleNamespace(add=lambda *_unused: None))
        made.ensure()
        return made

    return ensure


STOPPED = units.State(load="loaded", active="inactive", file="disabled")
RUNS = units.State(load="loaded", active="active", file="enabled")
TIME = {"time": ["a.service", "b.service"]}


def test_one_that_runs_is_enough(ensure: Any) -> None:
    module = Module()
    made = ensure(module, {"a.service": STOPPED, "b.service": RUNS}, running=TIME)
    assert (made.done, made.refused, module.ran) == ([], [], [])


def test_the_first_that_is_installed_is_started_and_one_that_does_not_start_fails(ensure: Any) -> None:
    module = Module(start=1, **{"systemd-detect-virt": 1})
    with pytest.raises(Problem, match=r"time: b\.service does not run: it failed"):
        ensure(module, {"b.service": STOPPED}, running=TIME)
    assert "systemctl start b.service" in module.ran and not any("a.service" in command for command in module.ran)


def test_in_a_container_it_is_reported(ensure: Any) -> None:
    made = ensure(Module(start=1), {"b.service": STOPPED}, running=TIME)
    assert made.refused == ["time: b.service does not run: it failed"]


def test_without_a_failure_a_condition_is_not_met(ensure: Any) -> None:
    made = ensure(Module(**{"systemd-detect-virt": 1}), {"b.service": STOPPED}, running=TIME)
    assert made.refused == ["time: b.service does not run: inactive; a condition of the unit is not met"]


def test_check_mode_runs_nothing(ensure: Any) -> None:
    module = Module(check_mode=True)
    made = ensure(module, {"a.service": STOPPED}, running=TIME, mounts={"/": ["no-such-option"]}, mounts_unit="m.service")
    assert made.done == ["/", "a.service"] and module.ran == []


def test_a_mount_that_a_restart_does_not_correct_is_reported(ensure: Any) -> None:
    module = Module()
    made = ensure(module, mounts={"/": ["no-such-option"]}, mounts_unit="m.service")
    assert (made.done, module.ran) == ([], ["systemctl restart m.service"])
    assert made.refused == ["/ is mounted without no-such-option; m.service did not change that"]


def test_apparmor_and_accounts_are_looked_at(ensure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_effect, "APPARMOR", tmp_path / "none")
    monkeypatch.setattr(in_effect, "PAM", tmp_path / "none")
    (tmp_path / "passwd").write_text("root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\n", encoding="utf-8")
    (tmp_path / "shadow").write_text("me::1:\n", encoding="utf-8")
    monkeypatch.setattr(in_effect, "ACCOUNTS", (tmp_path / "passwd", tmp_path / "shadow"))
    refused = ensure(Module(), apparmor=True, accounts=True).refused
    assert [text.partition(":")[0] for text in refused] == ["AppArmor", "passwords", "accounts", "accounts"]
    assert [text.partition(":")[0] for text in ensure(Module(check_mode=True), accounts=True).refused] == ["accounts", "accounts"]
    assert ensure(Module()).refused == []
