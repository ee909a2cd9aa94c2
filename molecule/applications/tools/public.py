#!/usr/bin/env python3
"""Deploy public applications as a newcomer would, use each in a browser, and print a table.

    public.py LIST.yml [NAME ...]

The first run has the entries of the list. Where it refuses one, or reports what nginx does not serve yet, the second run has the
lines too that were printed for that, and nothing else. Relative paths of sources are below build/repositories, which holds copies of
public repositories. The host and its state are in build/molecule/public; `tools/testhosts.py down public` removes them. The results
are written after each application, to build/public/LIST.json and LIST.md; with names, those of the other applications are kept.

A list is a mapping of names to

    entry    the first entry, without domains
    steps    what to do in the browser, as in browse.py; opens the front page and the pages that it links to by default
    own_policy    true where the application sends a Content-Security-Policy that blocks parts of its own pages
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import ChainMap
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
SET, HOST = "public", "debian13"
STATE = ROOT / "build" / "molecule" / SET
RESULTS = ROOT / "build" / "public"
os.environ["MOLECULE_SCENARIO_NAME"] = SET
sys.path.insert(0, str(ROOT / "tools"))
from auditor import Auditor  # noqa: E402  # it needs the name of the set
from testhosts import Set  # noqa: E402  # the same

KEYS = ("app_release", "app_secrets", "body_max_mb", "config", "env", "files", "gunicorn_app", "health_path", "nginx_site", "shared",
        "source", "static", "subdirectory", "wsgi")
LINE = re.compile(rf"(?:^|[\s`])((?:{'|'.join(KEYS)}): .*?|(?:{'|'.join(KEYS)}):(?:\s*#.*)?)$")
FATAL = re.compile(r"^fatal: \[[^]]*\]: FAILED! => (\{.*\})$", re.MULTILINE)
REPORT = re.compile(r"^ok: \[[^]]*\] => (\{\"msg\": .*\})$", re.MULTILINE)
NOT_SERVED = re.compile(r"^nginx serves .* only with nginx_site: .*$", re.MULTILINE)
WIDTH = 120
# Applications of one run of the playbook, and the lines that are few.
TOGETHER, FEW = 5, 12
REFUSED = re.compile(r"a status of (?:403|413|421|5\d\d)")
ALL_FAILED = re.compile(r"Failed: ([\w, -]+);")


def merged(old: Any, new: Any) -> Any:
    """Two parts of an entry together."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: merged(old[key], value) if key in old else value for key, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list):
        return old + [one for one in new if one not in old]
    return new


def printed_lines(message: str) -> dict[str, Any]:
    """The lines of an entry that a message prints, each with what is indented below it."""
    found: dict[str, Any] = {}
    lines = message.splitlines()
    for number, line in enumerate(lines):
        match = LINE.search(line)
        if not match:
            continue
        indent = len(line) - len(line.lstrip())
        below = []
        for further in lines[number + 1:]:
            if not further.strip() or len(further) - len(further.lstrip()) <= indent:
                break
            below.append(further)
        for text in (match.group(1) + "\n" + "\n".join(below), match.group(1)):
            try:
                part = yaml.safe_load(text)
            except yaml.YAMLError:
                continue
            if isinstance(part, dict) and all(key in KEYS and value is not None for key, value in part.items()):
                found = merged(found, part)
                break
    return found


def lines_of(entry: dict[str, Any]) -> int:
    """Lines of an entry as a person writes it: a key and its value on one where they fit, a text of several lines below its key."""
    return sum(1 + (0 if not isinstance(value, dict | str) or "\\n" not in (text := json.dumps(value)) and len(text) <= WIDTH else
                    lines_of(value) if isinstance(value, dict) else len(value.splitlines())) for value in entry.values())


