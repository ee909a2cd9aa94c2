"""A rotation: validity of old keys, and refusals."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.instances import file_state
from ansible_collections.bulwark.flask.plugins.module_utils.secrets import generated
from ansible_collections.bulwark.flask.plugins.module_utils.secrets.generated import KINDS, TIME, Damaged, Values
from ansible_collections.bulwark.flask.plugins.modules import generated_secrets

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "shop.generated.env"


@pytest.fixture
def live(tmp_path: Path) -> Callable[..., Path]:
    """Make an instance of a release with this Flask live."""

    def _live(version: str | None, instance: str = "one") -> Path:
        packages = tmp_path / "instances" / instance / "release/venv/lib/python3.13/site-packages"
        packages.mkdir(parents=True)
        (packages / "flask_wtf-1.3.0.dist-info").mkdir()
        if version:
            (packages / f"flask-{version}.dist-info").mkdir()
        current = tmp_path / "current"
        current.unlink(missing_ok=True)
        current.symlink_to(f"instances/{instance}")
        return current

    return _live


@pytest.fixture
def run(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run the module and return its result, which never holds a value."""

    def _run(names: Any, check: bool = False, **more: Any) -> dict[str, Any]:
        given = {"path": str(path), "names": names, "current": str(tmp_path / "current"), "_ansible_check_mode": check} | more
        with patch_module_args(given), pytest.raises(SystemExit):
            generated_secrets.main()
        output = capsys.readouterr().out
        for value in re.findall(r'"([^"]{32,})"', path.read_text() if path.exists() else ""):
            assert value not in output
        return json.loads(output)

    return _run


def key(path: Path, name: str = "FLASK_SECRET_KEY") -> str:
    return re.search(rf'^{name}="(.+)"$', path.read_text(), re.MULTILINE)[1]


def old(path: Path) -> list[str]:
    found = re.search(r"^FLASK_SECRET_KEY_FALLBACKS='(.+)'$", path.read_text(), re.MULTILINE)
    return json.loads(found[1]) if found else []


KEY = ["FLASK_SECRET_KEY"]


def test_the_old_key_stays_in_the_list_flask_reads(path: Path, run: Any, live: Any) -> None:
    live("3.1.3")
    run(KEY)
    first = key(path)
    assert run(KEY, check=True, rotate=["SECRET_KEY"])["rotated"] == KEY
    assert key(path) == first
    assert run(KEY, rotate=["SECRET_KEY"])["rotated"] == KEY
    second = key(path)
    live("3.1.3", "two")
    run(KEY, rotate=KEY)
    assert old(path) == [second, first]
    assert run(KEY)["changed"] is False


def test_a_key_that_leaked_is_dropped_with_all_before_it(path: Path, run: Any, live: Any) -> None:
    live("3.1.3")
    run(KEY)
    run(KEY, rotate=KEY)
    leaked = key(path)
    assert run(KEY, rotate=KEY, sign_everybody_out=True)["rotated"] == KEY
    assert old(path) == []
    assert leaked not in path.read_text()


def test_an_interrupted_rotation_is_continued_and_not_repeated(path: Path, run: Any, live: Any) -> None:
    live("3.1.3")
    run(KEY)
    first = key(path)
    run(KEY, rotate=KEY)
    waiting = key(path)
    again = run(KEY, rotate=KEY)
    assert (again["changed"], again["rotated"], again["waiting"], key(path)) == (False, [], KEY, waiting)
    assert old(path) == [first]
    live("3.1.3", "two")
    assert run(KEY, rotate=KEY)["rotated"] == KEY


def test_an_instance_that_has_the_name_of_an_earlier_one_has_the_new_value(path: Path, run: Any, live: Any) -> None:
    current = live("3.1.3")
    run(KEY)
    run(KEY, rotate=KEY)
    # A rollback makes the release of the first instance live again, under the same name.
    (current / "stamp.json").write_text(json.dumps(file_state([str(path)])))
    assert run(KEY, in_effect=["SECRET_KEY"])["changed"] is False
    rotated = key(path)
    assert run(KEY, rotate=KEY)["rotated"] == KEY
    assert key(path) != rotated and old(path)[0] == rotated
    assert run(KEY, rotate=KEY)["waiting"] == KEY


