"""Whether what the preflight found lets a release go live. No Ansible imports.

`app_inspector` looks at the application, bandit at its source, pip-audit at its packages; `judge` weighs what
they found by the operator's policy:

  {mode: enforce, checks: {cookie_name: warn}, waivers: [{check: csrf_exemptions, reason: …, until: 2027-01-31}],
   csrf: flask_wtf, proxies: 1}
"""

from __future__ import annotations

import datetime
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils import app_inspector
from ansible_collections.bulwark.flask.plugins.module_utils.names import nearest

Check = app_inspector.Check
Finding = Mapping[str, str]

CHECKS = (
    *app_inspector.CHECKS,
    Check("static_analysis", "bandit finds no dangerous code", "error",
          "these calls are the usual ways in: shells, eval, pickle, SQL made of text", "change the line, or mark it # nosec with the reason"),
    Check("dependencies", "pip-audit knows no vulnerability of a package", "error",
          "attacks on published vulnerabilities are automated", "update the lock file"),
)
BY_ID = {check.id: check for check in CHECKS}
MODES = ("enforce", "warn", "off")
RESULTS = {result: result for result in ("pass", "warning", "error", "unknown")}
KEYS = ("mode", "checks", "waivers", "csrf", "proxies")
WAIVER_KEYS = ("check", "reason", "until")
UNSCANNED = ("tests", "test", "venv", ".venv", "node_modules", ".git", ".tox", "__pycache__", "site-packages")
WIDTH = 110


def finding(check: str, result: str, found: str, fix: str = "") -> dict[str, str]:
    """One finding, with the words of the table."""
    return app_inspector.finding(BY_ID[check], result, found, fix)


# --- what others find -----------------------------------------------------------------------------


def inspector_findings(json_text: str) -> list[dict[str, str]]:
    """The findings in an answer of the inspector. It comes out of the application's own process, so that nothing in it is taken
    on trust: what is no answer leaves every check unknown."""
    try:
        found = [finding(one["check"], RESULTS[one["result"]], _line(one["found"]), _line(one["fix"]))
                 for one in json.loads(json_text)["findings"]]
    except (ValueError, TypeError, KeyError, AttributeError):
        found = [finding(check.id, "unknown", "the inspector gave no answer: the application ended it, or it took too long",
                         "see what the application said, in the log of this run") for check in app_inspector.CHECKS]
    return found


def _line(text: Any, limit: int = 2000) -> str:
    """Text that can neither split a line nor steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())[:limit]


def bandit_command(program: str, source: str) -> list[str]:
    """The command that reads the source; it exits 1 when it finds something. A .bandit file of the source's own does not count."""
    source = source.rstrip("/")
    # Patterns from the source on: a directory above it may be called test too.
    left_out = ",".join(f"{source}/{name}/*,{source}/*/{name}/*" for name in UNSCANNED)
    return [program, "-r", "-f", "json", "-q", "--ini", "/dev/null", "-x", left_out, source]


def bandit_findings(json_text: str, source: str = "") -> list[dict[str, str]]:
    """What bandit says. High severity is an error, medium a warning; low, and what bandit is not sure of, is counted.

    Its own texts and code excerpts are left out: they quote passwords.
    """
    check = "static_analysis"
    try:
        report = json.loads(json_text)
        issues, unread = list(report["results"]), [str(e["filename"]) for e in report["errors"]]
        files = len(report["metrics"]) - 1  # beside the totals
        found, minor = [], 0
        for issue in issues:
            severity, sure = issue["issue_severity"], issue["issue_confidence"] in ("HIGH", "MEDIUM")
            result = {"HIGH": "error" if sure else "warning", "MEDIUM": "warning" if sure else ""}.get(severity, "")
            if not result:
                minor += 1
                continue
            place = f"{_line(_below(source, issue['filename']))}:{int(issue['line_number'])}"
            found.append(finding(check, result, f"{place} {issue['test_id']} {issue['test_name'].replace('_', ' ')} "
                                 f"(severity {severity.lower()}, confidence {issue['issue_confidence'].lower()})"))
    except (ValueError, TypeError, KeyError, AttributeError):
        return [finding(check, "unknown", "bandit gave no result", "see what bandit said, in the log of this run")]
    if files < 1 and not unread:
        found.append(finding(check, "unknown", "bandit found no Python file in the source", "let source lead to the code"))
    if unread:
        found.append(finding(check, "unknown", f"bandit could not read {app_inspector.listed(_below(source, f) for f in unread)}",
                             "correct the files, or remove them"))
    return found or [finding(check, "pass", f"nothing of medium or high severity in {files} files; {minor} minor remarks")]


