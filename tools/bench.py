#!/usr/bin/env python3
"""Measure runs of the playbooks on a host of its own: seconds beside a yardstick, and round trips.

The yardstick is a playbook of 20 tasks of `copy` and 20 of `file` that change nothing. Times are medians of three runs, one playbook
after the other. For runs of ten hosts, the host is copied nine times. A first run is compared with a playbook as tutorials write it,
for the same application on a host of its own. A figure that does not reach its bar is named. Writes
build/bench.json.
"""

from __future__ import annotations

import json
import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import demo
import yaml
from testhosts import PREFIX, Host, Set, podman

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "bench"
RUNS = 3
SITE, HOST, TUTORIAL = "playbooks/site.yml", "playbooks/host.yml", "tools/bench/tutorial.yml"
YARDSTICK = str(FOLDER / "yardstick.yml")
SECOND = {"domains": ["second.localhost"], "source": {"path": str(ROOT / "examples" / "minimal")}, "wsgi": "minimal:app", "health_path": "/healthz",
          "app_secrets": {"credentials": {"key.pem": "a key"}}}
COPIES = [f"web{number}" for number in range(2, 11)]
COPY = f"localhost/{PREFIX}-bench-copy"
# As OpenSSH's connection plugin of Ansible prints each.
ROUND_TRIP = "SSH: EXEC"


def play(playbook: str, *options: str, inventory: str = "inventory.yml", changes: bool = False) -> tuple[float, str]:
    """Run a playbook; returns its seconds and its output. One that may not change anything and does is an error."""
    began = time.monotonic()
    done = subprocess.run(["ansible-playbook", "-i", str(FOLDER / inventory), playbook, *options], capture_output=True, text=True, check=False, cwd=ROOT)
    seconds = time.monotonic() - began
    if done.returncode or not changes and set(re.findall(r"changed=(\d+)", done.stdout)) != {"0"}:
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
    """The yardstick, and the inventories of two applications and of the tutorial's host."""
    tasks: list[dict[str, Any]] = [{"ansible.builtin.copy": {"content": f"{number}\n", "dest": f"/root/yardstick-{number}", "mode": "0644"}}
                                   for number in range(20)]
    tasks += [{"ansible.builtin.file": {"path": f"/root/yardstick-{number}", "mode": "0644"}} for number in range(20)]
    Path(YARDSTICK).write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    inventory = yaml.safe_load((FOLDER / "inventory.yml").read_text(encoding="utf-8"))
    inventory["all"]["vars"]["flask_apps"]["second"] = SECOND
    (FOLDER / "two.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    (settings,) = inventory["all"]["hosts"].values()
    inventory["all"]["hosts"] = {"tutorial": {**settings, "ansible_host": (FOLDER / "tutorial.address").read_text(encoding="utf-8")}}
    (FOLDER / "tutorial.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")


def controller_cpu() -> float:
    """The CPU time of the playbooks so far, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def copy_host(bench: Set) -> None:
    """Start nine copies of the host, and write an inventory of all ten."""
    podman("commit", "--quiet", bench.container("web"), COPY)
    inventory = yaml.safe_load((FOLDER / "inventory.yml").read_text(encoding="utf-8"))
    (settings,) = inventory["all"]["hosts"].values()
    known = FOLDER / "known_hosts"
    key = known.read_text(encoding="utf-8").split(maxsplit=1)[1]
    for name in COPIES:
        host = Host(name, bench.hosts[0].release)
        bench.start(host, COPY, "/sbin/init")
        bench.prepare(host)
        inventory["all"]["hosts"][name] = {**settings, "ansible_host": bench.address(name)}
        with known.open("a", encoding="utf-8") as stream:
            stream.write(f"{bench.address(name)} {key}")
    (FOLDER / "ten.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")


def measure_ten(bench: Set) -> list[dict[str, Any]]:
    """Seconds, and the controller's CPU time per host, of ten hosts beside those of one."""
    copy_host(bench)
    play(SITE, inventory="ten.yml", changes=True)  # addresses differ, and this run records them
    seconds: dict[str, list[float]] = {"inventory.yml": [], "ten.yml": []}
    cpu: dict[str, list[float]] = {"inventory.yml": [], "ten.yml": []}
    for _run in range(RUNS):
        for inventory, runs in seconds.items():
            before = controller_cpu()
            runs.append(play(SITE, inventory=inventory)[0])
            cpu[inventory].append(controller_cpu() - before)
    one, ten = (statistics.median(runs) for runs in seconds.values())
    cpu_of_one, cpu_of_ten = (statistics.median(runs) for runs in cpu.values())
    return [
        {"figure": "site.yml for ten hosts: seconds", "value": ten, "bar": None},
        {"figure": "site.yml for ten hosts: multiple of one host's", "value": ten / one, "bar": 4},
        {"figure": "site.yml for ten hosts: CPU per host, share of one's", "value": cpu_of_ten / 10 / cpu_of_one, "bar": 0.6},
    ]


def measure() -> list[dict[str, Any]]:
    """The figures, each with its bar, the most that it may be."""
    first = play(SITE, changes=True)[0]
    tutorial = play(TUTORIAL, inventory="tutorial.yml", changes=True)[0]
    for playbook in (HOST, YARDSTICK):
        play(playbook, changes=True)
    seconds = medians((YARDSTICK, SITE, HOST))
    trips = {playbook: round_trips(playbook) for playbook in (SITE, HOST)}
    play(SITE, inventory="two.yml", changes=True)
    two, trips_of_two = medians((SITE,), "two.yml")[SITE], round_trips(SITE, "two.yml")
    yardstick = seconds[YARDSTICK]
    return [
        {"figure": "first run of site.yml: seconds", "value": first, "bar": None},
        {"figure": "the same, as a multiple of a tutorial's playbook", "value": first / tutorial, "bar": 1.3},
        {"figure": "the yardstick: seconds", "value": yardstick, "bar": None},
        {"figure": "site.yml: seconds", "value": seconds[SITE], "bar": None},
        {"figure": "host.yml: seconds", "value": seconds[HOST], "bar": None},
        {"figure": "site.yml and host.yml: share of the yardstick", "value": (seconds[SITE] + seconds[HOST]) / yardstick, "bar": 0.5},
        {"figure": "site.yml: round trips", "value": trips[SITE], "bar": None},
        {"figure": "site.yml and host.yml: round trips", "value": sum(trips.values()), "bar": 20},
        {"figure": "a further application: share of the yardstick", "value": (two - seconds[SITE]) / yardstick, "bar": 0.1},
        {"figure": "a further application: round trips", "value": trips_of_two - trips[SITE], "bar": 5},
    ]


def report(title: str, figures: list[dict[str, Any]], file: str) -> None:
    """Print figures, each beside its bar, the most that it may be. Writes build/<file>."""
    (ROOT / "build" / file).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(title)
    for line in figures:
        bar = "" if line["bar"] is None else f"  ≤ {line['bar']}{'' if line['value'] <= line['bar'] else '  not met'}"
        print(f"{line['figure']:51}{line['value']:>10.4g}{bar}")


def main() -> None:
    """Entry point."""
    bench = Set("bench")
    bench.down()
    try:
        bench.up()
        demo.write_inventory("bench")
        write_inputs()
        figures = [*measure(), *measure_ten(bench)]
    finally:
        bench.down()  # its network takes the copies with it
        podman("rmi", "--ignore", COPY)
    report("Runs that change nothing, after a first one", figures, "bench.json")


if __name__ == "__main__":
    main()
