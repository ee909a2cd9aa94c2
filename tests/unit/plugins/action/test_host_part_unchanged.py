"""A task of host_part needs no call where the host has said in this play that there is nothing to do."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.action import file_set, host_part
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import remembered
from ansible_collections.bulwark.flask.plugins.plugin_utils import unchanged as unchanged_parts
from ansible_collections.bulwark.flask.plugins.plugin_utils.run_key import RUN_KEY

FILES = [{"dest": "/etc/demo.conf", "content": "a"}]


class Task:
    """A task with arguments."""

    def __init__(self, **arguments: Any) -> None:
        self.args = {"name": "demo", "files": FILES, **arguments}


class Templar:
    """Nothing has to be rendered."""

    def template(self, value: Any) -> Any:
        return value


@pytest.fixture(name="run")
def _run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the action; returns its result, and the digest with which the module was called, if it was."""
    monkeypatch.setattr(file_set.ActionBase, "run", lambda *_unused: {})
    monkeypatch.setattr(file_set.ActionModule, "_content", lambda _self, entry, _variables: entry["content"].encode())

    def run(changes: bool = False, facts: Any = None, unchanged: Any = None, **arguments: Any) -> tuple[dict[str, Any], str]:
        action, called = object.__new__(host_part.ActionModule), []
        action._task, action._templar = Task(**arguments), Templar()

        def execute(**given: Any) -> dict[str, Any]:
            called.append(given["module_args"]["_digest"])
            return {"changed": changes}

        monkeypatch.setattr(action, "_execute_module", execute)
        variables = {"ansible_facts": facts or {}, **({unchanged_parts.UNCHANGED_PARTS: unchanged} if unchanged is not None else {})}
        return action.run(task_vars=variables), (called or [""])[0]

    return run


@pytest.fixture(name="known")
def _known(run: Any) -> dict[str, str]:
    return {"demo": remembered.digest(RUN_KEY, run()[1])}


def test_the_same_arguments_need_no_call(run: Any, known: dict[str, str]) -> None:
    result, called = run(unchanged=known)
    assert not called and result == {"changed": False, **host_part.UNCHANGED}


@pytest.mark.parametrize("arguments", [
    {"files": [{"dest": "/etc/demo.conf", "content": "b"}]}, {"packages": ["cron"]}, {"units": {"a.service": {"state": "started"}}}, {"name": "other"}])
def test_other_arguments_need_one(run: Any, known: dict[str, str], arguments: dict[str, Any]) -> None:
    assert run(unchanged=known, **arguments)[1]


@pytest.mark.parametrize("unchanged", [None, {}, {"demo": "0" * 64}])
def test_a_part_that_is_not_known_needs_one(run: Any, unchanged: Any) -> None:
    assert run(unchanged=unchanged)[1]


def test_after_a_change_each_part_is_called(run: Any, known: dict[str, str]) -> None:
    result, _called = run(changes=True, unchanged={})
    facts = {name.removeprefix("ansible_"): value for name, value in result["ansible_facts"].items()}
    assert run(unchanged=known, facts=facts)[1]
    assert not run(unchanged=known, facts={unchanged_parts.CHANGED: "of another run, from a cache"})[1]
    assert "ansible_facts" not in run(unchanged={})[0] and "ansible_facts" not in run(changes=True)[0]


def test_the_return_values_are_those_of_the_module() -> None:
    documented = {line.split(":")[0] for line in host_part_returns().splitlines() if line and not line.startswith(" ")}
    assert {*host_part.UNCHANGED} == documented


def host_part_returns() -> str:
    from ansible_collections.bulwark.flask.plugins.modules import host_part as module

    return module.RETURN
