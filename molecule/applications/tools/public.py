#!/usr/bin/env python3
"""Deploy public applications as a newcomer would, use each in a browser, and print a table.

    public.py LIST.yml [NAME ...]

The first run has the entries of the list. Where it refuses one, the second run has the lines too that the refusal printed,
and nothing else. Relative paths of sources are below build/repositories, which holds copies of public repositories. The host and its
state are in build/molecule/public; `tools/testhosts.py down public` removes them.

A list is a mapping of names to

    entry    the first entry, without domains
    steps    what to do in the browser, as in browse.py; opens the front page and the pages that it links to by default
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
SET, HOST = "public", "debian13"
STATE = ROOT / "build" / "molecule" / SET
os.environ["MOLECULE_SCENARIO_NAME"] = SET
sys.path.insert(0, str(ROOT / "tools"))
from auditor import Auditor  # noqa: E402  # it needs the name of the set
from testhosts import Set  # noqa: E402  # the same

KEYS = ("app_release", "app_secrets", "body_max_mb", "config", "env", "files", "gunicorn_app", "health_path", "nginx_site", "shared",
        "source", "static", "subdirectory", "wsgi")
LINE = re.compile(rf"(?:^|[\s`])((?:{'|'.join(KEYS)}): .*?|(?:{'|'.join(KEYS)}):(?:\s*#.*)?)$")
FATAL = re.compile(r"^fatal: \[[^]]*\]: FAILED! => (\{.*\})$", re.MULTILINE)
WIDTH = 120
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


def deploy(entries: dict[str, Any], log: str) -> dict[str, str]:
    """Run the playbook; returns the message of each application that failed."""
    inventory = STATE / "apps.yml"
    defaults = {"acme_cert": {"source": "self_signed"}}
    inventory.write_text(yaml.safe_dump({"all": {"children": {"web": {"vars": {"flask_app_defaults": defaults, "flask_apps": entries}}}}}),
                         encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_CONFIG": f"{ROOT}/ansible.cfg", "ANSIBLE_COLLECTIONS_PATH": f"{ROOT}/.ansible/collections", "NO_COLOR": "1",
                   "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_CALLBACK_FORMAT_PRETTY": "false"}
    done = subprocess.run(["ansible-playbook", f"--inventory={ROOT}/molecule/inventory", f"--inventory={inventory}", f"--limit={HOST}",
                           f"{ROOT}/playbooks/site.yml"], capture_output=True, text=True, check=False, env=environment)
    (STATE / log).write_text(done.stdout + done.stderr, encoding="utf-8")
    failed: dict[str, str] = {}
    for message in (json.loads(text).get("msg", text) for text in FATAL.findall(done.stdout)):
        listed = ALL_FAILED.match(message)
        # One whose message does not name it failed before its release was built.
        failed |= {name: "see the log" for name in (listed[1].split(", ") if listed else []) if name not in failed}
        if message.partition(":")[0] in entries:
            failed[message.partition(":")[0]] = message
    if done.returncode and not failed:
        sys.exit(f"The run failed; see {STATE / log}:\n{done.stdout[-3000:]}")
    return failed


def browse(name: str, entry: dict[str, Any], steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Use one application; the program is browse.py."""
    asked = {"url": f"https://{entry['domains'][0]}", "address": Set(SET).address(HOST), "steps": steps}
    done = Auditor().run("/tools/browser/bin/python /project/molecule/applications/tools/browse.py", json.dumps(asked).encode(), seconds=300)
    return json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr[-500:], "console": [], "done": 0}


def own_errors(console: list[str], host: str) -> list[str]:
    """The messages that the deployment can have caused: blocked by a policy, refused or failed on this host. A page that does not exist is
    the application's, and other hosts are out of reach here."""
    return [line for line in console if "Content Security Policy" in line or f"https://{host}" in line and REFUSED.search(line)]


def main() -> None:
    """Entry point."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    path = Path(sys.argv[1])
    listed = {name: one for name, one in yaml.safe_load(path.read_text(encoding="utf-8")).items() if not sys.argv[2:] or name in sys.argv[2:]}
    entries: dict[str, Any] = {}
    for name, one in listed.items():
        entries[name] = {"domains": [f"{name}.{HOST}.example.test"], **one["entry"]}
        if "path" in entries[name]["source"]:
            entries[name]["source"]["path"] = str(ROOT / "build" / "repositories" / entries[name]["source"]["path"])
    Set(SET).up()
    Auditor().browser()
    first = deploy(entries, "first.log")
    printed = {name: printed_lines(message) for name, message in first.items()}
    for name, lines in printed.items():
        entries[name] = merged(entries[name], lines)
    with ThreadPoolExecutor(max_workers=1) as browser:
        def look(names: Iterable[str]) -> dict[str, Any]:
            return {name: browser.submit(browse, name, entries[name], listed[name].get("steps", [{"tour": 8}])) for name in names}
        seen = look(name for name in listed if name not in first)
        second = deploy({name: entries[name] for name in first}, "second.log") if first else {}
        seen |= look(name for name in first if name not in second)
    rows = ["| application | runs | lines | waived | live | in the browser | console |", "|---|---|---|---|---|---|---|"]
    report = {}
    for name in listed:
        entry, waivers = entries[name], entries[name].get("app_release", {}).get("policy", {}).get("waivers", [])
        used = {} if name in second else seen[name].result()
        errors = own_errors(used.get("console", []), entry["domains"][0])
        report[name] = {"first": first.get(name, ""), "printed": printed.get(name), "second": second.get(name, ""), "entry": entry, **used}
        rows.append(f"| {name} | {1 + (name in first)} | {lines_of(entry)} | {len(waivers)} | "
                    f"{'no' if name in second else 'yes'} | {'' if name in second else used['failed'] or 'works'} | {len(errors)} |")
    (STATE / "report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    table = "\n".join(rows) + "\n"
    (ROOT / "build" / "public.md").write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
