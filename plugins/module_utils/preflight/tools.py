"""Findings of the inspector, bandit and pip-audit. No Ansible imports."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector import table
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import Check, finding
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.source import listed

STATIC_ANALYSIS = Check("static_analysis", "bandit finds no dangerous code in what the application imports", "error",
                        "shells, eval, pickle and SQL made of text let clients run code", "change the line, or mark it # nosec with the reason")
DEPENDENCIES = Check("dependencies", "pip-audit knows no vulnerability of a package", "error",
                     "attacks on published vulnerabilities are automated", "update the lock file")
INSPECTED = {check.id: check for check in (table.APPLICATION, *table.CHECKS)}
RESULTS = {result: result for result in ("pass", "warning", "error", "unknown")}
UNSCANNED = ("tests", "test", "venv", ".venv", "node_modules", ".git", ".tox", "__pycache__", "site-packages")
# Weak hashes and ciphers: most are checksums and cache keys, and bandit cannot tell. `app.run(debug=True)` is for `python app.py`;
# the check debug_mode covers the live application.
NOT_AN_ATTACK = ("B303", "B304", "B305", "B324", "B201")


def inspector_findings(json_text: str) -> list[dict[str, str]]:
    """The findings in a report of the inspector. The report comes from the application's process, so it is not trusted: an
    invalid report is one finding that the inspection failed."""
    try:
        findings = [finding(INSPECTED[one["check"]], RESULTS[one["result"]], _line(one["found"]), _line(one["fix"]))
                    for one in json.loads(json_text)["findings"]]
    except (ValueError, TypeError, KeyError, AttributeError):
        findings = [finding(table.APPLICATION, "unknown", "the inspector gave no result: the application ended it, or it took too long",
                            "see what the application printed, in the log of this run")]
    return findings


class Facts(NamedTuple):
    """What the inspector has seen beside its findings."""

    imported: list[str] | None = None  # files of the source; None where that is not known
    from_prefixed_env: bool = False  # whether the application reads environment variables FLASK_…
    interface: str = ""  # wsgi, asgi or empty
    commands: tuple[str, ...] = ()  # the application's own commands of `flask`
    template_folders: tuple[str, ...] = ()  # those of blueprints that packages bring
    not_served: tuple[tuple[str, int, int], ...] = ()  # code that no request runs: a file, its first and its last line
    places: tuple[str, ...] = ()  # paths that settings name for data and that cannot be written
    obstacles: tuple[str, ...] | None = None  # why workers cannot be forked after the import; None where that is not known


def inspector_facts(json_text: str) -> Facts:
    """The facts in an answer of the inspector."""
    try:
        answer = json.loads(json_text)
        inspected = any(one["check"] != table.APPLICATION.id for one in answer["findings"])
        return Facts(list(map(str, answer["imported"])) if inspected else None, bool(answer["from_prefixed_env"]),
                     answer["interface"] if answer["interface"] in ("wsgi", "asgi") else "", tuple(_line(name, 60) for name in answer["commands"]),
                     tuple(map(str, answer["template_folders"])),
                     tuple((str(file), int(first), int(last)) for file, first, last in answer["not_served"]), tuple(map(str, answer["places"])),
                     None if answer["obstacles"] is None else tuple(_line(one, 300) for one in answer["obstacles"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Facts()


def _line(text: Any, limit: int = 2000) -> str:
    """Text that cannot split a line or control a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())[:limit]


def bandit_command(program: str, source: str, files: Collection[str] = ()) -> list[str]:
    """The command that reads the source; it exits 1 when it finds something. A .bandit file of the source's own does not count.

    :param files: links to files that the application alone can read
    """
    source = source.rstrip("/")
    # Patterns from the source on: a directory above it may be called test too.
    left_out = ",".join([f"{source}/{name}/*,{source}/*/{name}/*" for name in UNSCANNED] + [f"{source}/{path}" for path in files])
    return [program, "-r", "-f", "json", "-q", "--ini", "/dev/null", "-x", left_out, source]


