"""What is advised when an application fails for want of something."""

from __future__ import annotations

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate import advice


@pytest.mark.parametrize(("text", "commands", "line"), [
    ("sqlite3.OperationalError: no such table: post", ["init-db"], "app_release: {prepare_once: [flask init-db]}"),
    ("sqlite3.OperationalError: no such table: post", ["translate", "setup"], "app_release: {prepare_once: [flask setup]}"),
    ("sqlite3.OperationalError: no such table: post", [], "app_release: {prepare_once: [flask init-db]}"),
    ('psycopg2.errors.UndefinedTable: relation "post" does not exist', ["db", "translate"], "app_release: {pre_activate: [flask db upgrade]}"),
    ("pymysql.err.ProgrammingError: (1146, \"Table 'shop.post' doesn't exist\")", ["db"], "app_release: {pre_activate: [flask db upgrade]}"),
])
def test_a_database_without_tables_is_told_with_the_command_that_makes_them(text: str, commands: list[str], line: str) -> None:
    assert f"\n  {line}" in advice.tables(text, commands)


@pytest.mark.parametrize(("text", "line"), [
    ("ImportError: Bad git executable.\nThe git executable must be specified", "packages: [git]"),
    ("FileNotFoundError: [Errno 2] No such file or directory: 'ffmpeg'", "packages: [ffmpeg]"),
    ("/bin/sh: 1: pandoc: not found", "packages: [pandoc]"),
    ("/usr/bin/env: ‘git’: No such file or directory", "packages: [git]"),
])
def test_a_program_that_is_missing_is_told_with_its_package(text: str, line: str) -> None:
    assert f"app_release: {{{line}}}" in advice.packages(text)


@pytest.mark.parametrize(("text", "line"), [
    ("/srv/s/venv/lib/python3.13/site-packages/app/http.py:6 in <module>\nModuleNotFoundError: No module named 'cachetools.keys'", "[cachetools]"),
    ('  File "/srv/s/venv/lib/python3.13/site-packages/x.py", line 1, in <module>\n    import flask_caching\n'
     "ModuleNotFoundError: No module named 'flask_caching'", "[flask-caching]"),
    ("/srv/s/src/app.py:2 in <module>\nModuleNotFoundError: No module named 'distutils'", "[setuptools]"),
])
def test_a_python_package_that_is_missing_is_told(text: str, line: str) -> None:
    assert f"app_release: {{python_packages: {line}}}" in advice.python_packages(text)


def test_a_module_that_may_be_the_applications_own_is_no_package() -> None:
    assert advice.python_packages("/srv/s/src/app.py:2 in <module>\nModuleNotFoundError: No module named 'config'") == ""


@pytest.mark.parametrize("text", ["No such file or directory: '/srv/shop/config.yml'", "No such file or directory: 'settings.cfg'", "git push failed"])
def test_a_file_that_is_missing_is_no_program(text: str) -> None:
    assert advice.packages(text) == ""


@pytest.mark.parametrize("text", ["", "the table is full", "sqlite3.OperationalError: database is locked"])
def test_other_failures_are_left_alone(text: str) -> None:
    assert advice.tables(text, ["init-db"]) == ""


@pytest.mark.parametrize(("text", "names"), [
    ("FileNotFoundError: [Errno 2] No such file or directory: b'/var/lib/shop/repositories'", "/var/lib/shop/repositories"),
    ("FileNotFoundError: [Errno 2] No such file or directory: '/var/lib/shop/data/app.db'", "/var/lib/shop/data"),
    ("No such file or directory: '/var/lib/shop/a'\nNo such file or directory: '/var/lib/shop/a'", "/var/lib/shop/a"),
])
def test_a_directory_of_data_that_is_missing_is_told_with_the_command_that_makes_it(text: str, names: str) -> None:
    assert f"app_release: {{prepare_once: [mkdir -p {names}]}}" in advice.directories(text, "/var/lib/shop")


@pytest.mark.parametrize("path", ["/var/lib/shop/app.db", "/var/lib/other/data", "/etc/shop", "/var/lib/shop/x; rm -r"])
def test_other_paths_that_are_missing_are_not_made(path: str) -> None:
    assert advice.directories(f"No such file or directory: '{path}'", "/var/lib/shop") == ""
