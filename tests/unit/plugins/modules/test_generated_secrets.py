"""Keys are generated once and never shown, and a damaged file is not replaced by a new key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.bulwark.flask.plugins.modules import generated_secrets


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "shop.generated.env"


@pytest.fixture
def run(path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run the module and return its result, which contains no value."""

    def _run(*names: str, check: bool = False, **more: Any) -> dict[str, Any]:
        given = {"path": str(path), "names": list(names), "_ansible_check_mode": check} | more
        with patch_module_args(given), pytest.raises(SystemExit):
            generated_secrets.main()
        output = capsys.readouterr().out
        for value in re.findall(r'="(.+)"', path.read_text(errors="replace") if path.exists() else ""):
            assert value not in output
        return json.loads(output)

    return _run


def values(path: Path) -> dict[str, str]:
    return dict(re.findall(r'^(\w+)="(.+)"$', path.read_text(), re.MULTILINE))


def test_a_key_is_made_once_and_survives_every_run(path: Path, run: Callable[..., Any]) -> None:
    first = run("FLASK_SECRET_KEY")
    key = values(path)["FLASK_SECRET_KEY"]
    assert (first["changed"], first["generated"]) == (True, ["FLASK_SECRET_KEY"])
    assert run("FLASK_SECRET_KEY")["changed"] is False
    assert values(path)["FLASK_SECRET_KEY"] == key


def test_applications_that_read_secret_key_have_the_same_key(path: Path, run: Callable[..., Any]) -> None:
    run("FLASK_SECRET_KEY", "A")
    made = values(path)
    assert made["SECRET_KEY"] == made["FLASK_SECRET_KEY"] != made["A"]
    assert run("FLASK_SECRET_KEY", "A", given=["SECRET_KEY"])["changed"]
    assert "SECRET_KEY" not in values(path), "systemd would take it instead of the operator's"
    assert run("FLASK_SECRET_KEY", "A")["changed"]
    assert values(path) == made
    run("FLASK_SECRET_KEY", "SECRET_KEY")
    assert values(path)["SECRET_KEY"] != made["SECRET_KEY"] == values(path)["FLASK_SECRET_KEY"]


def test_a_key_is_long_random_and_no_number(path: Path, run: Callable[..., Any]) -> None:
    run("A", "B")
    generated = values(path)
    assert generated["A"] != generated["B"]
    for key in generated.values():
        assert re.fullmatch(r"k[A-Za-z0-9_-]{64}", key)
        with pytest.raises(ValueError, match="Expecting"):
            json.loads(key)


def test_only_root_can_read_it(path: Path, run: Callable[..., Any]) -> None:
    run("A")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    before = values(path)
    path.chmod(0o644)
    assert run("A", check=True)["changed"] is True
    assert run("A")["changed"] is True
    assert (path.stat().st_mode & 0o777, values(path)) == (0o600, before)


def test_a_missing_name_is_added_and_none_is_taken_away(path: Path, run: Callable[..., Any]) -> None:
    run("A")
    before = values(path)["A"]
    assert run("B")["generated"] == ["B"]
    assert list(values(path)) == ["A", "B"]
    assert values(path)["A"] == before


def test_check_mode_predicts_and_writes_nothing(path: Path, run: Callable[..., Any]) -> None:
    first = run("A", check=True)
    assert (first["changed"], first["generated"]) == (True, ["A"])
    assert not path.parent.exists()
    run("A")
    assert run("A", check=True)["changed"] is False


@pytest.mark.parametrize("content", [b"", b"\n", b"# only a comment\n", b'A="short"\n', b"A\n", b'A="', b"\xff\xfe", b"\x00" * 50,
                                     b'A="' + b"x" * 40 + b'"\nA="' + b"y" * 40 + b'"\n',
                                     b'SECRET_KEY="' + b"x" * 40 + b'"\nSECRET_KEY_FALLBACKS=\'["' + b"y" * 40 + b'"]\'\n'])
def test_a_damaged_file_is_an_error_and_stays(path: Path, run: Callable[..., Any], content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    result = run("A")
    assert result["failed"] is True
    assert "damaged" in result["msg"] and "backup" in result["msg"]
    assert path.read_bytes() == content


def test_a_link_in_its_place_is_refused(path: Path, run: Callable[..., Any]) -> None:
    path.parent.mkdir()
    path.symlink_to("/dev/null")
    assert run("A")["failed"] is True


def test_a_bad_name_is_refused(path: Path, run: Callable[..., Any]) -> None:
    assert "A-B" in run("A-B")["msg"]
    assert not path.exists()
