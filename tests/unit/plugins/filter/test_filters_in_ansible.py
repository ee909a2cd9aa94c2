"""The filters as templates call them: templated, tagged and vaulted values."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString, VaultLib, VaultSecret
from ansible.template import Templar, trust_as_template
from ansible_collections.bulwark.flask.tests.unit.support import _trusted


def evaluate(expression: str, **variables: Any) -> Any:
    return Templar(loader=DataLoader(), variables=_trusted(variables)).template(trust_as_template("{{ " + expression + " }}"))


@pytest.fixture
def vaulted(monkeypatch: pytest.MonkeyPatch) -> EncryptedString:
    """A vaulted `va"ult$1`, and a controller that knows the password."""
    vault = VaultLib([("default", VaultSecret(b"password"))])
    text = vault.encrypt('va"ult$1').decode()
    monkeypatch.setattr("ansible.parsing.vault.VaultSecretsContext._current", None, raising=False)
    from ansible.parsing.vault import VaultSecretsContext

    VaultSecretsContext.initialize(VaultSecretsContext(secrets=[("default", VaultSecret(b"password"))]))
    return EncryptedString(ciphertext=text)


def test_templates_inside_values_are_rendered() -> None:
    env = {"A": "{{ word }}-{{ 1 + 1 }}", "FLASK_L": ["{{ word }}", {"k": "{{ number }}"}], "FLASK_N": "{{ number }}"}
    assert evaluate("env | bulwark.flask.env_file", env=env, word="in", number=3) == (
        'A="in-2"\nFLASK_L="[\\"in\\", {\\"k\\": 3}]"\nFLASK_N="3"\n')


def test_a_vaulted_value_is_written_like_a_plain_one(vaulted: EncryptedString) -> None:
    env = {"A": vaulted, "FLASK_L": [vaulted]}
    assert evaluate("env | bulwark.flask.env_file", env=env) == 'A="va\\"ult\\$1"\nFLASK_L="[\\"va\\\\\\"ult\\$1\\"]"\n'


def test_an_entry_is_laid_over_the_defaults_mapping_by_mapping() -> None:
    apps = {"shop": {"domains": ["a"], "env": {"A": "{{ word }}"}, "section": {"x": 1}}, "blog": {"section": {"y": 5}}}
    defaults = {"domains": ["b", "c"], "env": {"A": "below", "B": True}, "section": {"y": 2}, "name": "never"}
    entries = evaluate("apps | bulwark.flask.app_entries(defaults)", apps=apps, defaults=defaults, word="in")
    assert entries == [
        {"domains": ["a"], "env": {"A": "in", "B": True}, "section": {"y": 2, "x": 1}, "name": "shop"},
        {"domains": ["b", "c"], "env": {"A": "below", "B": True}, "section": {"y": 5}, "name": "blog"},
    ]
    assert list(entries[0]["section"]) == ["y", "x"]


def test_entries_keep_vaulted_values_usable(vaulted: EncryptedString) -> None:
    expression = "(apps | bulwark.flask.app_entries({}) | first).env | bulwark.flask.env_file"
    assert evaluate(expression, apps={"shop": {"env": {"A": vaulted}}}) == 'A="va\\"ult\\$1"\n'


def test_neither_applications_nor_defaults_are_changed() -> None:
    apps, defaults = {"shop": {"s": {"x": 1}}}, {"s": {"y": 2}}
    evaluate("apps | bulwark.flask.app_entries(defaults)", apps=apps, defaults=defaults)
    assert (apps, defaults) == ({"shop": {"s": {"x": 1}}}, {"s": {"y": 2}})


@pytest.mark.parametrize(("apps", "defaults", "words"), [
    ([{"name": "shop"}], {}, "flask_apps must be a mapping with one key per application"),
    ({"shop": None}, {}, "flask_apps: shop must be a mapping"),
    ({"shop": {}}, ["x"], "flask_app_defaults must be a mapping"),
])
def test_a_wrong_type_is_reported_in_words(apps: Any, defaults: Any, words: str) -> None:
    with pytest.raises(AnsibleError, match=words):
        evaluate("apps | bulwark.flask.app_entries(defaults)", apps=apps, defaults=defaults)