def deploy(entries: dict[str, Any], log: str) -> tuple[dict[str, str], dict[str, str]]:
    """Run the playbook; returns the message of each application that failed, and what nginx does not serve of the others."""
    inventory = STATE / "apps.yml"
    defaults = {"acme_cert": {"source": "self_signed"}}
    inventory.write_text(yaml.safe_dump({"all": {"children": {"web": {"vars": {"flask_app_defaults": defaults, "flask_apps": entries}}}}}),
                         encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_CONFIG": f"{ROOT}/ansible.cfg", "ANSIBLE_COLLECTIONS_PATH": f"{ROOT}/.ansible/collections", "NO_COLOR": "1",
                   "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_CALLBACK_FORMAT_PRETTY": "false"}
    done = subprocess.run(["ansible-playbook", f"--inventory={ROOT}/molecule/inventory", f"--inventory={inventory}", f"--limit={HOST}",
                           f"{ROOT}/playbooks/site.yml"], capture_output=True, text=True, check=False, env=environment)
    (RESULTS / log).write_text(done.stdout + done.stderr, encoding="utf-8")
    failed: dict[str, str] = {}
    for message in (json.loads(text).get("msg", text) for text in FATAL.findall(done.stdout)):
        listed = ALL_FAILED.match(message)
        # One whose message does not name it failed before its release was built.
        failed |= {name: f"see {log}" for name in (listed[1].split(", ") if listed else []) if name not in failed}
        if message.partition(":")[0] in entries:
            failed[message.partition(":")[0]] = message
    if done.returncode and not failed:
        # The inputs of an entry are wrong, and none was deployed.
        if len(entries) == 1:
            return dict.fromkeys(entries, done.stdout[-3000:]), {}
        alone = [deploy({name: one}, f"{name}-{log}") for name, one in entries.items()]
        return dict(ChainMap(*[one for one, _unused in alone])), dict(ChainMap(*[one for _unused, one in alone]))
    reports = [str(json.loads(text)["msg"]) for text in REPORT.findall(done.stdout)]
    return failed, {report.partition(":")[0]: "\n".join(NOT_SERVED.findall(report)) for report in reports}


