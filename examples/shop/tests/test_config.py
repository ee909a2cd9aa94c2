import logging
import subprocess
import sys

import pytest

from shop import create_app
from shop.config import ConfigurationError

KEY = "a-key-of-at-least-thirty-two-characters"


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("FLASK_SECRET_KEY", KEY)


@pytest.mark.parametrize("key", [None, "", "short", "12345678901234567890123456789012345"])
def test_without_a_good_secret_key_it_does_not_start(monkeypatch, key):
    monkeypatch.delenv("FLASK_SECRET_KEY") if key is None else monkeypatch.setenv("FLASK_SECRET_KEY", key)
    with pytest.raises(ConfigurationError, match="FLASK_SECRET_KEY must be text") as error:
        create_app()
    assert not key or key not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLASK_SESSION_COOKIE_SECURE", "False"),
        ("FLASK_MAX_CONTENT_LENGTH", "1 MB"),
        ("FLASK_TRUSTED_HOSTS", "shop.test"),
        ("FLASK_SECRET_KEY_FALLBACKS", '["old"]'),
    ],
)
def test_a_setting_of_the_wrong_type_stops_the_start(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        create_app()


def test_defaults_are_safe_for_production():
    config = create_app().config
    assert config["SESSION_COOKIE_SECURE"] and config["SESSION_COOKIE_HTTPONLY"]
    assert config["SESSION_COOKIE_SAMESITE"] == "Lax"
    assert config["MAX_CONTENT_LENGTH"] == 1024 * 1024
    assert not config["DEBUG"]


def test_the_database_is_in_the_state_directory(tmp_path):
    create_app()
    assert (tmp_path / "shop.sqlite3").exists()


def test_the_environment_decides(monkeypatch, tmp_path):
    monkeypatch.setenv("FLASK_DATABASE", str(tmp_path / "elsewhere" / "db"))
    monkeypatch.setenv("FLASK_TRUSTED_HOSTS", '["shop.test"]')
    app = create_app()
    assert (tmp_path / "elsewhere" / "db").exists()
    client = app.test_client()
    assert client.get("/healthz", base_url="https://shop.test").status_code == 200
    assert client.get("/healthz", base_url="https://other.test").status_code == 400


def test_logs_of_an_application_without_logging_setup_are_kept(tmp_path):
    program = "from shop import create_app; create_app().logger.info('it speaks')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.endswith("\nINFO shop: it speaks\n")


def test_logs_go_where_the_server_put_them():
    handlers = list(logging.getLogger().handlers)
    app = create_app()
    assert logging.getLogger().handlers == handlers
    assert not app.logger.handlers
