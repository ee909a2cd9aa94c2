"""The result of an inspection in the forms that pipelines read: JSON, SARIF 2.1.0 and JUnit. No Ansible imports."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ansible_collections.bulwark.flask.plugins.module_utils.preflight import policy

FORMATS = ("text", "json", "sarif", "junit")
PLACE = re.compile(r"(?<![\w./-])([\w./-]+\.\w+):(\d+)")
LEVELS = {"error": "error", "warning": "warning", "unknown": "note"}


def write(form: str, report: policy.Report, source: Path) -> str:
    """The report as json, sarif or junit."""
    return {"json": _json, "sarif": _sarif, "junit": _junit}[form](report, source)


def _json(report: policy.Report, source: Path) -> str:
    return json.dumps({"source": str(source), **report.as_dict()}, indent=2)


def places(text: str, source: Path) -> list[tuple[str, int]]:
    """The lines of files that a finding names."""
    return [(name, int(line)) for name, line in PLACE.findall(text) if (source / name).is_file()]


def _default_place(source: Path) -> str:
    """A file for findings about the whole application: SARIF wants one."""
    return next((name for name in ("pyproject.toml", "requirements.txt", "app.py", "wsgi.py") if (source / name).is_file()), ".")


def _sarif(report: policy.Report, source: Path) -> str:
    def result(row: Mapping[str, str], kind: str) -> dict[str, Any]:
        locations = places(row["found"], source) or [(_default_place(source), 1)]
        written = {
            "ruleId": row["check"], "level": LEVELS[row["result"]],
            "message": {"text": "\n".join([row["found"], *(f"{word}: {row[key]}" for word, key in (("Why", "why"), ("Write", "fix")) if row.get(key))])},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": name}, "region": {"startLine": line}}} for name, line in locations],
        }
        return {**written, "suppressions": [{"kind": "external", "justification": row["waiver"]}]} if kind == "waived" else written

    rules = [{"id": check.id, "shortDescription": {"text": check.title}, "fullDescription": {"text": check.why},
              "help": {"text": check.fix}, "defaultConfiguration": {"level": LEVELS[check.severity]}} for check in policy.CHECKS]
    results = [result(row, kind) for kind in ("blocking", "warnings", "waived") for row in getattr(report, kind)]
    return json.dumps({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [{
        "tool": {"driver": {"name": "bulwark.flask", "informationUri": "https://github.com/bulwark/flask", "rules": rules}}, "results": results}]}, indent=2)


def _junit(report: policy.Report, source: Path) -> str:
    suite = ElementTree.Element("testsuite", name="inspection")
    counts = {"failures": 0, "skipped": 0, "tests": 0}
    for check in policy.CHECKS:
        rows = {kind: [row for row in getattr(report, kind) if row["check"] == check.id] for kind in ("blocking", "waived", "warnings", "passed")}
        if not any(rows.values()) and check.id not in report.off:
            continue
        case = ElementTree.SubElement(suite, "testcase", classname=f"inspection.{source.name}", name=f"{check.id}: {check.title}")
        counts["tests"] += 1
        if rows["blocking"]:
            counts["failures"] += 1
            failure = ElementTree.SubElement(case, "failure", type=check.id, message=rows["blocking"][0]["found"])
            failure.text = "\n".join(f"{row['found']}\nwrite: {row['fix']}" for row in rows["blocking"])
        elif rows["waived"] or check.id in report.off:
            counts["skipped"] += 1
            ElementTree.SubElement(case, "skipped", message=rows["waived"][0]["waiver"] if rows["waived"] else "off")
        if rows["warnings"]:
            ElementTree.SubElement(case, "system-out").text = "\n".join(f"{row['result']}: {row['found']}\nwrite: {row['fix']}" for row in rows["warnings"])
    suite.attrib.update({name: str(count) for name, count in counts.items()})
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True)
