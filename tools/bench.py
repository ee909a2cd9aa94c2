#!/usr/bin/env python3
"""Measure a first and a no-op run of the demo's playbook, on a host of its own: seconds, tasks, changes.

Writes build/bench.json.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def tool(*command: str) -> None:
    """Run a tool of this project."""
    subprocess.run([sys.executable, str(ROOT / "tools" / command[0]), *command[1:]], check=True)


def measure() -> dict[str, float]:
    """One run of the playbook."""
    began = time.monotonic()
    done = subprocess.run(["ansible-playbook", "-i", "build/bench/inventory.yml", "playbooks/site.yml"],
                          capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        sys.exit(done.stdout[-3000:])
    seconds = round(time.monotonic() - began, 1)
    counts = {name: int(number) for name, number in re.findall(r"(ok|changed|failed)=(\d+)", done.stdout)}
    return {"seconds": seconds, "tasks": counts["ok"], "changed": counts["changed"]}


def main() -> None:
    """Entry point."""
    tool("testhosts.py", "down", "bench")
    try:
        tool("testhosts.py", "up", "bench")
        tool("demo.py", "inventory", "bench")
        results = {"first": measure(), "no-op": measure()}
    finally:
        tool("testhosts.py", "down", "bench")
    (ROOT / "build" / "bench.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"{'run':8}{'seconds':>10}{'tasks':>8}{'changed':>9}")
    for name, result in results.items():
        print(f"{name:8}{result['seconds']:>10}{result['tasks']:>8}{result['changed']:>9}")


if __name__ == "__main__":
    main()
