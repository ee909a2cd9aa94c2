"""What the run of a deploy makes of an inspection that gives no answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.preflight import run
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.run import Inspection
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.units import Ran
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError


def test_an_inspection_that_takes_too_long_names_the_setting(tmp_path: Path) -> None:
    options = {"name": "search", "wsgi": "search:app", "policy": {}, "inspection_timeout_seconds": 40}
    inspection = Inspection(options, tmp_path, -1, lambda text: text)
    with pytest.raises(ReleaseError) as refused:
        inspection.read(Ran(15, "timeout", "", "loading the model\n"), lambda text: "")
    assert str(refused.value) == ("The inspection was ended after 40 s; most of it is the import of search:app. To allow more: "
                                  "app_release: {inspection_timeout_seconds: 200}\nThe application printed:\nloading the model")


@pytest.fixture(name="audited")
def _audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Inspection]:
    """Makes an inspection whose audit is a script; `$release` in it is the directory of the release."""
    def make(script: str) -> Inspection:
        program = tmp_path / "audit"
        program.write_text(f"#!/bin/sh\nrelease=$3\n{script}\n")
        program.chmod(0o755)
        (tmp_path / "search.json").touch()
        monkeypatch.setattr(run, "AUDIT", str(program))
        monkeypatch.setattr(run, "AUDITED", tmp_path)
        return Inspection({"name": "search", "policy": {}, "inspection_timeout_seconds": 5}, tmp_path, -1, lambda text: text)

    return make


def test_packages_are_audited_while_the_application_is_inspected(audited: Callable[[str], Inspection], tmp_path: Path) -> None:
    report = {"state": "clean", "reason": "", "findings": [], "counts": {"audited": 3}}
    inspection = audited(f"while [ ! -e $release/inspected ]; do sleep 0.05; done; echo '{json.dumps(report)}'")
    with inspection.auditing():
        (tmp_path / "inspected").touch()
    assert [(one["result"], one["found"]) for one in inspection.findings] == [("pass", "3 packages, none with a known vulnerability")]


@pytest.mark.parametrize("script", ["echo no report", "echo '[1]'", "true", "exec sleep 60"])
def test_an_audit_without_a_report_is_unknown(audited: Callable[[str], Inspection], script: str) -> None:
    inspection = audited(script)
    inspection.seconds = 1
    with inspection.auditing():
        pass
    assert [one["result"] for one in inspection.findings] == ["unknown"]


def test_an_inspection_that_fails_ends_the_audit(audited: Callable[[str], Inspection]) -> None:
    with pytest.raises(ReleaseError, match="cannot be imported"), audited("exec sleep 60").auditing():
        raise ReleaseError("preflight", "cannot be imported")
