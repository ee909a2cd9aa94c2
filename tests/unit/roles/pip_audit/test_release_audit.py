"""The audit of a release that is not live yet: the same three results, without a stored report."""

from __future__ import annotations

import fcntl
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.tests.unit.roles.pip_audit.pip_audit_output import FLASK, JINJA, OWN


@pytest.fixture
def candidate(host: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release that is built and not live; nothing about it may be announced."""
    (host.root / "releases/r2/venv/lib/python3.13/site-packages").mkdir(parents=True)
    (host.root / "shop.json").write_text(json.dumps(host.config))
    monkeypatch.setattr(host.program.syslog, "syslog", lambda *_: pytest.fail("announced"))
    return host.root / "releases/r2"


def run(host: Any, monkeypatch: pytest.MonkeyPatch, release: Path) -> int:
    monkeypatch.setattr(sys, "argv", ["pip-audit-app", "shop", "--release", str(release)])
    with host.listening():
        status: int = host.program.main()
    return status


@pytest.mark.parametrize(("dependencies", "status", "state"), [
    ([FLASK], 0, "clean"), ([FLASK, JINJA], 1, "vulnerable"), ([FLASK, OWN], 2, "could-not-audit")])
def test_it_returns_only_the_report(
        host: Any, candidate: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
        dependencies: list[dict[str, Any]], status: int, state: str) -> None:
    host.says(dependencies)
    assert run(host, monkeypatch, candidate) == status
    (line,) = capsys.readouterr().out.splitlines()
    report = json.loads(line)
    assert (report["state"], report["release"], report["application"]) == (state, "r2", "shop")
    assert not (host.root / "state/shop/report.json").exists()


def test_the_packages_of_that_release_are_audited(host: Any, candidate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host.tool(f'echo "$*" > {host.root}/arguments')
    run(host, monkeypatch, candidate)
    assert f"--path {candidate}/venv/lib/python3.13/site-packages " in (host.root / "arguments").read_text()


def test_a_release_that_is_not_there_is_could_not_audit(
        host: Any, candidate: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    host.says([FLASK])
    assert run(host, monkeypatch, candidate.with_name("r3")) == 2
    assert "there is no such release" in json.loads(capsys.readouterr().out)["reason"]


def test_it_waits_for_the_audit_that_is_running(
        host: Any, candidate: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    host.says([FLASK])
    held = open(host.root / "state/shop/lock", "w", encoding="utf-8")
    fcntl.flock(held, fcntl.LOCK_EX)
    threading.Timer(1, held.close).start()
    start = time.monotonic()
    assert run(host, monkeypatch, candidate) == 0
    assert time.monotonic() - start >= 0.9
    assert json.loads(capsys.readouterr().out)["state"] == "clean"


def test_it_does_not_wait_for_ever(
        host: Any, candidate: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    host.program.LOCK_TIMEOUT_SECONDS = 0
    with open(host.root / "state/shop/lock", "w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run(host, monkeypatch, candidate) == 2
    assert "another audit" in json.loads(capsys.readouterr().out)["reason"]
