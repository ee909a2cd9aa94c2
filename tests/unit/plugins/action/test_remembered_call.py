"""Tasks of modules that keep their arguments need no call where the host has said in this play that there is nothing to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.plugins.action import ActionBase
from ansible_collections.bulwark.flask.plugins.action import acme_certificate, credential_files, generated_secrets, own_certificate
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import remembered
from ansible_collections.bulwark.flask.plugins.modules import acme_certificate as acme_certificate_module
from ansible_collections.bulwark.flask.plugins.modules import credential_files as credential_files_module
from ansible_collections.bulwark.flask.plugins.modules import generated_secrets as generated_secrets_module
from ansible_collections.bulwark.flask.plugins.modules import own_certificate as own_certificate_module
from ansible_collections.bulwark.flask.plugins.plugin_utils import unchanged
from ansible_collections.bulwark.flask.plugins.plugin_utils.run_key import RUN_KEY

CALLS: dict[Any, tuple[dict[str, Any], str]] = {
    acme_certificate.ActionModule: ({"name": "shop", "state": "issued"}, "acme_certificate-shop"),
    credential_files.ActionModule: ({"path": "/etc/flask-secrets/shop.credentials", "credentials": {"a": "b"}}, "credential_files-shop.credentials"),
    own_certificate.ActionModule: ({"name": "shop", "chain": "a"}, "own_certificate-shop"),
    generated_secrets.ActionModule: ({"path": "/etc/flask-secrets/shop.generated.env", "names": ["A"]}, "generated_secrets-shop.generated.env")}


@pytest.fixture(name="run")
def _run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run an action; returns its result, and the arguments of the module, if it was called."""
    monkeypatch.setattr(ActionBase, "run", lambda *_unused: {})

    def run(kind: Any, known: Any = None, changes: bool = False, facts: Any = None, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        action, called = object.__new__(kind), {}
        action._task = SimpleNamespace(args={**CALLS[kind][0], **more})
        action._templar = SimpleNamespace(template=lambda value: value)
        monkeypatch.setattr(action, "_execute_module", lambda **given: called.update(given["module_args"]) or {"changed": changes})
        return action.run(task_vars={"ansible_facts": facts or {}, unchanged.UNCHANGED_PARTS: known or {}}), called

    return run


@pytest.mark.parametrize("kind", CALLS)
def test_the_same_arguments_need_no_call_until_something_changes(run: Any, kind: Any) -> None:
    arguments, name = CALLS[kind]
    result, called = run(kind, changes=True)
    assert called == {**arguments, "_digest": called["_digest"]}
    known = {name: remembered.digest(RUN_KEY, called["_digest"])}
    assert run(kind, known) == ({"changed": False, **kind.NOTHING}, {})
    assert run(kind, known, more="b")[1] and run(kind, {name: "0" * 64})[1]
    facts = {fact.removeprefix("ansible_"): value for fact, value in result["ansible_facts"].items()}
    assert run(kind, known, facts=facts)[1]


@pytest.mark.parametrize(("kind", "module"), zip(
    CALLS, (acme_certificate_module, credential_files_module, own_certificate_module, generated_secrets_module)))
def test_the_return_values_are_those_of_the_module(kind: Any, module: Any) -> None:
    always = {name for name, value in yaml.safe_load(module.RETURN).items() if value["returned"] == "success"}
    assert {*kind.NOTHING} == always
    assert kind.MODULE in remembered.MODULES
