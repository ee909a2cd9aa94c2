"""Findings under a policy, and problems of a policy."""

from __future__ import annotations

import datetime
import json
import re
import subprocess

import pytest
import yaml
from ansible_collections.bulwark.flask.plugins.module_utils.preflight import policy as preflight
from ansible_collections.bulwark.flask.plugins.module_utils.preflight import tools
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import finding
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.table import APPLICATION
from ansible_collections.bulwark.flask.tests.unit.checkout import ROOT
from ansible_collections.bulwark.flask.tests.unit.plugins.module_utils.preflight.preflight_variants import VARIANTS, Variant

TODAY = datetime.date(2026, 11, 25)
REASON = "signed by the sender, no session"
CLEAN = [finding(check, "pass", check.title) for check in preflight.CHECKS if check is not APPLICATION]
AUDIT = {"state": "clean", "reason": "", "counts": {"audited": 12}, "findings": [], "skipped": []}
VULNERABLE = {"package": "flask", "installed": "2.0", "fixed": ["2.3.2"], "id": "GHSA-m2qf", "aliases": ["CVE-2023-30861"]}


def with_one(check, result):
    """Findings that are all well but one."""
    others = [one for one in CLEAN if one["check"] != check]
    return [*others, finding(preflight.BY_ID[check], result, "it is so")]


def waiver(check, until="2027-01-31"):
    return {"waivers": [{"check": check, "reason": REASON, "until": until}]}


def checks(rows):
    return {row["check"] for row in rows}


# --- judging --------------------------------------------------------------------------------------


def test_a_release_without_findings_is_activated():
    report = preflight.evaluate(CLEAN, {}, TODAY)
    assert report.ok and not report.warnings and len(report.passed) == len(CLEAN)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_a_variant_is_an_error_or_a_warning_and_its_waiver_allows_only_it(answers, variant):
    findings = tools.inspector_findings(json.dumps(answers(variant.name))) + CLEAN[-2:]
    report = preflight.evaluate(findings, {}, TODAY)
    caught = report.blocking if variant.result == "error" else report.warnings
    assert report.ok is (variant.result != "error") and variant.check in checks(caught)
    others = checks(report.blocking + report.warnings) - {variant.check}
    waived = preflight.evaluate(findings, waiver(variant.check), TODAY)
    assert waived.ok and checks(waived.waived) == {variant.check} and checks(waived.warnings) == others
    another = next(check.id for check in preflight.CHECKS[1:] if check.id not in {variant.check, *others})
    assert preflight.evaluate(findings, waiver(another), TODAY).blocking == report.blocking


@pytest.mark.parametrize("check", preflight.CHECKS, ids=lambda c: c.id)
@pytest.mark.parametrize(("policy", "where"), [
    ({}, "blocking"), ({"mode": "warn"}, "warnings"), ({"mode": "off"}, None), ({"checks": {"CHECK": "warn"}}, "warnings"),
    ({"checks": {"CHECK": "off"}}, None), ({"mode": "warn", "checks": {"CHECK": "enforce"}}, "blocking"),
])
def test_the_policy_decides_the_effect_of_an_error(check, policy, where):
    policy = json.loads(json.dumps(policy).replace("CHECK", check.id))
    report = preflight.evaluate(with_one(check.id, "error"), policy, TODAY)
    assert report.ok is (where != "blocking")
    assert {name for name in ("blocking", "warnings", "waived") if getattr(report, name)} == ({where} if where else set())
    assert (check.id in report.off) is (where is None)


@pytest.mark.parametrize("result", ["warning", "unknown"])
def test_only_errors_stop_a_release(result):
    report = preflight.evaluate(with_one("csrf_protection", result), {"checks": {"csrf_protection": "enforce"}}, TODAY)
    assert report.ok and checks(report.warnings) == {"csrf_protection"}


def test_a_check_without_a_finding_is_unknown():
    report = preflight.evaluate(CLEAN[1:], {}, TODAY)
    assert [(row["check"], row["result"]) for row in report.warnings] == [("debug_mode", "unknown")]


@pytest.mark.parametrize(("until", "holds"), [("2026-11-24", False), ("2026-11-25", True), (TODAY, True), (datetime.date(2026, 1, 1), False)])
def test_a_waiver_holds_to_the_end_of_its_day_and_is_named_afterwards(until, holds):
    report = preflight.evaluate(with_one("debug_mode", "error"), waiver("debug_mode", until), TODAY)
    assert report.ok is holds
    assert bool(report.expired) is not holds
    assert holds or f"The waiver of debug_mode expired on {until}" in report.table()


