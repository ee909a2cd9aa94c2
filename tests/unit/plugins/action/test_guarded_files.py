"""The controller after a change: few attempts to confirm it through new connections, then a rollback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.action import guarded_files

CHANGED = {"changed": True, "changed_files": ["/etc/x"]}


class Connection:
    """A connection that stores its options."""

    def __init__(self) -> None:
        self.options = {"ssh_args": "-o ControlPersist=60s"}

    def get_option(self, name: str) -> str:
        return self.options[name]

    def set_option(self, name: str, value: str) -> None:
        self.options[name] = value


@pytest.fixture
def confirmed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[dict[str, Any], list[tuple[str, str]]]]:
    """Confirm against a host that responds from a given attempt on, by phase."""
    clock = [0.0]
    monkeypatch.setattr(guarded_files.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(guarded_files.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))

    def run(each_takes: float = 1, reason: str = "no route", **responds_from: int) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        action, asked = object.__new__(guarded_files.ActionModule), []
        action._connection = Connection()

        def ask(variables: dict[str, Any], phase: str, **more: Any) -> tuple[bool, str]:
            clock[0] += each_takes
            asked.append((phase, "new" if action._connection.options["ssh_args"].startswith("-o ControlMaster=no") else "shared"))
            return sum(phase == one for one, _ in asked) >= responds_from.get(phase, 99), reason

        monkeypatch.setattr(action, "_ask", ask)
        result = action._confirmed(dict(CHANGED), "token", 60, {})
        assert action._connection.options == {"ssh_args": "-o ControlPersist=60s"}
        return result, asked

    return run


def test_one_new_connection_confirms_the_change(confirmed: Callable[..., Any]) -> None:
    assert confirmed(confirm=1) == ({**CHANGED, "confirmed": True}, [("confirm", "new")])


def test_the_third_attempt_still_confirms(confirmed: Callable[..., Any]) -> None:
    result, asked = confirmed(confirm=3)
    assert result["confirmed"]
    assert asked == [("confirm", "new")] * 3


def test_without_a_confirmation_the_open_connection_undoes_the_change(confirmed: Callable[..., Any]) -> None:
    result, asked = confirmed(undo=1)
    assert asked == [("confirm", "new")] * 3 + [("undo", "shared")]
    assert result["failed"]
    assert not result["changed"]
    assert "The old state is back. Last error: no route." in result["msg"]


def test_without_an_open_connection_the_timer_undoes_the_change(confirmed: Callable[..., Any]) -> None:
    result, asked = confirmed(undo=2)
    assert asked[3:] == [("undo", "shared"), ("undo", "new")]
    assert "The old state is back" in result["msg"]


def test_slow_attempts_leave_time_for_the_undo(confirmed: Callable[..., Any]) -> None:
    result, asked = confirmed(each_takes=30)
    assert [phase for phase, _ in asked].count("confirm") == 2
    assert "its own timer restores the old state" in result["msg"]


def test_a_refused_login_names_the_settings_to_check(confirmed: Callable[..., Any]) -> None:
    result, _ = confirmed(undo=1, reason="root@192.0.2.1: Permission denied (publickey).")
    assert "Permission denied (publickey). sshd refuses this run's login: check host_access_ssh_users" in result["msg"]


@pytest.fixture
def awaited(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[dict[str, Any], list[str]]]:
    """Wait for a login that comes after some looks, or never."""
    clock = [0.0]
    monkeypatch.setattr(guarded_files.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(guarded_files.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))

    def run(login_after: int) -> tuple[dict[str, Any], list[str]]:
        action, asked = object.__new__(guarded_files.ActionModule), []

        def ask(variables: dict[str, Any], phase: str, **more: Any) -> tuple[bool, str]:
            asked.append(phase)
            return phase == "undo" or asked.count("confirm") > login_after, "there was no login over SSH since the change"
        monkeypatch.setattr(action, "_ask", ask)
        return action._login_awaited(dict(CHANGED), "token", 60, {}), asked
    return run


def test_on_the_host_itself_a_login_confirms_the_change(awaited: Callable[..., Any]) -> None:
    assert awaited(3) == ({**CHANGED, "confirmed": True}, ["confirm"] * 4)


def test_on_the_host_itself_the_old_state_is_back_without_a_login(awaited: Callable[..., Any]) -> None:
    result, asked = awaited(99)
    assert result["failed"] and not result["changed"] and asked == ["confirm"] * 18 + ["undo"]
    assert "was not confirmed by a login within 36 seconds. The old state is back. Last error: there was no login" in result["msg"]
