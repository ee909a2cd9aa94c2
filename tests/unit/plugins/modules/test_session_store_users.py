"""Users of a store that is not running: passwords are generated once, only hashes are shown, removed users are deleted."""

from __future__ import annotations

import getpass
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.bulwark.flask.plugins.modules import session_store_users


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run the module and return its result, which contains no password."""
    (tmp_path / "store").mkdir()

    def _run(*apps: str, absent: tuple[str, ...] = (), check: bool = False, commands: tuple[str, ...] = ("get", "set")) -> dict[str, Any]:
        arguments = {"apps": list(apps), "absent": list(absent), "commands": list(commands), "directory": str(tmp_path / "store"), "owner": getpass.getuser(),
                     "socket": str(tmp_path / "none.sock"), "secrets_directory": str(tmp_path / "secrets"), "_ansible_check_mode": check}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            session_store_users.main()
        output = capsys.readouterr().out
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and any(
            secret in output for secret in re.findall(r"[\w-]{60,}", path.read_text()) if path.name != "users.acl")]
        return {key: value for key, value in json.loads(output).items() if key != "invocation"}

    return _run


def password(tmp_path: Path, app: str) -> str:
    text = (tmp_path / f"secrets/{app}.session.env").read_text()
    found = re.search(rf'^FLASK_SESSION_STORE_URL="unix://{app}:([\w-]{{64}})@{tmp_path}/none.sock"$', text, re.MULTILINE)
    assert found
    return found[1]


def acl(tmp_path: Path) -> list[str]:
    return (tmp_path / "store/users.acl").read_text().splitlines()


def test_each_application_gets_a_password_once_and_the_store_its_hash(tmp_path: Path, run: Callable[..., Any]) -> None:
    assert run("shop", "blog") == {"changed": True, "generated": ["shop", "blog"], "removed": []}
    first = {app: password(tmp_path, app) for app in ("shop", "blog")}
    assert len(set(first.values())) == 2
    hashed = hashlib.sha256(first["shop"].encode()).hexdigest()
    assert acl(tmp_path)[0] == "user default resetpass resetkeys resetchannels off -@all"
    assert f"user shop resetpass resetkeys resetchannels on #{hashed} ~shop:* -@all +get +set" in acl(tmp_path)
    assert not any(value in "\n".join(acl(tmp_path)) for value in first.values())
    for path, mode in {"secrets/shop.session.env": 0o600, "store/root.password": 0o600, "store/users.acl": 0o400, "secrets": 0o700}.items():
        assert (tmp_path / path).stat().st_mode & 0o777 == mode
    assert run("shop", "blog")["changed"] is False
    assert {app: password(tmp_path, app) for app in first} == first


def test_another_application_does_not_change_existing_passwords(tmp_path: Path, run: Callable[..., Any]) -> None:
    run("shop")
    first = password(tmp_path, "shop")
    assert run("shop", "blog")["generated"] == ["blog"]
    assert password(tmp_path, "shop") == first


def test_an_application_that_a_run_does_not_name_keeps_its_user(tmp_path: Path, run: Callable[..., Any]) -> None:
    run("blog")
    first = password(tmp_path, "blog")
    assert run("shop") == {"changed": True, "generated": ["shop"], "removed": []}
    assert run("shop")["changed"] is False
    assert password(tmp_path, "blog") == first and any(line.startswith("user blog ") for line in acl(tmp_path))


def test_an_application_that_is_to_be_absent_loses_user_and_password(tmp_path: Path, run: Callable[..., Any]) -> None:
    run("shop", "blog")
    (tmp_path / "secrets/blog.env").write_text("OTHER=1\n")
    assert run("shop", absent=("blog", "unknown"))["removed"] == ["blog"]
    assert not any(line.startswith("user blog ") for line in acl(tmp_path))
    assert sorted(path.name for path in (tmp_path / "secrets").iterdir()) == ["blog.env", "shop.session.env"]
    assert run(absent=("shop", "blog"))["removed"] == ["shop"]
    assert [line.split()[1] for line in acl(tmp_path)] == ["default", "root"]
    assert run(absent=("shop", "blog"))["changed"] is False


def test_check_mode_predicts_and_writes_nothing(tmp_path: Path, run: Callable[..., Any]) -> None:
    assert run("shop", check=True) == {"changed": True, "generated": ["shop"], "removed": []}
    assert list((tmp_path / "store").iterdir()) == []
    run("shop")
    assert run("shop", check=True)["changed"] is False
    assert run(absent=("shop",), check=True)["removed"] == ["shop"]
    assert password(tmp_path, "shop")


@pytest.mark.parametrize("damage", ["", "FLASK_SESSION_STORE_URL=unix://shop:short@/x\n", "\udcff"])
def test_a_damaged_file_gets_a_new_password(tmp_path: Path, run: Callable[..., Any], damage: str) -> None:
    run("shop")
    path, first = tmp_path / "secrets/shop.session.env", password(tmp_path, "shop")
    path.write_text(damage, errors="surrogateescape")
    assert run("shop")["generated"] == ["shop"]
    assert password(tmp_path, "shop") != first


@pytest.mark.parametrize(("path", "mode"), [("secrets/shop.session.env", 0o644), ("store/users.acl", 0o444), ("store/root.password", 0o640)])
def test_a_file_that_others_may_read_is_replaced(tmp_path: Path, run: Callable[..., Any], path: str, mode: int) -> None:
    run("shop")
    (tmp_path / path).chmod(mode)
    assert run("shop")["changed"] is True
    assert (tmp_path / path).stat().st_mode & 0o077 == 0
    assert run("shop")["changed"] is False


def test_other_commands_change_the_users(tmp_path: Path, run: Callable[..., Any]) -> None:
    run("shop")
    assert run("shop", commands=("get",))["changed"] is True
    assert any(line.endswith("~shop:* -@all +get") for line in acl(tmp_path))


def test_a_host_without_a_store_is_not_changed(tmp_path: Path, run: Callable[..., Any]) -> None:
    (tmp_path / "store").rmdir()
    assert run()["changed"] is False
    assert not (tmp_path / "secrets").exists()