def test_the_table_is_aligned_and_narrow_and_has_remedies():
    findings = with_one("csrf_exemptions", "error") + [finding(preflight.BY_ID["body_limit"], "warning", "x" * 30 + " word" * 60)]
    report = preflight.evaluate(findings, waiver("csrf_exemptions"), TODAY)
    lines = report.table().splitlines()
    assert all(len(line) <= 110 for line in lines)
    column = lines[0].index("found")
    assert all(line[column - 1] == " " for line in lines[1:-1])
    assert f"waiver: until 2027-01-31: {REASON}" in report.table()
    assert "write: MAX_CONTENT_LENGTH" in report.table() and "why: " in report.table()
    assert lines[-1] == report.summary() == "0 errors that stop the release, 1 warnings, 1 waived, 25 passed".replace("25", str(len(report.passed)))
    assert len(report.table(passed=False).splitlines()) < 15
    assert json.loads(json.dumps(report.as_dict()))["ok"] is True


def test_the_lines_to_paste_let_the_release_through():
    findings = [one for one in with_one("csrf_protection", "error") if one["check"] != "cookie_secure"]
    findings.append(finding(preflight.BY_ID["cookie_secure"], "error", "it is so"))
    report = preflight.evaluate(findings, {}, TODAY)
    lines = yaml.safe_load(report.permitting_settings(from_prefixed_env=True))
    assert lines["config"] == {"SESSION_COOKIE_SECURE": True}
    assert '#   FLASK_SESSION_COOKIE_SECURE: "true"' in report.permitting_settings(from_prefixed_env=True)
    policy = lines["app_release"]["policy"]
    assert preflight.problems(policy) == [] and "act in the client's name" in policy["waivers"][0]["reason"]
    assert checks(preflight.evaluate(findings, policy, TODAY).blocking) == {"cookie_secure"}  # cured by config


def test_the_lines_to_paste_have_the_domains():
    report = preflight.evaluate(with_one("trusted_hosts", "error"), {}, TODAY)
    lines = yaml.safe_load(report.permitting_settings(domains=["shop.example.com", "www.shop.example.com"]))
    assert lines == {"config": {"TRUSTED_HOSTS": ["shop.example.com"]}}


def test_the_lines_to_paste_have_the_places_that_are_written():
    places = preflight.BY_ID["writable_places"]
    findings = [*CLEAN, finding(places, "error", "UPLOAD_FOLDER is uploads", "shared: [instance, uploads, app.db]"),
                finding(places, "error", "SQLALCHEMY_DATABASE_URI is app.db", "shared: [instance, uploads, app.db]")]
    assert yaml.safe_load(preflight.evaluate(findings, {}, TODAY).permitting_settings()) == {"shared": ["instance", "uploads", "app.db"]}
    elsewhere = [*CLEAN, finding(places, "error", "UPLOAD_FOLDER is /srv", "let UPLOAD_FOLDER lead elsewhere")]
    assert "check: writable_places" in preflight.evaluate(elsewhere, {}, TODAY).permitting_settings()


def test_a_target_that_is_no_flask_application_is_one_line():
    report = preflight.evaluate([finding(APPLICATION, "unknown", "it is Django"), *CLEAN[-2:]], {}, TODAY)
    assert report.ok and checks(report.warnings) == {"application"}


def test_the_lines_to_paste_name_what_is_served_and_what_else_is_wrong():
    findings = [finding(APPLICATION, "error", "the module app has no app", 'wsgi: "app:create_app()"'), *CLEAN[-2:],
                finding(preflight.BY_ID["cookie_secure"], "error", "it is so")]
    lines = yaml.safe_load(preflight.evaluate(findings, {}, TODAY).permitting_settings())
    assert lines == {"wsgi": "app:create_app()", "config": {"SESSION_COOKIE_SECURE": True}}
    unknown = [finding(APPLICATION, "error", "it has no such name", "write wsgi: such as shop:app"), *CLEAN[-2:]]
    assert preflight.evaluate(unknown, {}, TODAY).permitting_settings() == ""


# --- what others find -----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "null", "[]", '{"findings": null}', '{"findings": [{"check": "unheard_of", "result": "pass"}]}',
                                  '{"findings": [{"check": "debug_mode", "result": "fine", "found": "", "fix": ""}]}'])
def test_an_invalid_report_is_one_unknown_finding(text):
    found = tools.inspector_findings(text)
    assert [(one["check"], one["result"]) for one in found] == [("application", "unknown")]