def _below(source: str, path: str) -> str:
    return path[len(source):].lstrip("/") if source and path.startswith(source) else path


def audit_findings(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """A report of pip-audit-app. A vulnerability that has a fix is an error, one without is a warning."""
    check = "dependencies"
    try:
        found = [
            finding(check, "error" if v["fixed"] else "warning",
                    f"{v['package']} {v['installed']} {' '.join(dict.fromkeys([v['id'], *v['aliases']]))} "
                    + (f"(fixed in {', '.join(v['fixed'])})" if v["fixed"] else "(no fix yet)"),
                    f"{v['package']}>={v['fixed'][0]} in the lock file" if v["fixed"] else "replace the package, or waive the check until there is a fix")
            for v in report["findings"]
        ]
        state, reason = report["state"], report["reason"]
        packages = report.get("counts", {}).get("audited", 0)
    except (TypeError, KeyError, AttributeError):
        state, reason, found, packages = "could-not-audit", "the report has another form", [], 0
    if state == "could-not-audit" or reason:
        found.append(finding(check, "unknown", f"could not audit: {reason}", "see that the advisory service can be reached, and repeat"))
    return found or [finding(check, "pass", f"{packages} packages, none with a known vulnerability")]


# --- the policy -----------------------------------------------------------------------------------


def problems(policy: Any, where: str = "preflight") -> list[str]:
    """What is wrong with a policy, in the operator's words."""
    if not isinstance(policy, Mapping):
        return [f"{where} must be a mapping, such as {{mode: enforce}}"]
    found = [f"{where}.{key} is unknown{nearest(key, KEYS) or '; known: ' + ', '.join(KEYS)}" for key in policy if key not in KEYS]
    found += _mode(f"{where}.mode", policy.get("mode", "enforce"))
    checks = policy.get("checks", {})
    if not isinstance(checks, Mapping):
        found.append(f"{where}.checks must be a mapping of checks to modes, such as {{cookie_name: warn}}")
        checks = {}
    for name, mode in checks.items():
        found += _check(f"{where}.checks.{name}", name) + _mode(f"{where}.checks.{name}", mode)
    waivers = policy.get("waivers", [])
    if not isinstance(waivers, list):
        found.append(f"{where}.waivers must be a list, such as [{{check: cookie_name, reason: …, until: \"2027-01-31\"}}]")
        waivers = []
    for number, waiver in enumerate(waivers):
        found += _waiver(f"{where}.waivers[{number}]", waiver)
    csrf, proxies = policy.get("csrf", "flask_wtf"), policy.get("proxies", 1)
    if not isinstance(csrf, str) or not re.fullmatch(r"[A-Za-z_][\w.-]*", csrf):
        found.append(f"{where}.csrf must name the protection: flask_wtf, or another's dotted name or extension key, such as flask_seasurf.SeaSurf")
    if not isinstance(proxies, int) or isinstance(proxies, bool) or not 0 <= proxies <= 10:
        found.append(f"{where}.proxies must be the number of proxies in front of the application, from 0 to 10; nginx is the first")
    return found


def _mode(where: str, mode: Any) -> list[str]:
    if mode is False:  # YAML reads off, without quotes, as false
        return [f'{where}: write "off" in quotes']
    return [] if mode in MODES else [f"{where} must be one of {', '.join(MODES)}{nearest(mode, MODES)}"]


def _check(where: str, name: Any) -> list[str]:
    if name in BY_ID:
        return []
    return [f"{where}: there is no check {name}{nearest(name, BY_ID) or '; known: ' + ', '.join(BY_ID)}"]


def _waiver(where: str, waiver: Any) -> list[str]:
    if not isinstance(waiver, Mapping):
        return [f'{where} must be a mapping, such as {{check: cookie_name, reason: …, until: "2027-01-31"}}']
    found = [f"{where}.{key} is unknown{nearest(key, WAIVER_KEYS)}" for key in waiver if key not in WAIVER_KEYS]
    found += _check(f"{where}.check", waiver["check"]) if "check" in waiver else [f"{where}.check is missing"]
    reason = waiver.get("reason")
    if not isinstance(reason, str) or len(reason.strip()) < 10:
        found.append(f"{where}.reason must say why, in 10 characters or more")
    if _day(waiver.get("until")) is None:
        found.append(f'{where}.until must be the last day it holds, such as "2027-01-31"')
    return found


def _day(value: Any) -> datetime.date | None:
    """A date, which YAML may have made of the text already."""
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    try:
        return datetime.date.fromisoformat(value)
    except (TypeError, ValueError):
        return None


# --- the judgement --------------------------------------------------------------------------------


@dataclass
class Report:
    """What was found, weighed. `ok` decides whether the release goes live."""

    blocking: list[dict[str, str]] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)
    waived: list[dict[str, str]] = field(default_factory=list)
    passed: list[dict[str, str]] = field(default_factory=list)
    off: list[str] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing stands against the release."""
        return not self.blocking

    def summary(self) -> str:
        """The numbers, in one line."""
        parts = [f"{len(self.blocking)} errors that stop the release", f"{len(self.warnings)} warnings", f"{len(self.waived)} waived",
                 f"{len(self.passed)} passed"] + ([f"off: {', '.join(self.off)}"] if self.off else [])
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """For the file that stays with the release."""
        return {"ok": self.ok, "summary": self.summary(), "blocking": self.blocking, "warnings": self.warnings, "waived": self.waived,
                "passed": self.passed, "off": self.off, "expired": self.expired}

    def table(self, passed: bool = True) -> str:
        """Aligned text for a terminal: what stops the release first, what is well last or left out."""
        groups = [self.blocking, self.warnings, self.waived] + ([self.passed] if passed else [])
        rows = [row for group in groups for row in group]
        first = max([len("check"), *(len(row["check"]) for row in rows)]) + 2
        second = max([len("result"), *(len(row["shown"]) for row in rows)]) + 2
        lines = [f"{'check':<{first}}{'result':<{second}}found"]
        for row in rows:
            cells = [row["found"]] + [f"{word}: {row[key]}" for word, key in (("why", "why"), ("write", "fix"), ("waiver", "waiver")) if row.get(key)]
            head = f"{row['check']:<{first}}{row['shown']:<{second}}"
            for cell in cells:
                lines += textwrap.wrap(cell, WIDTH, initial_indent=head, subsequent_indent=" " * (first + second),
                                       break_on_hyphens=False) or [head.rstrip()]
                head = " " * (first + second)
        return "\n".join([*lines, *self.expired, self.summary()])


def judge(findings: Iterable[Finding], policy: Mapping[str, Any], today: datetime.date) -> Report:
    """Weigh findings by a policy that has no problems. A check without any finding counts as unknown."""
    findings, report = list(findings), Report()
    modes = {check.id: policy.get("checks", {}).get(check.id, policy.get("mode", "enforce")) for check in CHECKS}
    valid: dict[str, str] = {}
    for waiver in policy.get("waivers", []):
        until = _day(waiver["until"])
        if until is not None and until >= today:
            valid[waiver["check"]] = f"until {until}: {waiver['reason']}"
        else:
            report.expired.append(f"The waiver of {waiver['check']} expired on {until} and does not count.")
    seen = {one["check"] for one in findings}
    findings += [finding(check.id, "unknown", "nothing was reported") for check in CHECKS if check.id not in seen]
    order = {check.id: number for number, check in enumerate(CHECKS)}
    for one in sorted(findings, key=lambda f: order[f["check"]]):
        check, result = one["check"], one["result"]
        row = {**one, "shown": result}
        if modes[check] == "off":
            report.off += [check] if check not in report.off else []
        elif result == "pass":
            report.passed.append(row)
        elif check in valid:
            report.waived.append({**row, "shown": "waived", "waiver": valid[check]})
        elif result == "error" and modes[check] == "enforce":
            report.blocking.append(row)
        else:
            report.warnings.append(row)
    return report
