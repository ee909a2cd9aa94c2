"""Ignored advisories with a reason and a last day, and log lines: once when a finding appears and disappears."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.roles import pip_audit as rules
from ansible_collections.bulwark.flask.tests.unit.roles.pip_audit.pip_audit_output import FLASK, JINJA, OWN

FIXED = {"name": "jinja2", "version": "2.10.1", "vulns": []}
RULE = {"id": "CVE-2019-10906", "reason": "no sandbox is used", "until": "2999-12-31"}


def ids(findings: list[dict[str, Any]]) -> list[str]:
    return [finding["id"] for finding in findings]


@pytest.mark.parametrize("name", ["PYSEC-2019-217", "CVE-2019-10906", "cve-2019-10906"])
def test_an_ignored_advisory_does_not_count_under_any_alias_and_is_reported(host: Any, name: str) -> None:
    host.config["ignores"] = [RULE | {"id": name}]
    host.says([FLASK, JINJA])
    report = host.audit()
    assert (report["state"], report["findings"], ids(report["ignored"])) == ("clean", [], ["PYSEC-2019-217"])
    assert report["counts"]["ignored"] == 1
    assert "ignored jinja2 PYSEC-2019-217 until 2999-12-31: no sandbox is used" in host.program.summary(report)


def test_an_ignore_counts_on_its_last_day_and_as_none_on_the_next(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host.config["ignores"] = [RULE | {"until": "2027-01-31"}]
    host.says([JINJA])
    monkeypatch.setattr(host.program, "now", lambda: "2027-01-31T23:59:59Z")
    assert host.audit()["state"] == "clean"
    monkeypatch.setattr(host.program, "now", lambda: "2027-02-01T00:00:00Z")
    report = host.audit()
    assert report["state"] == "vulnerable"
    assert "the ignore of CVE-2019-10906 expired on 2027-01-31" in host.program.summary(report)


def test_an_expired_ignore_is_reported_also_without_findings(host: Any) -> None:
    host.config["ignores"] = [RULE | {"until": "2020-01-01"}]
    host.says([FLASK])
    assert "expired on 2020-01-01" in host.program.summary(host.audit())


def test_a_finding_is_reported_once_as_new_and_once_as_gone(host: Any) -> None:
    host.says([FLASK, JINJA])
    assert [ids(host.audit()["new"]) for _ in range(2)] == [["PYSEC-2019-217"], []]
    host.says([FLASK, FIXED])
    assert [ids(host.audit()["gone"]) for _ in range(2)] == [["PYSEC-2019-217"], []]


def test_an_audit_that_failed_keeps_known_findings(host: Any) -> None:
    host.says([FLASK, JINJA])
    host.audit()
    host.tool("exit 1")
    report = host.audit()
    assert (report["state"], report["findings"], ids(report["standing"]), report["gone"]) == (
        "could-not-audit", [], ["PYSEC-2019-217"], [])
    host.says([FLASK, JINJA])
    assert host.audit()["new"] == []
    host.tool("exit 1")
    host.audit()
    host.says([FLASK, FIXED])
    assert ids(host.audit()["gone"]) == ["PYSEC-2019-217"]


def test_an_incomplete_audit_reports_no_finding_as_gone(host: Any) -> None:
    host.says([FLASK, JINJA])
    host.audit()
    other = FLASK | {"vulns": [{"id": "CVE-2025-47278", "fix_versions": [], "aliases": []}]}
    host.says([other, OWN, {"name": "jinja2", "skip_reason": "time-out"}])
    report = host.audit()
    assert (ids(report["new"]), report["gone"]) == (["CVE-2025-47278"], [])
    assert sorted(ids(report["standing"])) == ["CVE-2025-47278", "PYSEC-2019-217"]


def test_the_same_advisory_under_an_alias_or_for_another_version_is_not_new(host: Any) -> None:
    host.says([JINJA])
    host.audit()
    renamed = {"id": "CVE-2019-10906", "fix_versions": ["2.10.1"], "aliases": ["PYSEC-2019-217"]}
    host.says([{"name": "Jinja2", "version": "2.9", "vulns": [renamed]}])
    report = host.audit()
    assert (report["new"], report["gone"]) == ([], [])


def test_a_newly_ignored_finding_is_gone(host: Any) -> None:
    host.says([JINJA])
    host.audit()
    host.config["ignores"] = [RULE]
    assert ids(host.audit()["gone"]) == ["PYSEC-2019-217"]


@pytest.mark.parametrize("damaged", ["", "[]", "{}", '{"standing": 5}', '{"standing": [{"id": 1}]}'])
def test_a_damaged_report_does_not_prevent_an_audit(host: Any, damaged: str) -> None:
    (host.root / "state/shop/report.json").write_text(damaged)
    host.says([JINJA])
    assert ids(host.audit()["new"]) == ["PYSEC-2019-217"]


def test_new_findings_are_logged_beside_the_result(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []
    monkeypatch.setattr(host.program.syslog, "syslog", lambda level, line: messages.append(line))
    host.says([JINJA])
    for _ in range(2):
        host.program.log_result(host.audit())
    assert [line.split(":")[0] for line in messages] == ["new finding", "vulnerable", "vulnerable"]
    host.says([FIXED])
    host.program.log_result(host.audit())
    assert messages[3].startswith("finding gone: jinja2 2.10 PYSEC-2019-217")


@pytest.mark.parametrize(("change", "part"), [
    ({"id": "jinja"}, "[0].id must be one advisory's name"), ({"reason": " "}, "[0].reason is empty"),
    ({"until": "31.1.2027"}, "[0].until must be the last day"), ({"until": "2027-02-30"}, "[0].until must be"),
    ({"until": "20270131"}, "[0].until must be"), ({"until": True}, "[0].until must be")])
def test_a_bad_ignore_is_refused(change: dict[str, Any], part: str) -> None:
    (problem,) = rules.ignores("ignores", [RULE | change])
    assert part in problem


def test_a_good_ignore_is_not_refused_and_two_of_one_advisory_are() -> None:
    assert rules.ignores("ignores", [json.loads(json.dumps(RULE))]) == []
    assert "2 times" in rules.ignores("ignores", [RULE, RULE])[0]
