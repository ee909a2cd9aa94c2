"""Warnings, values that YAML misreads, and that a role does not repeat its playbook's check."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.bulwark.flask.tests.unit.plugins.action.inputs_checked import GOOD, check

ENTRY = "{{ flask_apps | bulwark.flask.app_entries(flask_app_defaults | default({}), 'shop' if true else app_name) | first }}"
FROM_INVENTORY = "{{ flask_apps | bulwark.flask.app_entries(flask_app_defaults | default({}), app_name) | first }}"


def shop(**changes: Any) -> dict[str, Any]:
    return {"flask_apps": {"shop": {**GOOD, **changes}}}


def test_a_variable_of_another_role_with_our_prefix_is_a_warning(tmp_path: Path) -> None:
    good, text = check(tmp_path, {**shop(), "nginx_server_tokens": "off", "app_release_version": "1.2", "session_store_port": 6379})
    assert good, text
    for name in ("nginx_server_tokens", "app_release_version", "session_store_port"):
        assert text.count(f"{name} is not a variable of the role") == 1, name


def test_a_variable_that_is_said_to_be_of_another_role_is_not_checked(tmp_path: Path) -> None:
    good, text = check(tmp_path, {**shop(), "nginx_server_tokens": "off", "host_access_ssh_port": 22,
                                  "flask_other_variables": ["nginx_server_tokens", "host_access_ssh_port"]})
    assert good and "nginx_server_tokens" not in text, text
    role = [{"hosts": "all", "gather_facts": False, "tasks": [{"bulwark.flask.check_inputs": {"role": "nginx_server"}}]}]
    good, text = check(tmp_path, {"nginx_server_tokens": "off", "flask_other_variables": ["nginx_server_tokens"]}, role)
    assert good and "nginx_server_tokens" not in text, text


@pytest.mark.parametrize(("names", "words"), [
    ("nginx_server_tokens", "flask_other_variables must be a list of names"),
    (["nginx_server_probe"], "flask_other_variables names nginx_server_probe, which is a variable of the role nginx_server; leave it out")])
def test_names_of_other_roles_are_a_list_without_ours(tmp_path: Path, names: Any, words: str) -> None:
    good, text = check(tmp_path, {**shop(), "flask_other_variables": names})
    assert not good and words in text


@pytest.mark.parametrize(("name", "near"), [
    ("nginx_server_keepalive", "nginx_server_keepalive_seconds"), ("host_access_ssh_port", "host_access_ssh_ports"),
    ("acme_cert_mail", "acme_cert_email")])
def test_a_misspelt_variable_is_refused(tmp_path: Path, name: str, near: str) -> None:
    good, text = check(tmp_path, {**shop(), name: 5})
    assert not good and f"{name} is unknown; did you mean {near}?" in text


def test_a_random_key_that_is_rather_short_is_a_warning(tmp_path: Path) -> None:
    good, text = check(tmp_path, shop(env={"FLASK_SECRET_KEY": "kR7_q9Zt-wX2vB5n-M3c"}))
    assert good and "shop.env.FLASK_SECRET_KEY has 20 characters" in text
    assert "kR7_q9Zt" not in text


def test_an_entry_under_the_wrong_name_is_refused(tmp_path: Path) -> None:
    good, text = check(tmp_path, {"flask_app": {"shop": GOOD}})
    assert not good and "flask_app is unknown; did you mean flask_apps?" in text


@pytest.mark.parametrize(("changes", "words"), [
    ({"wsgi": "shop.py:app"}, "wsgi names a file; write the module: shop:app"),
    ({"wsgi": "src/shop.py"}, "wsgi names a file; write the module: src.shop:app"),
    ({"body_max_mb": 99999999999}, "body_max_mb must be a whole number of MiB, 1 to 100000"),
    ({"header_max_kb": 65}, "header_max_kb must be a whole number of KiB, 1 to 64"),
    ({"domains": [f"a{n}.example.com" for n in range(101)]}, "has 101 names, and a certificate of Let's Encrypt 100 at most"),
    ({"gunicorn_app": {"workers": 100000}}, "gunicorn_app.workers must be a number of processes, 0 to 1000"),
    ({"app_release": {"keep_releases": 10**12}}, "app_release.keep_releases must be 1 or more (1000000000 at most)"),
])
def test_a_slip_of_the_finger_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    good, text = check(tmp_path, shop(**changes))
    assert not good and words in text


@pytest.mark.parametrize(("text", "words"), [
    ("NO", 'YAML reads NO as false; write "NO" in quotes, or false'), ("yes", 'YAML reads yes as true; write "yes" in quotes'),
    ("True", 'YAML reads True as true; write "True" in quotes'), ("0644", "another number than written"), ("12:30:00", "another number"),
    ("1_000", "another number"), ("1.10", "another number"), ("2027-01-31", "put it in quotes"),
    ("true", ""), ("5", ""), ("1.5", ""), ('"NO"', ""), ("hello", "")])
def test_a_value_that_yaml_reads_as_something_else_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """Written as text, as a dump would put it in quotes."""
    inventory = yaml.safe_dump({"all": {"hosts": {"web": None}, "vars": shop(env={"VALUE": "HERE"})}}).replace("HERE", text)
    good, output = check(tmp_path, inventory)
    assert good == (not words), output
    assert words in output
    assert "0644" not in output and "1.10" not in output


@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_vault_that_does_not_open_is_named(tmp_path: Path, password: str) -> None:
    closed = VaultLib([("default", VaultSecret(b"right"))]).encrypt("of-the-vault").decode()
    inventory = yaml.safe_dump({"all": {"hosts": {"web": None}, "vars": shop(env={"TOKEN": "HERE"})}})
    inventory = inventory.replace("HERE", "!vault |\n" + textwrap.indent(closed, " " * 14))
    (tmp_path / "password").write_text(password)
    good, output = check(tmp_path, inventory, options=["--vault-password-file", str(tmp_path / "password")] if password else [])
    assert not good
    assert "flask_apps.shop.env.TOKEN cannot be read: its vault does not open; give the right password" in " ".join(output.split()), output


def role_after(*first: Any, **variables: Any) -> list[dict[str, Any]]:
    task = {"bulwark.flask.check_inputs": {"role": "app_release"}, "vars": {"app_name": "shop", **variables}}
    return [{"hosts": "all", "gather_facts": False, "tasks": [*first, task]}]


def test_a_role_does_not_check_again_what_its_playbook_has_checked(tmp_path: Path) -> None:
    whole = {"bulwark.flask.check_inputs": None}
    # Outside of its role the check would miss every variable: it passes here because it is not done.
    assert check(tmp_path, shop(), role_after(whole, flask_app=FROM_INVENTORY))[0]
    assert not check(tmp_path, shop(), role_after(flask_app=FROM_INVENTORY))[0]


@pytest.mark.parametrize("variables", [
    {"flask_app": {**GOOD, "name": "shop"}}, {"flask_app": ENTRY}, {"flask_app": FROM_INVENTORY, "app_release_keep_releases": 0},
    {"flask_app": FROM_INVENTORY, "flask_apps": {"shop": {**GOOD, "wsgi": "x"}}}])
def test_a_role_checks_variables_that_its_playbook_did_not_check(tmp_path: Path, variables: dict[str, Any]) -> None:
    whole = {"bulwark.flask.check_inputs": None}
    assert not check(tmp_path, shop(), role_after(whole, **variables))[0]


def test_a_single_role_reports_how_to_set_a_missing_variable(tmp_path: Path) -> None:
    alone = [{"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.include_role": {"name": "bulwark.flask.acme_cert"}}]}]
    good, text = check(tmp_path, {}, alone)
    assert not good
    assert "acme_cert_name is missing; set it, or pass an entry of flask_apps as flask_app" in " ".join(text.split())


def test_variables_of_one_run_come_only_from_the_command_line(tmp_path: Path) -> None:
    good, text = check(tmp_path, {**shop(), "app": "shop", "state": "on"})
    assert not good
    assert "app is set outside of the command line" in text and "state is set outside of the command line" in text
    assert check(tmp_path, shop(), options=["-e", "app=shop", "-e", "state=on"])[0]