def test_a_report_cannot_control_the_terminal():
    answer = {"findings": [{"check": "debug_mode", "result": "error", "found": "a\x1b[2Jb\nc", "fix": "", "why": "\x1b"}]}
    found = tools.inspector_findings(json.dumps(answer))
    assert found[0]["found"] == "a [2Jb c" and "\x1b" not in found[0]["why"]


def run_bandit(host, name, files):
    source = host.example(Variant(name, "static_analysis", "error", files=files))
    done = subprocess.run(tools.bandit_command(str(host.venv / "bin/bandit"), str(source)), capture_output=True, text=True, check=False)
    return tools.bandit_findings(done.stdout, str(source))


@pytest.mark.parametrize(("name", "line", "result"), [
    ("development-server", "from flask import Flask; app = Flask('x')\napp.run(debug=True) if __name__ == '__main__' else None\n", "warning"),
    ("shell", "import subprocess\nsubprocess.call(input(), shell=True)\n", "error"),
    ("yaml", "import yaml\nyaml.load(open('x'))\n", "warning"),
    ("random", "import random\nrandom.random()\n", "pass"),
    ("broken", "def :\n", "unknown"),
    ("accepted", "import subprocess\nsubprocess.call(input(), shell=True)  # nosec: the name of a file of ours\n", "pass"),
])
def test_bandit_reads_the_source(host, name, line, result):
    found = run_bandit(host, f"bandit-{name}", {"shop/more.py": line, ".bandit": "[bandit]\nskips: B602,B506\n"})
    assert [one["result"] for one in found] == [result]
    assert result not in ("error", "warning") or found[0]["found"].startswith("shop/more.py:2 B")


def test_bandit_leaves_tests_and_packages_out_but_not_a_source_below_test(host):
    shell = "import subprocess\nsubprocess.call(input(), shell=True)\n"
    below = {f"{folder}/more.py": shell for folder in ("tests", "shop/tests", "venv/lib", "shop/node_modules/x")}
    assert [one["result"] for one in run_bandit(host, "test/bandit-folders", below)] == ["pass"]
    assert [one["result"] for one in run_bandit(host, "test/bandit-itself", {"shop/more.py": shell})] == ["error"]


def test_bandit_stops_only_for_files_that_the_application_imports(host):
    shell, weak_hash = "import subprocess\nsubprocess.call(input(), shell=True)\n", "import hashlib\nhashlib.md5(b'')\n"
    source = host.example(Variant("bandit-imported", "static_analysis", "error", files={
        "scripts/populate.py": shell, "shop/more.py": shell, "shop/etag.py": weak_hash}))
    done = subprocess.run(tools.bandit_command(str(host.venv / "bin/bandit"), str(source)), capture_output=True, text=True, check=False)
    found = tools.bandit_findings(done.stdout, str(source), tools.Facts(imported=["shop/more.py", "shop/etag.py"]))
    assert {one["found"].split(":")[0]: one["result"] for one in found} == {
        "scripts/populate.py": "warning", "shop/etag.py": "warning", "shop/more.py": "error"}


def test_bandit_does_not_stop_for_commands_and_main_blocks(host):
    code = """
import os
import sys

import click
from flask import Flask, request

app = Flask(__name__)


@app.cli.group()
def translate():
    pass


@translate.command()
@click.argument("lang")
def init(lang):
    os.system("pybabel init -l " + lang)


@app.get("/init")
def over_http():
    os.system("pybabel init -l " + request.args["lang"])


if __name__ == "__main__":
    os.system("pybabel init -l " + sys.argv[1])
"""
    answer = host.program("commands", {"web.py": code}, "web:app")
    done = subprocess.run(tools.bandit_command(str(host.venv / "bin/bandit"), str(host.root / "commands")), capture_output=True, text=True, check=False)
    found = tools.bandit_findings(done.stdout, str(host.root / "commands"), tools.inspector_facts(json.dumps(answer)))
    assert {one["found"].split()[0]: one["result"] for one in found} == {"web.py:19": "warning", "web.py:24": "error", "web.py:28": "warning"}
    assert "which no request runs" in found[0]["found"]


def test_bandits_findings_contain_no_password(host):
    found = run_bandit(host, "bandit-password", {"shop/more.py": "password = 'hunter2-hunter2'\n", "shop/sql.py": (
        "def f(c, x):\n    password = 'hunter2-hunter2'\n    c.execute(\"SELECT 1 FROM t WHERE p = 'hunter2-hunter2' AND x = '%s'\" % x)\n")})
    assert found[0]["result"] == "warning" and "hunter2" not in json.dumps(found)


