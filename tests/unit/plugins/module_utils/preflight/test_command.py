"""The inspection of a directory, without a host: its exit status, its forms, and what it takes from an entry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from ansible_collections.bulwark.flask.tests.unit.checkout import ROOT

PROGRAM = ROOT / "tools/inspect"
GOOD = "from flask import Flask\napp = Flask(__name__)\n\n\n@app.get('/')\ndef index():\n    return 'x'\n"
BAD = GOOD + "app.config.update(DEBUG=True, MAIL_PASSWORD='cold-river-stones')\nprint(app.config['MAIL_PASSWORD'])\n"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(venv: Path, tmp_path: Path) -> Run:
    """Runs the command on an application of one file."""
    def inspect(code: str, *options: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        source = tmp_path / "search"
        source.mkdir(exist_ok=True)
        (source / "web.py").write_text(code)
        wanted = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8", **environment}
        return subprocess.run([PROGRAM, source, "--wsgi", "web:app", "--python", venv / "bin/python", *options], input=stdin, capture_output=True,
                              text=True, check=False, timeout=60, env=wanted, cwd=tmp_path)
    return inspect


def test_what_a_deploy_would_let_pass_exits_0(run: Run) -> None:
    done = run(GOOD)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 errors that stop the release" in done.stdout and "Not seen here: what the sandbox" in done.stdout


def test_what_a_deploy_would_refuse_exits_1_with_the_lines_that_let_it_through(run: Run) -> None:
    done = run(BAD)
    assert done.returncode == 1 and "DEBUG: false" in done.stdout
    # The lines let it through.
    cured = run(BAD, "--entry", "-", stdin='{"config": {"DEBUG": false}}')
    assert cured.returncode == 0, cured.stdout


@pytest.mark.parametrize(("code", "options", "words"), [
    ("raise LookupError('no cold-river-stones')\n", [], "web:app cannot be imported by"),
    ("import sys\nprint('no config.yml, cold-river-stones')\nsys.exit(3)\n", [], "no config.yml, [MAIL_PASSWORD]"),
    ("import os\nos._exit(3)\n", [], "ended early"),
    ("import time\ntime.sleep(60)\n", ["--timeout", "2"], "To allow more: --timeout 10"),
    (GOOD, ["--python", "/nowhere/python"], "is no program"),
    (GOOD, ["--entry", "/nowhere/entry"], "/nowhere/entry"),
    (GOOD, ["--entry", "-"], "must hold one entry"),
])
def test_what_cannot_be_inspected_exits_2_and_says_why(run: Run, code: str, options: list[str], words: str) -> None:
    done = run(code, *options, stdin="[]", MAIL_PASSWORD="cold-river-stones")
    assert done.returncode == 2 and words in done.stderr and done.stdout == ""
    assert "cold-river-stones" not in done.stderr


def test_an_interpreter_without_flask_is_named(run: Run, tmp_path: Path) -> None:
    done = run("app = lambda environ, start_response: []\n", "--python", "/usr/bin/python3")
    assert done.returncode == 2 and "/usr/bin/python3 has no Flask; name the application's own interpreter with --python" in done.stderr


def test_a_relative_interpreter_is_one_of_the_current_directory(run: Run, tmp_path: Path, venv: Path) -> None:
    (tmp_path / "env").symlink_to(venv)
    assert run(GOOD, "--python", "env/bin/python").returncode == 0


def test_json_has_every_finding(run: Run) -> None:
    report = json.loads(run(BAD, "--format", "json").stdout)
    assert [row["check"] for row in report["blocking"]] == ["debug_mode"] and report["ok"] is False and len(report["passed"]) > 10


def test_sarif_names_the_place_and_keeps_waived_findings_as_suppressed(run: Run, tmp_path: Path) -> None:
    code = BAD + "app.config['SECRET_KEY'] = '7d865e959b2466918c9863afca942d0f00'\n"
    entry = {"app_release": {"policy": {"waivers": [{"check": "debug_mode", "reason": "a demonstration, no data"}]}}}
    done = run(code, "--format", "sarif", "--output", str(tmp_path / "found.sarif"), "--entry", "-", stdin=json.dumps(entry))
    assert done.returncode == 1 and "errors that stop the release" in done.stdout
    (found,) = json.loads((tmp_path / "found.sarif").read_text())["runs"]
    results = {result["ruleId"]: result for result in found["results"]}
    assert results["debug_mode"]["suppressions"] == [{"kind": "external", "justification": "a demonstration, no data"}]
    place = results["secret_key_in_source"]["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"], results["secret_key_in_source"]["level"]) == ("web.py", 10, "error")
    assert {result["ruleId"] for result in found["results"]} <= {rule["id"] for rule in found["tool"]["driver"]["rules"]}
    assert "7d865e959b2466918c9863afca942d0f00" not in json.dumps(found)


def test_junit_has_a_case_for_each_check(run: Run) -> None:
    suite = ElementTree.fromstring(run(BAD, "--format", "junit").stdout).find("testsuite")
    assert suite is not None and suite.get("failures") == "1" and int(suite.get("tests", "0")) == len(suite.findall("testcase")) > 20
    (failure,) = suite.iter("failure")
    assert failure.get("type") == "debug_mode" and "DEBUG is on" in str(failure.get("message"))


def test_the_environment_of_the_entry_reaches_the_application(run: Run) -> None:
    code = GOOD + "import os\napp.config['GREETING'] = os.environ['GREETING']\nimport json\nassert json.loads(os.environ['LIST']) == [1]\n"
    assert run(code).returncode == 2
    assert run(code, "--entry", "-", stdin='{"env": {"GREETING": "hello", "LIST": [1]}}').returncode == 0


def test_inline_scripts_of_templates_are_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "search/templates").mkdir(parents=True)
    (tmp_path / "search/templates/index.html").write_text("<p>\n<button onclick='x()'>")
    assert "templates/index.html:2 event handler onclick" in run(GOOD).stdout


def test_the_playbook_takes_the_entry_of_an_inventory(venv: Path, tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    (tmp_path / "search/web.py").write_text(BAD)
    inventory = tmp_path / "inventory.yml"

    def play(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["ansible-playbook", "-i", inventory, ROOT / "playbooks/inspect.yml", "-e", "path=search", "-e", f"python={venv}/bin/python",
                               *options], capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path, env={**os.environ, "PWD": str(tmp_path)})

    entry = "{domains: [search.example.com], wsgi: 'web:app', source: {path: x}, env: {KEY: cold-river}, config: {DEBUG: %s}}"
    inventory.write_text("all: {hosts: {web1: {flask_apps: {search: " + entry % "false" + "}}}}\n")
    done = play("-e", "app=search")
    assert done.returncode == 0 and "0 errors that stop the release" in done.stdout, done.stdout + done.stderr
    inventory.write_text("all: {hosts: {web1: {flask_apps: {search: " + entry % "true" + "}}}}\n")
    done = play("-e", "app=search")
    assert done.returncode != 0 and "A deploy would refuse it; see above." in done.stdout + done.stderr
    done = play("-e", "app=shop")
    assert done.returncode != 0 and "with an inventory that has this application" in done.stdout + done.stderr
