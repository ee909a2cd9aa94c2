"""A browser on the network of the test hosts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
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