@pytest.mark.parametrize("text", ["", "no JSON", "{}", '{"results": [{}], "errors": [], "metrics": {}}'])
def test_no_result_of_bandit_is_unknown(text):
    assert [one["result"] for one in tools.bandit_findings(text)] == ["unknown"]


def test_a_source_without_python_is_unknown_to_bandit():
    report = {"results": [], "errors": [], "metrics": {"_totals": {}}}
    assert [one["result"] for one in tools.bandit_findings(json.dumps(report))] == ["unknown"]


@pytest.mark.parametrize(("change", "results"), [
    ({}, ["pass"]),
    ({"state": "vulnerable", "findings": [VULNERABLE]}, ["error"]),
    ({"state": "vulnerable", "findings": [{**VULNERABLE, "fixed": []}]}, ["warning"]),
    ({"state": "vulnerable", "findings": [VULNERABLE], "reason": "1 of 2 packages could not be looked up: own"}, ["error", "unknown"]),
    ({"state": "could-not-audit", "reason": "no answer within 20 seconds"}, ["unknown"]),
    ({"findings": None}, ["unknown"]),
])
def test_a_report_of_an_audit_gives_findings(change, results):
    found = tools.audit_findings({**AUDIT, **change})
    assert [one["result"] for one in found] == results
    if results[0] == "error":
        assert found[0]["found"] == "flask 2.0 GHSA-m2qf CVE-2023-30861 (fixed in 2.3.2)" and found[0]["fix"] == "flask>=2.3.2 in the lock file"


# --- the policy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [
    {}, {"mode": "warn"}, {"checks": {"debug_mode": "off", "dependencies": "warn"}}, {"proxies": 0},
    {"waivers": [{"check": "csrf_protection", "reason": REASON}]},
    waiver("static_analysis"), waiver("static_analysis", datetime.date(2027, 1, 31)),
])
def test_a_right_policy_has_no_problem(policy):
    assert preflight.problems(policy) == []


@pytest.mark.parametrize(("policy", "problem"), [
    ([], "preflight must be a mapping, such as {mode: enforce}"),
    ({"mod": "warn"}, "preflight.mod is unknown; did you mean mode?"),
    ({"mode": "enforced"}, "preflight.mode must be one of enforce, warn, off; did you mean enforce?"),
    ({"mode": False}, 'preflight.mode: write "off" in quotes'),
    ({"checks": []}, "preflight.checks must be a mapping of checks to modes, such as {cookie_name: warn}"),
    ({"checks": {"cookie_names": "warn"}}, "preflight.checks.cookie_names: there is no check cookie_names; did you mean cookie_name?"),
    ({"checks": {"cookie_name": "no"}}, "preflight.checks.cookie_name must be one of enforce, warn, off"),
    ({"waivers": {}}, 'preflight.waivers must be a list, such as [{check: cookie_name, reason: …, until: "2027-01-31"}]'),
    ({"waivers": ["x"]}, 'preflight.waivers[0] must be a mapping, such as {check: cookie_name, reason: …, until: "2027-01-31"}'),
    ({"waivers": [{"reason": REASON, "until": "2027-01-31"}]}, "preflight.waivers[0].check is missing"),
    (waiver("bandid"), "preflight.waivers[0].check: there is no check bandid; known: "),
    (waiver("debug_mod"), "preflight.waivers[0].check: there is no check debug_mod; did you mean debug_mode?"),
    (waiver("debug_mode", "31.1.2027"), 'preflight.waivers[0].until must be the last day of the waiver, such as "2027-01-31"'),
    ({"waivers": [{**waiver("debug_mode")["waivers"][0], "reason": "ok"}]}, "preflight.waivers[0].reason must say why, in 10 characters or more"),
    ({"waivers": [{**waiver("debug_mode")["waivers"][0], "untill": ""}]}, "preflight.waivers[0].untill is unknown; did you mean until?"),
    ({"proxies": "1"}, "preflight.proxies must be the number of proxies"), ({"proxies": True}, "preflight.proxies must be"),
])
def test_a_problem_is_named_in_the_operators_words(policy, problem):
    found = preflight.problems(policy)
    assert len(found) == 1 and found[0].startswith(problem)


def test_all_problems_are_named_at_once():
    assert len(preflight.problems({"mode": "x", "checks": {"y": "z"}, "waivers": [{}], "proxies": -1})) == 6


# --- the document ---------------------------------------------------------------------------------


def test_the_document_has_every_check_as_it_is():
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in (ROOT / "docs/preflight.md").read_text().splitlines() if line.startswith("| `")]
    assert rows == [[f"`{c.id}`", c.title.replace("|", "\\|"), c.severity, c.fix.replace("|", "\\|")] for c in preflight.CHECKS]