def browse(name: str, entry: dict[str, Any], steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Use one application; the program is browse.py."""
    asked = {"url": f"https://{entry['domains'][0]}", "address": Set(SET).address(HOST), "steps": steps}
    done = Auditor().run("/tools/browser/bin/python /project/molecule/applications/tools/browse.py", json.dumps(asked).encode(), seconds=300)
    return json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr[-500:], "console": [], "done": 0}


def forbidden(name: str) -> set[str]:
    """Addresses that the application itself forbids to those who have not logged in."""
    log = Set(SET).execute(HOST, f"cat /var/log/nginx/{name}/access.log")
    return {f"https://{one['host']}{one['path']}" for one in map(json.loads, log.splitlines())
            if one["method"] == "GET" and one["status"] == one["app_status"] == "403"}


def own_errors(console: list[str], host: str, own_policy: bool, forbidden_urls: set[str]) -> list[str]:
    """The messages that the deployment can have caused: blocked by its policy, refused or failed on this host. A page that does not exist is
    the application's, and other hosts are out of reach here. No browser has plugins any more."""
    return [line for line in console if "Content Security Policy" in line and "Loading plugin data" not in line and not own_policy
            or f"https://{host}" in line and REFUSED.search(line) and not forbidden_urls & set(line.split())]


@dataclass
class Candidate:
    """One application of the list."""

    name: str
    entry: dict[str, Any]
    steps: list[dict[str, Any]]
    own_policy: bool
    runs: int = 0
    first: str = ""  # what the first run said
    printed: dict[str, Any] = field(default_factory=dict)  # the lines of an entry in it

    def again(self, refusal: str, report: str) -> bool:
        """Whether a second run is due, with the lines of a refusal or of a report."""
        self.runs += 1
        if self.runs > 1 or not refusal and not report:
            return False
        self.first, self.printed = refusal or report, printed_lines(refusal or report)
        before, self.entry = self.entry, merged(self.entry, self.printed)
        return bool(refusal) or self.entry != before

    def result(self, refusal: str) -> dict[str, Any]:
        """What was measured, after the last run; an application that is live is used now."""
        used: dict[str, Any] = {"failed": "", "console": []} if refusal else browse(self.name, self.entry, self.steps)
        waivers = self.entry.get("app_release", {}).get("policy", {}).get("waivers", [])
        return {"first": self.first, "printed": self.printed, "second": refusal, "entry": self.entry, **used, "runs": self.runs,
                "lines": lines_of(self.entry), "waived": len(waivers),
                "errors": own_errors(used["console"], self.entry["domains"][0], self.own_policy, forbidden(self.name) if used["console"] else set())}


class Results:
    """What was measured of each application, in a file and as a table; both are complete after every application."""

    def __init__(self, names: Iterable[str], path: Path) -> None:
        self.names, self.path = list(names), path
        self.of: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def put(self, name: str, result: dict[str, Any]) -> None:
        """Record one application."""
        self.of[name] = result
        self.path.write_text(json.dumps(self.of, indent=2), encoding="utf-8")
        self.path.with_suffix(".md").write_text(self.table(), encoding="utf-8")
        print(f"{name}: {result['second'] or result['failed'] or 'works'}"[:WIDTH], flush=True)

    def table(self) -> str:
        """A row for each application of the list that was measured, and the totals."""
        rows = ["| application | runs | lines | waived | live | in the browser | console |", "|---|---|---|---|---|---|---|"]
        measured = {name: self.of[name] for name in self.names if name in self.of}
        for name, one in measured.items():
            live = not one["second"]
            rows.append(f"| {name} | {one['runs']} | {one['lines']} | {one['waived']} | {'yes' if live else 'no'} | "
                        f"{(one['failed'] or 'works') if live else ''} | {len(one['errors'])} |")
        used = [one for one in measured.values() if not one["second"] and not one["failed"] and not one["errors"]]
        few = [one for one in used if one["lines"] <= FEW]
        return "\n".join(rows) + (f"\n\nOf {len(measured)}, {len(used)} are live and work in a browser; {len(few)} of them within {FEW} lines, and "
                                  f"{sum(not one['waived'] for one in few)} of these without a waiver.\n")


def candidates(path: Path, names: Iterable[str]) -> Iterator[Candidate]:
    """The applications of a list, or those of the names."""
    for name, one in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        if names and name not in names:
            continue
        entry = {"domains": [f"{name}.{HOST}.example.test"], **one["entry"]}
        if "path" in entry["source"]:
            entry["source"]["path"] = str(ROOT / "build" / "repositories" / entry["source"]["path"])
        yield Candidate(name, entry, one.get("steps", [{"tour": 8}]), one.get("own_policy", False))


def main() -> None:
    """Entry point."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    path = Path(sys.argv[1])
    waiting = list(candidates(path, sys.argv[2:]))
    Set(SET).up()
    Auditor().browser()
    RESULTS.mkdir(parents=True, exist_ok=True)
    results = Results(yaml.safe_load(path.read_text(encoding="utf-8")), RESULTS / f"{path.stem}.json")
    number = 0
    # One browser, beside the next run of the playbook. A run has a few applications: those that were refused once, and further ones.
    with ThreadPoolExecutor(max_workers=1) as browser:
        used = []
        while waiting:
            number += 1
            together, waiting = waiting[:TOGETHER], waiting[TOGETHER:]
            failed, reports = deploy({one.name: one.entry for one in together}, f"{path.stem}-{number}.log")
            again = [one for one in together if one.again(failed.get(one.name, ""), reports.get(one.name, ""))]
            used += [browser.submit(lambda one, message: results.put(one.name, one.result(message)), one, failed.get(one.name, ""))
                     for one in together if one not in again]
            waiting = again + waiting
    for one in used:
        one.result()
    print(results.table())


if __name__ == "__main__":
    main()
