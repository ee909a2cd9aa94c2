"""The settings that the deployment adds to an application: the role's file, and rules of the inputs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.inputs import entry
from ansible_collections.bulwark.flask.tests.unit import support


def settings(**entry: Any) -> dict[str, Any]:
    return json.loads(support.render("gunicorn_app", "settings.json.j2", support.SHOP | entry))


def test_safe_settings_know_the_sites_names_and_its_limit() -> None:
    defaults = settings(domains=["shop.example.com", "*.shop.example.com"], body_max_mb=3)["defaults"]
    assert defaults["TRUSTED_HOSTS"] == ["shop.example.com", ".shop.example.com"]
    assert defaults["MAX_CONTENT_LENGTH"] == 3 * 2**20
    assert defaults["SESSION_COOKIE_SECURE"] is True
    assert defaults["SESSION_COOKIE_SAMESITE"] == "Lax"


def test_they_can_be_left_to_flask() -> None:
    assert settings(gunicorn_app={"safe_settings": False})["defaults"] == {}


def test_the_operators_settings_are_passed_on_as_they_are() -> None:
    given = {"DEBUG": False, "SECRET_KEY": {"env": "FLASK_SECRET_KEY"}, "LANGUAGES": ["en", "de"]}
    assert settings(config=given)["config"] == given


@pytest.mark.parametrize(("config", "words"), [
    ({"SECRET_KEY": "abc"}, "write {env: NAME} here, such as {env: FLASK_SECRET_KEY}"),
    ({"MAIL_PASSWORD": "abc"}, "is a secret in a file that all accounts can read"),
    ({"debug": True}, "must be a setting in capital letters"),
    ({"SECRET_KEY": {"env": "NOT A NAME"}}, "must name an environment variable"),
    ("DEBUG=0", "must be a mapping of settings"),
])
def test_a_setting_that_is_a_secret_or_no_setting_is_refused(config: Any, words: str) -> None:
    (problem,) = entry.config("flask_apps.shop.config", config)
    assert words in problem
    assert "abc" not in problem


def test_settings_about_secrets_are_no_secrets() -> None:
    assert entry.config("config", {"JWT_TOKEN_LOCATION": "headers", "WTF_CSRF_SECRET_KEY": {"env": "X"}, "WTF_CSRF_FIELD_NAME": "t",
                                          "PASSWORD_MIN_LENGTH": 8}) == []
