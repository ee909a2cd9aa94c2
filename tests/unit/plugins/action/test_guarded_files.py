"""What the controller does after a change: few attempts through new connections, then the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.action import guarded_files

CHANGED = {"changed": True, "changed_files": ["/etc/x"]}


class Connection:
    """Keeps its options."""

    def __init__(self) -> None:
        self.options = {"ssh_args": "-o ControlPersist=60s"}

    def get_option(self, name: str) -> str:
        return self.options[name]

    def set_option(self, name: str, value: str) -> None:
        self.options[name] = value


@pytest.fixture
def confirmed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[dict[str, Any], list[tuple[str, str]]]]:
    """Run it against a host that answers as told: by phase, from which attempt on it does."""
    clock = [0.0]
    monkeypatch.setattr(guarded_files.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(guarded_files.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))

    def run(each_takes: float = 1, **answers_from: int) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        action, asked = object.__new__(guarded_files.ActionModule), []
        action._connection = Connection()

        def ask(variables: dict[str, Any], phase: str, **more: Any) -> tuple[bool, str]:
            clock[0] += each_takes
            asked.append((phase, "new" if action._connection.options["ssh_args"].startswith("-o ControlMaster=no") else "shared"))
            return sum(phase == one for one, _ in asked) >= answers_from.get(phase, 99), "no route"

        monkeypatch.setattr(action, "_ask", ask)
        result = action._confirmed(dict(CHANGED), "token", 60, {})
        assert action._connection.options == {"ssh_args": "-o ControlPersist=60s"}
        return result, asked

    return run


def test_one_new_connection_is_enough(confirmed: Callable[..., Any]) -> None:
    assert confirmed(confirm=1) == ({**CHANGED, "confirmed": True}, [("confirm", "new")])


def test_a_hiccup_is_forgiven(confirmed: Callable[..., Any]) -> None:
    result, asked = confirmed(confirm=3)
    assert result["confirmed"]
    assert asked == [("confirm", "new")] * 3


def test_what_cannot_be_confirmed_goes_back_through_the_connection_that_is_open(confirmed: Callable[..., Any]) -> None:
    result, asked = confirmed(undo=1)
    assert asked == [("confirm", "new")] * 3 + [("undo", "shared")]
    assert result["failed"]
    assert not result["changed"]
    assert "The old state is back. The last attempt said: no route" in result["msg"]


def test_without_an_open_connection_it_is_looked_at_when_the_timer_has_run(confirmed: Callable[..., Any]) -> None:
    result, asked = confirmed(undo=2)
    assert asked[3:] == [("undo", "shared"), ("undo", "new")]
    assert "The old state is back" in result["msg"]


def test_attempts_are_few_also_where_each_takes_long(confirmed: Callable[..., Any]) -> None:
    result, asked = confirmed(each_takes=30)
    assert [phase for phase, _ in asked].count("confirm") == 2
    assert "its own timer puts the old state back" in result["msg"]
