"""Clean, vulnerable and could not audit: three distinct results."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import sys
import syslog
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.tests.unit.roles.pip_audit.pip_audit_output import FLASK, JINJA, OWN


def test_everything_looked_up_and_nothing_found_is_clean(host: Any) -> None:
    host.says([FLASK], "No known vulnerabilities found")
    report = host.audit()
    assert (report["state"], report["release"], report["findings"]) == ("clean", "r1", [])
    assert report["counts"] == {"packages": 1, "audited": 1, "skipped": 0, "vulnerable": 0, "findings": 0, "ignored": 0}
    assert host.program.STATUS[report["state"]] == 0


def test_a_finding_is_vulnerable_and_has_the_fixed_version(host: Any) -> None:
    host.says([FLASK, JINJA])
    report = host.audit()
    assert report["state"] == "vulnerable"
    assert report["findings"] == [{"package": "jinja2", "installed": "2.10", "fixed": ["2.10.1"], "id": "PYSEC-2019-217",
                                   "aliases": ["CVE-2019-10906"]}]
    assert host.program.summary(report) == (
        "vulnerable: release r1, 1 of 2 packages: jinja2 2.10 PYSEC-2019-217 (fixed in 2.10.1)")
    assert host.program.STATUS[report["state"]] == 1


def test_one_package_that_could_not_be_looked_up_is_no_clean_audit(host: Any) -> None:
    host.says([FLASK, OWN])
    report = host.audit()
    assert report["state"] == "could-not-audit"
    assert "1 of 2 packages could not be looked up: Shop.App" in report["reason"]
    assert host.program.STATUS[report["state"]] == 2


def test_a_package_of_the_operators_own_may_be_unknown(host: Any) -> None:
    host.config["private_packages"] = ["shop_app"]
    host.says([FLASK, OWN])
    report = host.audit()
    assert report["state"] == "clean"
    assert report["skipped"] == [{"package": "Shop.App", "reason": "Dependency not found on PyPI"}]


def test_a_finding_beside_a_skipped_package_is_vulnerable_and_both_are_reported(host: Any) -> None:
    host.says([JINJA, OWN])
    report = host.audit()
    assert report["state"] == "vulnerable"
    assert "could not be looked up: Shop.App" in host.program.summary(report)


@pytest.mark.parametrize("dependencies", [[], [OWN]])
def test_nothing_looked_up_is_not_clean(host: Any, dependencies: list[dict[str, Any]]) -> None:
    host.config["private_packages"] = ["shop-app"]
    host.says(dependencies)
    assert host.audit()["state"] == "could-not-audit"


def test_an_advisory_that_pip_audit_drops_is_not_clean(host: Any) -> None:
    host.says([FLASK], "WARNING:pip_audit._service.osv:OSV vuln entry 'X' is missing 'affected' list")
    report = host.audit()
    assert report["state"] == "could-not-audit"
    assert "missing 'affected'" in report["reason"]


@pytest.mark.parametrize(("script", "reason"), [
    ("exit 0", "no output"),
    ("echo '{'; exit 1", "no output"),
    ("echo '[]'", "no output"),
    ("echo '{\"dependencies\": [{\"name\": \"x\"}]}'", "no output"),
    ("echo 'Traceback' >&2; echo 'requests.exceptions.HTTPError: 500 for url' >&2; echo x.ServiceError >&2; exit 1",
     "HTTPError: 500 for url"),
])
def test_an_invalid_result_is_could_not_audit(host: Any, script: str, reason: str) -> None:
    host.tool(script)
    report = host.audit()
    assert report["state"] == "could-not-audit"
    assert reason in report["reason"]


def test_a_tool_that_is_missing_is_could_not_audit(host: Any) -> None:
    assert "No such file" in host.audit()["reason"]


def test_a_tool_that_hangs_is_ended_with_its_children(host: Any) -> None:
    host.config["timeout_seconds"] = 1
    host.tool(f"sleep 60 & echo $! > {host.root}/child; wait")
    start = time.monotonic()
    report = host.audit()
    assert "no result within 1 seconds" in report["reason"]
    assert time.monotonic() - start < 10
    child = int((host.root / "child").read_text())
    for _ in range(50):
        # It may end between two looks, so there is one.
        try:
            if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
                break
        except (FileNotFoundError, ProcessLookupError):
            break
        time.sleep(0.1)
    else:
        pytest.fail("the child is still running")


def test_no_live_release_is_could_not_audit(host: Any) -> None:
    (host.root / "current").unlink()
    report = host.audit()
    assert "there is no such release" in report["reason"]
    assert report["state"] == "could-not-audit"


def test_a_second_audit_does_not_wait_and_does_not_change_the_report(host: Any) -> None:
    host.says([FLASK])
    host.audit()
    before = (host.root / "state/shop/report.json").read_bytes()
    with open(host.root / "state/shop/lock", "w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        report = host.program.audit("shop")
    assert report["state"] == "could-not-audit"
    assert "another audit" in report["reason"]
    assert (host.root / "state/shop/report.json").read_bytes() == before


def test_a_report_that_cannot_be_written_is_no_clean_audit(host: Any) -> None:
    host.says([FLASK])
    host.audit()
    (host.root / "state/shop/.report.json").mkdir()
    assert host.program.audit("shop")["state"] == "could-not-audit"


def test_all_accounts_can_read_the_report(host: Any) -> None:
    host.says([FLASK])
    old = os.umask(0o077)
    try:
        host.audit()
    finally:
        os.umask(old)
    assert stat.S_IMODE((host.root / "state/shop/report.json").stat().st_mode) == 0o644


def test_a_package_cannot_forge_a_line_of_the_journal(host: Any) -> None:
    host.says([JINJA | {"name": "evil\nclean: release r1\x1b[2J"}])
    assert "\n" not in host.program.one_line(host.program.summary(host.audit()))


@pytest.mark.parametrize(("dependencies", "status", "priority"), [
    ([FLASK], 0, syslog.LOG_INFO), ([JINJA], 1, syslog.LOG_ERR), ([OWN], 2, syslog.LOG_WARNING)])
def test_status_and_journal_tell_the_result(host: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                            dependencies: list[dict[str, Any]], status: int, priority: int) -> None:
    messages: list[Any] = []
    monkeypatch.setattr(host.program.syslog, "openlog", lambda ident, *_: messages.append(ident))
    monkeypatch.setattr(host.program.syslog, "syslog", lambda level, line: messages.append((level, line)))
    monkeypatch.setattr(sys, "argv", ["pip-audit-app", "shop"])
    host.says(dependencies)
    host.audit()
    with host.listening():
        assert host.program.main() == status
    assert messages[0] == "pip-audit-shop"
    assert messages[-1] == (priority, capsys.readouterr().out.strip())


@pytest.mark.parametrize("written", ["", "null", "{}", '{"state": "fine"}', "<html>"])
def test_an_audit_that_ends_without_a_report_is_could_not_audit(
        host: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], written: str) -> None:
    # The request is read first: a server that leaves it unread resets the connection, which is another failure.
    monkeypatch.setattr(host.program, "serve", lambda name, request, response: (request.readline(), response.write(written)))
    monkeypatch.setattr(sys, "argv", ["pip-audit-app", "shop"])
    with host.listening():
        assert host.program.main() == 2
    assert capsys.readouterr().out.startswith("could not audit: ")


def test_a_socket_without_a_server_is_could_not_audit(
        host: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["pip-audit-app", "shop", "--json"])
    assert host.program.main() == 2
    assert json.loads(capsys.readouterr().out)["state"] == "could-not-audit"


@pytest.mark.parametrize("argv", [[], ["../etc"], ["Shop"], ["shop", "two"], ["shop", "--release", "releases/r2"]])
def test_wrong_arguments_are_refused_with_the_status_of_an_audit_that_was_none(
        host: Any, monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["pip-audit-app", *argv])
    with pytest.raises(SystemExit) as refused:
        host.program.main()
    assert refused.value.code == 2