def test_a_leaked_key_is_replaced_whatever_the_process_claims_to_have(path: Path, run: Any, live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    live("3.1.3")
    run(KEY)
    leaked = key(path)
    # A process can write over its own /proc/PID/environ; nothing there is asked.
    opened = []
    monkeypatch.setattr("builtins.open", lambda name, *more, real=open, **options: (opened.append(str(name)), real(name, *more, **options))[1])
    assert run(KEY, rotate=KEY, sign_everybody_out=True)["rotated"] == KEY
    assert key(path) != leaked
    assert not [name for name in opened if name.startswith("/proc")]


def test_signing_out_generates_a_new_value_also_after_an_interrupted_rotation(path: Path, run: Any, live: Any) -> None:
    live("3.1.3")
    run(KEY)
    run(KEY, rotate=KEY)
    waiting = key(path)
    assert run(KEY, rotate=KEY, sign_everybody_out=True)["rotated"] == KEY
    assert key(path) != waiting and old(path) == []


def test_a_new_value_that_equals_the_old_one_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "KINDS", {"hex": (lambda: "0" * 64, lambda value: True)})
    values = Values()
    values.generate("A", "hex")
    with pytest.raises(RuntimeError, match="the new value of A is the old one"):
        values.rotate("A", "hex", False, NOW)


def test_a_rotation_without_a_new_instance_is_an_error(run: Any, live: Any) -> None:
    live("3.1.3")
    run(KEY)
    assert run(KEY, in_effect=["SECRET_KEY"])["changed"] is False
    run(KEY, rotate=KEY)
    result = run(KEY, in_effect=["SECRET_KEY"])
    assert result["failed"] is True
    assert "FLASK_SECRET_KEY was rotated, but the live instance one started before" in result["msg"]
    live("3.1.3", "two")
    assert run(KEY, in_effect=["SECRET_KEY"])["changed"] is False


@pytest.mark.parametrize(("version", "reason"), [("3.1.0", "continues to sign with the old key"), ("3.0.3", "does not support old keys"),
                                                 ("2.3", "does not support old keys"), (None, "no Flask")])
def test_a_flask_that_cannot_keep_old_keys_is_named(path: Path, run: Any, live: Any, version: str | None, reason: str) -> None:
    live(version)
    run(KEY)
    before = path.read_text()
    refused = run(KEY, rotate=KEY)
    assert refused["failed"] is True
    assert reason in refused["msg"] and "sign_everybody_out=true" in refused["msg"] and (version or "") in refused["msg"]
    assert path.read_text() == before
    assert run(KEY, rotate=KEY, sign_everybody_out=True)["rotated"] == KEY
    assert old(path) == []


def test_an_application_that_was_never_deployed_is_reported(run: Any) -> None:
    assert "no release is live yet" in run(KEY, rotate=KEY)["msg"]


def test_all_names_that_cannot_be_rotated_are_reported_at_once(run: Any, live: Any) -> None:
    live("3.1.3")
    result = run([*KEY, "TOKEN"], rotate=["TOKN", "PASSWORD", *KEY], given=["PASSWORD", "FLASK_SECRET_KEY_FALLBACKS"])["msg"]
    for part in ("TOKN is not a secret that is generated on the host", "PASSWORD is given in env", "FLASK_SECRET_KEY_FALLBACKS is given",
                 "can be rotated: FLASK_SECRET_KEY, TOKEN"):
        assert part in result


def test_a_plain_secret_key_of_that_name_is_meant_when_there_is_one(path: Path, run: Any, live: Any) -> None:
    live("3.1.3")
    assert run(["SECRET_KEY", *KEY], rotate=["SECRET_KEY"])["generated"] == ["SECRET_KEY", *KEY]
    assert run(["SECRET_KEY", *KEY], rotate=["SECRET_KEY"])["rotated"] == ["SECRET_KEY"]


