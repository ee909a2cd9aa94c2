"""A browser on the network of the test hosts, and a table of the applications."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from auditor import Auditor
from host.plugin import Server


@pytest.fixture(scope="session")
def browse() -> Callable[[Server, str, list[dict[str, Any]]], dict[str, Any]]:
    """Use one application of a host, step by step; the steps are those of tools/browse.py."""
    auditor = Auditor()

    def run(server: Server, app: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
        asked = {"url": f"https://{app}.{server.name}.example.test", "address": server.outside.address, "steps": steps}
        program = "/tools/browser/bin/python /project/molecule/applications/tools/browse.py"
        done = auditor.run(program, json.dumps(asked).encode(), seconds=240)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return run


INVENTORY = Path(__file__).parents[1] / "inventory/apps.yml"
TABLE = Path(__file__).parents[3] / "build/applications.md"


@pytest.fixture(scope="session")
def results() -> Iterator[dict[tuple[str, str], str]]:
    """Whether each application of each host works in the browser; written as a table at the end. One run activates all of them."""
    found: dict[tuple[str, str], str] = {}
    yield found
    entries = yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))["all"]["children"]["web"]["vars"]["flask_apps"]
    rows = ["| application | host | lines of its entry | waivers | in the browser |", "|---|---|---|---|---|"]
    for (app, host), result in sorted(found.items()):
        entry = entries[app]
        waivers = entry.get("app_release", {}).get("policy", {}).get("waivers", [])
        rows.append(f"| {app} | {host} | {len(yaml.safe_dump(entry).splitlines())} | {len(waivers)} | {result} |")
    TABLE.write_text("\n".join(rows) + "\n", encoding="utf-8")
