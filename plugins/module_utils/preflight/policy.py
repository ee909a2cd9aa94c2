"""Apply the operator's policy to the findings of the preflight. No Ansible imports.

  {mode: enforce, checks: {cookie_name: warn}, waivers: [{check: csrf_exemptions, reason: …, until: 2027-01-31}], proxies: 1}
"""

from __future__ import annotations

import datetime
import json
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.names import nearest
from ansible_collections.bulwark.flask.plugins.module_utils.preflight import tools
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector import table
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.checks.proxy import HOSTS, served
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import finding

Finding = Mapping[str, str]

CHECKS = (table.APPLICATION, *table.CHECKS, tools.STATIC_ANALYSIS, tools.DEPENDENCIES)
BY_ID = {check.id: check for check in CHECKS}
LINES = ("shared: ", "gunicorn_app: ", "wsgi: ")  # how the advice of a finding begins that is a line of the entry
MODES = ("enforce", "warn", "off")
KEYS = ("mode", "checks", "waivers", "proxies")
WAIVER_KEYS = ("check", "reason", "until")
WIDTH = 110


# --- the policy -----------------------------------------------------------------------------------


def problems(policy: Any, where: str = "preflight") -> list[str]:
    """Problems of a policy."""
    if not isinstance(policy, Mapping):
        return [f"{where} must be a mapping, such as {{mode: enforce}}"]
    problems = [f"{where}.{key} is unknown{nearest(key, KEYS) or '; known: ' + ', '.join(KEYS)}" for key in policy if key not in KEYS]
    problems += _mode(f"{where}.mode", policy.get("mode", "enforce"))
    checks = policy.get("checks", {})
    if not isinstance(checks, Mapping):
        problems.append(f"{where}.checks must be a mapping of checks to modes, such as {{cookie_name: warn}}")
        checks = {}
    for name, mode in checks.items():
        problems += _check(f"{where}.checks.{name}", name) + _mode(f"{where}.checks.{name}", mode)
    waivers = policy.get("waivers", [])
    if not isinstance(waivers, list):
        problems.append(f"{where}.waivers must be a list, such as [{{check: cookie_name, reason: …, until: \"2027-01-31\"}}]")
        waivers = []
    for number, waiver in enumerate(waivers):
        problems += _waiver(f"{where}.waivers[{number}]", waiver)
    proxies = policy.get("proxies", 1)
    if not isinstance(proxies, int) or isinstance(proxies, bool) or not 0 <= proxies <= 10:
        problems.append(f"{where}.proxies must be the number of proxies in front of the application, from 0 to 10, nginx included")
    return problems


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
    problems = [f"{where}.{key} is unknown{nearest(key, WAIVER_KEYS)}" for key in waiver if key not in WAIVER_KEYS]
    problems += _check(f"{where}.check", waiver["check"]) if "check" in waiver else [f"{where}.check is missing"]
    reason = waiver.get("reason")
    if not isinstance(reason, str) or len(reason.strip()) < 10:
        problems.append(f"{where}.reason must say why, in 10 characters or more")
    if waiver.get("until") is not None and _day(waiver["until"]) is None:
        problems.append(f'{where}.until must be the last day of the waiver, such as "2027-01-31"; without it, the waiver does not end')
    return problems


def _day(value: Any) -> datetime.date | None:
    """A date, from text or from a date that YAML has parsed."""
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    try:
        return datetime.date.fromisoformat(value)
    except (TypeError, ValueError):
        return None


# --- the report -----------------------------------------------------------------------------------


@dataclass
class Report:
    """The findings under a policy. `ok` decides whether the release is activated."""

    blocking: list[dict[str, str]] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)
    waived: list[dict[str, str]] = field(default_factory=list)
    passed: list[dict[str, str]] = field(default_factory=list)
    off: list[str] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no finding stops the release."""
        return not self.blocking

    def summary(self) -> str:
        """The numbers, in one line."""
        parts = [f"{len(self.blocking)} errors that stop the release", f"{len(self.warnings)} warnings", f"{len(self.waived)} waived",
                 f"{len(self.passed)} passed"] + ([f"off: {', '.join(self.off)}"] if self.off else [])
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """As a dict, for the file beside the release."""
        return {"ok": self.ok, "summary": self.summary(), "blocking": self.blocking, "warnings": self.warnings, "waived": self.waived,
                "passed": self.passed, "off": self.off, "expired": self.expired}

    def table(self, passed: bool = True) -> str:
        """Aligned text for a terminal: findings that stop the release first, passes last or left out."""
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

    def permitting_settings(self, from_prefixed_env: bool = False, domains: Iterable[str] = ()) -> str:
        """The settings of the application's entry that allow this release, and the risk of each.

        :param from_prefixed_env: whether the application reads its settings from environment variables FLASK_…
        :param domains: those of the entry
        """
        checks = [BY_ID[check] for check in dict.fromkeys(row["check"] for row in self.blocking)]
        settings = [check for check in checks if check.setting]
        # The finding has the whole line, with what is shared already.
        lines = list(dict.fromkeys(line for row in self.blocking if row["fix"].startswith(LINES) for line in row["fix"].split("; ")))
        uncured = {row["check"] for row in self.blocking if not row["fix"].startswith(LINES)}
        waived = [check for check in checks if not check.setting and check.id in uncured and check is not table.APPLICATION]
        if settings:
            lines += ["config:  # replaces what the application sets"]
            names = dict(check.setting for check in settings if check.setting)
            names = {name: served(domains) if value == HOSTS else value for name, value in names.items()}
            lines += [f"  {name}: {json.dumps(value)}" for name, value in names.items()]
            texts = {name: value for name, value in names.items() if not isinstance(value, dict)}
            if from_prefixed_env and texts:
                lines += ["# or, where nothing in the code sets them again:", "# env:"]
                lines += [f"#   FLASK_{name}: {json.dumps(value if isinstance(value, str) else json.dumps(value))}" for name, value in texts.items()]
        if waived:
            lines += ["app_release:", "  policy:", "    waivers:"]
            for check in waived:
                lines += [f"      - check: {check.id}", f"        reason: {json.dumps('accepted: ' + check.why)}"]
            lines += ["        # until: \"YYYY-MM-DD\" ends a waiver; without it, it has no end"]
        return "\n".join(lines)


def evaluate(findings: Iterable[Finding], policy: Mapping[str, Any], today: datetime.date) -> Report:
    """Apply a valid policy to findings. A check without a finding counts as unknown."""
    findings, report = list(findings), Report()
    modes = {check.id: policy.get("checks", {}).get(check.id, policy.get("mode", "enforce")) for check in CHECKS}
    valid: dict[str, str] = {}
    for waiver in policy.get("waivers", []):
        until = _day(waiver.get("until"))
        if until is None or until >= today:
            valid[waiver["check"]] = (f"until {until}: " if until else "") + waiver["reason"]
        else:
            report.expired.append(f"The waiver of {waiver['check']} expired on {until} and does not count.")
    seen = {one["check"] for one in findings}
    # A target that is not a Flask application has one finding instead of one per check.
    expected = [tools.STATIC_ANALYSIS, tools.DEPENDENCIES] if table.APPLICATION.id in seen else CHECKS[1:]
    findings += [finding(check, "unknown", "nothing was reported") for check in expected if check.id not in seen]
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