def test_old_keys_are_dropped_after_their_time_and_no_sooner(path: Path, run: Any, live: Any) -> None:
    live("3.1.3")
    run(KEY)
    run(KEY, rotate=KEY)
    live("3.1.3", "two")
    run(KEY, rotate=KEY)

    def replaced(*days: int) -> None:
        times = ", ".join((datetime.now(timezone.utc) - timedelta(days=number, minutes=1)).strftime(TIME) for number in days)
        path.write_text(re.sub("replaced .+", f"replaced {times}", path.read_text()))

    replaced(0, 30)
    assert run(KEY)["changed"] is False
    replaced(0, 31)
    kept = old(path)[0]
    assert run(KEY, check=True)["dropped"] == KEY
    assert run(KEY)["dropped"] == KEY
    assert old(path) == [kept]
    replaced(2)
    assert run([], fallback_days=1)["dropped"] == KEY
    assert "FALLBACKS" not in path.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_is_of_the_requested_kind(path: Path, run: Any, kind: str) -> None:
    run({"A": kind})
    value = key(path, "A")
    assert re.fullmatch({"url-safe": r"k[\w-]{64}", "hex": r"[0-9a-f]{64}", "fernet": r"[\w-]{43}="}[kind], value)
    if kind == "fernet":
        assert len(base64.urlsafe_b64decode(value)) == 32
    with pytest.raises(ValueError, match="Expecting|Extra"):
        json.loads(value)
    assert run({"A": kind})["changed"] is False


def test_another_kind_needs_a_rotation(path: Path, run: Any) -> None:
    run(["A"])
    assert "names=A" in run({"A": "fernet"})["msg"]
    assert run({"A": "fernet"}, rotate=["A"])["rotated"] == ["A"]
    assert run({"A": "fernet"})["changed"] is False


def test_an_unknown_kind_is_refused(path: Path, run: Any) -> None:
    assert "url-safe, hex, fernet" in run({"A": "base64"})["msg"]
    assert not path.exists()


def test_a_written_value_is_read_back() -> None:
    values = Values()
    for name, kind in (("FLASK_SECRET_KEY", "url-safe"), ("B", "hex"), ("C", "fernet")):
        values.generate(name, kind)
    values.rotate("FLASK_SECRET_KEY", "url-safe", True, NOW)
    values.rotate("FLASK_SECRET_KEY", "hex", True, NOW, "20260501-101500-0a1b2c3d")
    again = Values(values.text())
    assert (again.values, again.old, again.rotated, again.text()) == (values.values, values.old, values.rotated, values.text())
    assert again.rotated == {"FLASK_SECRET_KEY": "20260501-101500-0a1b2c3d"}


@pytest.mark.parametrize(("what", "instead"), [(", replaced", " replaced"), ("2026-05", "2026-15"), ("Z\n", "Z, 2026-05-01T00:00:00Z\n")])
def test_keys_whose_age_is_unknown_are_damage(what: str, instead: str) -> None:
    values = Values()
    values.generate("FLASK_SECRET_KEY", "url-safe")
    values.rotate("FLASK_SECRET_KEY", "url-safe", True, NOW)
    assert what in values.text()
    with pytest.raises(Damaged):
        Values(values.text().replace(what, instead))


def test_a_name_that_was_added_by_hand_stops_the_run(path: Path, run: Any) -> None:
    env = path.with_name("shop.env")
    env.parent.mkdir()
    env.write_text('# Names from the inventory: MINE GONE\nMINE="a\nNOT_ONE=b\n\\"C=d"\nGONE=1\nODD=hunter2\n  SECOND = x \\\nTHIRD=y\nexport hunter3=4\n')
    for check in (True, False):
        result = run(["A"], check=check, env_path=str(env), given=["MINE"])["msg"]
        assert "sets ODD," in result and "sets SECOND," in result and "remove: [ODD]" in result and "line 9 " in result
        assert "hunter" not in result and "NOT_ONE" not in result and "THIRD" not in result and "GONE" not in result
    assert not path.exists()
    env.write_text(env.read_text().replace("export hunter3=4\n", ""))
    assert run(["A"], env_path=str(env), given=["MINE", "SECOND"], remove=["ODD"])["changed"] is True
