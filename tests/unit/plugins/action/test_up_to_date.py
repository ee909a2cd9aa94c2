"""What the host says of its last complete runs is compared with the inputs of this run, and no digest is returned."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.bulwark.flask.plugins.action import application_conflicts, complete_run
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import remembered
from ansible_collections.bulwark.flask.plugins.plugin_utils import inputs_digest, unchanged
from ansible_collections.bulwark.flask.plugins.plugin_utils.run_key import RUN_KEY

INPUTS = {"": "0" * 64, "shop": "1" * 64}


@pytest.fixture(name="run")
def _run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run an action; returns its result, and the arguments of the module."""
    monkeypatch.setattr(ActionBase, "run", lambda *_unused: {})
    monkeypatch.setattr(inputs_digest, "Inputs", lambda *_unused: SimpleNamespace(
        entries={"shop": {}}, digests=lambda: INPUTS, calls=lambda name: [f"acme_certificate-{name}"],
        source_secrets=lambda names: {name: {"token": "t"} for name in names}))

    def run(kind: Any, arguments: dict[str, Any] | None = None, **result: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        action, called = object.__new__(kind), {}
        action._task, action._templar = SimpleNamespace(args=arguments or {"applications": [{"name": "shop"}]}), None
        action._loader = SimpleNamespace(get_text_file_contents=None)
        monkeypatch.setattr(action, "_execute_module", lambda **given: called.update(given["module_args"]) or {"changed": False, **result})
        return action.run(task_vars={}), called

    return run


def keyed(**digests: str) -> dict[str, str]:
    return {name.strip("_"): remembered.digest(RUN_KEY, digest) for name, digest in digests.items()}


@pytest.mark.parametrize(("left", "applications", "host"), [
    (keyed(_="0" * 64, shop="1" * 64), ["shop"], True),
    (keyed(_="0" * 64, shop="2" * 64), [], True),
    (keyed(_="1" * 64, shop="1" * 64), ["shop"], False),
    (keyed(blog="1" * 64), [], False),
    ({"shop": "1" * 64}, [], False),
    ({}, [], False),
])
def test_only_the_same_inputs_are_up_to_date(run: Any, left: dict[str, str], applications: list[str], host: bool) -> None:
    result, called = run(application_conflicts.ActionModule, up_to_date=left)
    assert called["_key"] == RUN_KEY and called["_source_secrets"] == {"shop": {"token": "t"}}
    assert (result["up_to_date"], result["host_up_to_date"]) == (applications, host)
    assert result["change_mark"] == unchanged.IN_THIS_RUN and INPUTS["shop"] not in str(result)


def test_a_failure_has_nothing_up_to_date(run: Any) -> None:
    result, _called = run(application_conflicts.ActionModule, failed=True, msg="in the way")
    assert result["failed"] and result["msg"] == "in the way" and result["up_to_date"] == []


@pytest.mark.parametrize(("arguments", "is_called"), [
    ({"applications": {"shop": "/srv/shop"}}, True),
    ({"applications": {}, "host": True}, True),
    ({"applications": {"with-template": "/srv/with-template"}, "host": True}, True),
    ({"applications": {"with-template": "/srv/with-template"}}, False),
    ({"applications": {}}, False),
])
def test_the_host_gets_the_digests_of_a_complete_run_where_there_is_one(run: Any, arguments: dict[str, Any], is_called: bool) -> None:
    result, called = run(complete_run.ActionModule, arguments)
    assert called == ({**arguments, "_inputs": INPUTS, "_calls": {"shop": ["acme_certificate-shop"]}} if is_called else {})
    assert is_called or result == {"changed": False, "recorded": []}
