#!/usr/bin/env python3
"""Measure runs of the playbooks on a host of its own: seconds beside a yardstick, and round trips.

The yardstick is a playbook of 20 tasks of `copy` and 20 of `file` that change nothing. Times are medians of three runs, one playbook
after the other. A figure that does not reach its bar is named. Writes build/bench.json.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "bench"
RUNS = 3
SITE, HOST = "playbooks/site.yml", "playbooks/host.yml"
YARDSTICK = str(FOLDER / "yardstick.yml")
SECOND = {"domains": ["second.localhost"], "source": {"path": str(ROOT / "examples" / "minimal")}, "wsgi": "minimal:app", "health_path": "/healthz"}
# As OpenSSH's connection plugin of Ansible prints each.
ROUND_TRIP = "SSH: EXEC"


def tool(*command: str) -> None:
    """Run a tool of this project."""
    subprocess.run([sys.executable, str(ROOT / "tools" / command[0]), *command[1:]], check=True)


def play(playbook: str, *options: str, inventory: str = "inventory.yml", changes: bool = False) -> tuple[float, str]:
    """Run a playbook; returns its seconds and its output. One that may not change anything and does is an error."""
    began = time.monotonic()
    done = subprocess.run(["ansible-playbook", "-i", str(FOLDER / inventory), playbook, *options], capture_output=True, text=True, check=False, cwd=ROOT)
    seconds = time.monotonic() - began
    if done.returncode or not changes and not re.search(r"changed=0\b", done.stdout):
        sys.exit(f"{playbook} failed or changed something:\n{done.stdout[-3000:]}")
    return seconds, done.stdout


def medians(playbooks: tuple[str, ...], inventory: str = "inventory.yml") -> dict[str, float]:
    """The median of the seconds of each playbook, with nothing to change."""
    seconds: dict[str, list[float]] = {playbook: [] for playbook in playbooks}
    for _run in range(RUNS):
        for playbook in playbooks:
            seconds[playbook].append(play(playbook, inventory=inventory)[0])
    return {playbook: statistics.median(values) for playbook, values in seconds.items()}


def round_trips(playbook: str, inventory: str = "inventory.yml") -> int:
    """How often a run that changes nothing asks the host."""
    return play(playbook, "-vvv", inventory=inventory)[1].count(ROUND_TRIP)


def write_inputs() -> None:
    """The yardstick, and an inventory with a second application."""
    tasks: list[dict[str, Any]] = [{"ansible.builtin.copy": {"content": f"{number}\n", "dest": f"/root/yardstick-{number}", "mode": "0644"}}
                                   for number in range(20)]
    tasks += [{"ansible.builtin.file": {"path": f"/root/yardstick-{number}", "mode": "0644"}} for number in range(20)]
    Path(YARDSTICK).write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    inventory = yaml.safe_load((FOLDER / "inventory.yml").read_text(encoding="utf-8"))
    inventory["all"]["vars"]["flask_apps"]["second"] = SECOND
    (FOLDER / "two.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")


def measure() -> list[dict[str, Any]]:
    """The figures, each with its bar, the most that it may be."""
    first = play(SITE, changes=True)[0]
    for playbook in (HOST, YARDSTICK):
        play(playbook, changes=True)
    seconds = medians((YARDSTICK, SITE, HOST))
    trips = {playbook: round_trips(playbook) for playbook in (SITE, HOST)}
    play(SITE, inventory="two.yml", changes=True)
    two, trips_of_two = medians((SITE,), "two.yml")[SITE], round_trips(SITE, "two.yml")
    yardstick = seconds[YARDSTICK]
    return [
        {"figure": "first run of site.yml: seconds", "value": first, "bar": None},
        {"figure": "the yardstick: seconds", "value": yardstick, "bar": None},
        {"figure": "site.yml: seconds", "value": seconds[SITE], "bar": None},
        {"figure": "host.yml: seconds", "value": seconds[HOST], "bar": None},
        {"figure": "site.yml and host.yml: share of the yardstick", "value": (seconds[SITE] + seconds[HOST]) / yardstick, "bar": 0.5},
        {"figure": "site.yml: round trips", "value": trips[SITE], "bar": None},
        {"figure": "site.yml and host.yml: round trips", "value": sum(trips.values()), "bar": 20},
        {"figure": "a further application: share of the yardstick", "value": (two - seconds[SITE]) / yardstick, "bar": 0.1},
        {"figure": "a further application: round trips", "value": trips_of_two - trips[SITE], "bar": 5},
    ]


def main() -> None:
    """Entry point."""
    tool("testhosts.py", "down", "bench")
    try:
        tool("testhosts.py", "up", "bench")
        tool("demo.py", "inventory", "bench")
        write_inputs()
        figures = measure()
    finally:
        tool("testhosts.py", "down", "bench")
    (ROOT / "build" / "bench.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print("Runs that change nothing, after a first one")
    for line in figures:
        bar = "" if line["bar"] is None else f"  ≤ {line['bar']}{'' if line['value'] <= line['bar'] else '  not met'}"
        print(f"{line['figure']:51}{line['value']:>10.4g}{bar}")


if __name__ == "__main__":
    main()
