"""app_secrets: files, and keys that the host generates."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulwark.flask.tests.unit import support


def test_the_env_file_holds_the_entrys_environment() -> None:
    app = support.SHOP | {"env": {"PASSWORD": 'a"b$', "FLASK_PIN": "1234"}}
    lines = support.render("app_secrets", "app.env.j2", app).splitlines()
    assert lines[0:3] == ["#", "# Ansible managed", "#"]
    assert lines[5:] == ["# Names from the inventory: PASSWORD FLASK_PIN", 'PASSWORD="a\\"b\\$"', 'FLASK_PIN="\\"1234\\""']


def test_an_empty_environment_is_a_file_of_comments() -> None:
    assert all(line.startswith("#") for line in support.render("app_secrets", "app.env.j2").splitlines())


def files(app: dict[str, Any]) -> list[str]:
    """The entries of the role's file set, with states first."""
    found = support.role_vars("app_secrets", support.SHOP | {"app_secrets": app})
    entries = found["__app_secrets_files"] + found["__app_secrets_drop_in"]
    return [f"{entry['state']} {entry['dest']}" if "state" in entry else entry["dest"] for entry in entries]


def test_the_unit_gets_credentials_only_where_there_are_any() -> None:
    folder = "/etc/systemd/system/gunicorn-shop@.service.d"
    assert files({})[2:] == [f"absent {folder}/50-credentials.conf"]
    assert files({"credentials": {"a": "b"}})[2:] == [f"directory {folder}", f"{folder}/50-credentials.conf"]


@pytest.mark.parametrize(("encrypt", "setting"), [(True, "LoadCredentialEncrypted"), (False, "LoadCredential"), ("no", "LoadCredential")])
def test_the_unit_names_every_credential_and_no_value(encrypt: Any, setting: str) -> None:
    app = support.SHOP | {"app_secrets": {"credentials": {"a.pem": "hunter2", "b": "hunter3"}, "encrypt_credentials": encrypt}}
    text = support.render("app_secrets", "credentials.conf.j2", app)
    assert f"\n{setting}=a.pem:/etc/flask-secrets/shop.credentials/a.pem\n{setting}=b:" in text
    assert "hunter" not in text


def test_files_are_credentials_at_a_path_that_does_not_change() -> None:
    app = support.SHOP | {"files": {"isso.cfg": {"content": "hunter2", "path": "conf/isso.cfg"}}, "app_secrets": {"credentials": {"a.pem": "b"}}}
    text = support.render("app_secrets", "credentials.conf.j2", app)
    assert "\nLoadCredentialEncrypted=isso.cfg:/etc/flask-secrets/shop.credentials/isso.cfg\nBindReadOnlyPaths=%d:/run/flask-files\n" in text
    assert "hunter2" not in text
    assert support.role_vars("app_secrets", app)["__app_secrets_passed"] == {"a.pem": "b", "isso.cfg": "hunter2"}
    assert "flask-files" not in support.render("app_secrets", "credentials.conf.j2", support.SHOP | {"app_secrets": {"credentials": {"a": "b"}}})


def test_the_build_gets_the_paths_of_linked_files_and_not_their_contents() -> None:
    app = support.SHOP | {"files": {"isso.cfg": {"content": "hunter2"}, "wiki.py": {"content": "hunter3", "path": "src/wiki.py"}}}
    assert support.role_vars("app_release", app)["__app_release_options"]["files"] == {"src/wiki.py": "wiki.py"}
