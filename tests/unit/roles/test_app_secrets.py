"""app_secrets: what is written, and which keys are left to the host."""

from __future__ import annotations

import support


def test_the_env_file_holds_the_entrys_environment() -> None:
    app = support.SHOP | {"env": {"PASSWORD": 'a"b$', "FLASK_PIN": "1234"}}
    lines = support.render("app_secrets", "app.env.j2", app).splitlines()
    assert lines[0:3] == ["#", "# Ansible managed", "#"]
    assert lines[4:] == ['PASSWORD="a\\"b\\$"', 'FLASK_PIN="\\"1234\\""']


def test_an_empty_environment_is_a_file_of_comments() -> None:
    assert all(line.startswith("#") for line in support.render("app_secrets", "app.env.j2").splitlines())


def test_the_secret_key_is_generated_unless_it_is_given() -> None:
    assert support.role_vars("app_secrets")["__app_secrets_missing"] == ["FLASK_SECRET_KEY"]
    given = support.SHOP | {"env": {"FLASK_SECRET_KEY": "given"}, "app_secrets": {"generated": ["FLASK_SECRET_KEY", "OTHER"]}}
    assert support.role_vars("app_secrets", given)["__app_secrets_missing"] == ["OTHER"]
    assert support.role_vars("app_secrets", support.SHOP | {"app_secrets": {"generated": []}})["__app_secrets_missing"] == []
