"""A release is as the last run left it, when a run would do nothing and has nothing to report."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release import deploy, history
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate import activation
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.instances import Instances

RELEASE = "20261124-061502-1f0c9a3e"


@pytest.fixture
def live(tmp_path: Path) -> activation.Activation:
    """An application whose release is live."""
    (tmp_path / "releases" / RELEASE).mkdir(parents=True)
    (tmp_path / "instances" / RELEASE).mkdir(parents=True)
    (tmp_path / "instances" / RELEASE / "release").symlink_to(tmp_path / "releases" / RELEASE)
    (tmp_path / "current").symlink_to(tmp_path / "instances" / RELEASE)
    made = object.__new__(activation.Activation)
    made.base, made.instances, made.record = tmp_path, Instances(tmp_path, 0), history.Record(tmp_path)
    made.record.set_status(RELEASE, history.GOOD, "jo@laptop")
    return made


def test_nothing_is_left_of_a_run_that_ended(live: activation.Activation) -> None:
    assert live.is_complete()


@pytest.mark.parametrize("left", ["a link", "an entry", "an instance", "no status", "no instance"])
def test_what_is_left_of_a_killed_run_needs_another_one(live: activation.Activation, left: str) -> None:
    if left == "a link":
        (live.base / ".current.1").symlink_to("nowhere")
    elif left == "an entry":
        live.record.running_file.write_text(json.dumps({"action": "deploy"}), encoding="utf-8")
    elif left == "an instance":
        (live.instances.folder / "20261124-061502-1f0c9a3f").mkdir()
    elif left == "no status":
        live.record._status_file(RELEASE).unlink()
    else:
        (live.base / "current").unlink()
    assert not live.is_complete()


@pytest.mark.parametrize(("changed", "warnings", "prune", "complete", "expected"), [
    (False, [], [], True, True), (True, [], [], True, False), (False, ["it was rolled back and is not activated again"], [], True, False),
    (False, [], [RELEASE], True, False), (False, [], [], False, False)])
def test_a_run_that_would_do_or_report_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, changed: bool, warnings: list[str], prune: list[str], complete: bool, expected: bool,
) -> None:
    def made(_params: Any) -> Any:
        build = SimpleNamespace(warnings=[])

        def predict() -> dict[str, Any]:
            build.warnings += warnings
            return {"changed": changed}

        return SimpleNamespace(predict=predict, build=build, live=SimpleNamespace(warnings=[], to_prune=lambda: prune, is_complete=lambda: complete))

    monkeypatch.setattr(deploy, "Deploy", made)
    assert deploy.is_as_left({}) == expected