def bandit_findings(json_text: str, source: str = "", facts: Facts | None = None) -> list[dict[str, str]]:
    """Findings of bandit. High severity is an error, medium a warning; low severity and low confidence are counted.

    Its texts and code excerpts are left out, because they quote passwords.

    :param facts: of the running application: what it does not import, or no request runs, is a warning at most
    """
    facts = facts or Facts()
    check = STATIC_ANALYSIS
    try:
        report = json.loads(json_text)
        issues, unread = list(report["results"]), [str(e["filename"]) for e in report["errors"]]
        files = len(report["metrics"]) - 1  # beside the totals
        findings, minor = [], 0
        for issue in issues:
            severity, sure = issue["issue_severity"], issue["issue_confidence"] in ("HIGH", "MEDIUM")
            result = {"HIGH": "error" if sure else "warning", "MEDIUM": "warning" if sure else ""}.get(severity, "")
            if not result:
                minor += 1
                continue
            file, number = _line(_below(source, issue["filename"])), int(issue["line_number"])
            unused = ""
            if facts.imported is not None and file not in facts.imported:
                unused = ", in a file that the application does not import"
            elif any(file == name and first <= number <= last for name, first, last in facts.not_served):
                unused = ", in a command or a main block, which no request runs"
            if unused or issue["test_id"] in NOT_AN_ATTACK:
                result = "warning" if result == "error" else ""
            if not result:
                minor += 1
                continue
            findings.append(finding(check, result, f"{file}:{number} {issue['test_id']} {issue['test_name'].replace('_', ' ')} "
                                    f"(severity {severity.lower()}, confidence {issue['issue_confidence'].lower()})"
                                    + unused))
    except (ValueError, TypeError, KeyError, AttributeError):
        return [finding(check, "unknown", "bandit gave no result", "see what bandit printed, in the log of this run")]
    if files < 1 and not unread:
        findings.append(finding(check, "unknown", "bandit found no Python file in the source", "let source lead to the code"))
    if unread:
        findings.append(finding(check, "unknown", f"bandit could not read {listed(_below(source, f) for f in unread)}",
                                "correct the files, or remove them"))
    return findings or [finding(check, "pass", f"nothing of medium or high severity in {files} files; {minor} minor remarks")]


def _below(source: str, path: str) -> str:
    return path[len(source):].lstrip("/") if source and path.startswith(source) else path


def as_audit_report(json_text: str) -> dict[str, Any]:
    """The output of pip-audit itself as a report of pip-audit-app."""
    try:
        packages = json.loads(json_text)["dependencies"]
        vulnerabilities = [
            {"package": package["name"], "installed": package["version"], "id": known["id"], "aliases": known["aliases"],
             "fixed": known["fix_versions"]}
            for package in packages for known in package.get("vulns", [])]
    except (ValueError, TypeError, KeyError):
        return {"state": "could-not-audit", "reason": "pip-audit gave no result", "findings": []}
    return {"state": "audited", "reason": "", "findings": vulnerabilities, "counts": {"audited": len(packages)}}


def audit_findings(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """A report of pip-audit-app. A vulnerability that has a fix is an error, one without is a warning."""
    check = DEPENDENCIES
    try:
        findings = [
            finding(check, "error" if v["fixed"] else "warning",
                    f"{v['package']} {v['installed']} {' '.join(dict.fromkeys([v['id'], *v['aliases']]))} "
                    + (f"(fixed in {', '.join(v['fixed'])})" if v["fixed"] else "(no fix yet)"),
                    f"{v['package']}>={v['fixed'][0]} in the lock file" if v["fixed"] else "replace the package, or waive the check until there is a fix")
            for v in report["findings"]
        ]
        state, reason = report["state"], report["reason"]
        packages = report.get("counts", {}).get("audited", 0)
    except (TypeError, KeyError, AttributeError):
        state, reason, findings, packages = "could-not-audit", "the report has another form", [], 0
    if state == "could-not-audit" or reason:
        findings.append(finding(check, "unknown", f"could not audit: {reason}", "see that the advisory service can be reached, and repeat"))
    return findings or [finding(check, "pass", f"{packages} packages, none with a known vulnerability")]
