#!/usr/bin/env python3
"""Measure releases of a changed application on a Debian 13 host: how long deploys and rollbacks take, and what clients notice.

First on an idle host, then under a constant TLS load. A figure that does not reach its bar is named. Writes
build/bench-release.json. Makes its hosts and removes them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import bench
import working_copy
from host.playbooks import Playbooks, Run
from host.plugin import Site, _servers
from load import Load, percentile
from releases import version

ROOT = Path(__file__).resolve().parents[1]

INVENTORIES = ["molecule/inventory", "molecule/release/inventory"]
HOST = "debian13"
RUNS = 3
STEADY_SECONDS = 15
RATE = 160
LAST = 'print(json.dumps([json.loads(line) for line in open("/srv/shop/history.jsonl")][-1]))'
KILL = 'os.kill(int(properties(live("shop")[1], "MainPID")["MainPID"]), 9); print(1)'


def run(name: str, *options: str, **variables: Any) -> Run:
    """A run of a playbook, which must succeed."""
    done = Playbooks(INVENTORIES).run(name, *options, **variables)
    if done.rc:
        sys.exit(done.output[-4000:])
    return done


def deploy() -> None:
    """Change the source and deploy it."""
    working_copy.make(f"bench-{time.time_ns()}")
    run("deploy")


def roll_back(site: Site) -> float:
    """The seconds from the command until clients reach the release before."""
    before, began = version(site), time.monotonic()
    running = Playbooks(INVENTORIES).start("rollback", app="shop")
    while version(site) == before and running.poll() is None:
        time.sleep(0.02)
    took = time.monotonic() - began
    output, _ = running.communicate()
    if running.returncode or version(site) == before:
        sys.exit(output[-4000:])
    return took


def measure_idle(site: Site) -> list[dict[str, Any]]:
    """Times without load."""
    commands, on_host = [], []
    for _run in range(RUNS):
        began = time.monotonic()
        deploy()
        commands.append(time.monotonic() - began)
        on_host.append(site.ask(LAST)["seconds"])
    working_copy.make(f"bench-{time.time_ns()}")
    trips = run("deploy", "-vvv").output.count(bench.ROUND_TRIP)
    return [
        {"figure": "deploy of changed code, on the host: seconds", "value": statistics.median(on_host), "bar": 5},
        {"figure": "the same, from the command to its end: seconds", "value": statistics.median(commands), "bar": None},
        {"figure": "the same: round trips", "value": trips, "bar": 8},
        # A rollback of a rollback leads forward again.
        {"figure": "rollback, until it is served: seconds", "value": statistics.median(roll_back(site) for _run in range(RUNS)), "bar": 3},
    ]


def measure_load(site: Site) -> list[dict[str, Any]]:
    """What clients notice of deploys, of a rollback, and of a killed server."""
    with Load(site, rate=RATE) as load:
        time.sleep(STEADY_SECONDS)
        steady_until = time.time()
        for _run in range(RUNS):
            deploy()
        run("rollback", app="shop")
        killed_at = time.time()
        site.ask(KILL)
        time.sleep(STEADY_SECONDS)
    steady = [request for request in load.requests if request.began < steady_until]
    changing = [request for request in load.requests if steady_until < request.began < killed_at]
    lost = [request for request in load.failed() if request.began < killed_at - 1]
    return [
        {"figure": f"under {RATE} requests per second: requests", "value": len(load.requests), "bar": None},
        {"figure": "failed in deploys and a rollback", "value": len(lost), "bar": 0},
        {"figure": "failed when the server was killed", "value": len(load.failed()) - len(lost), "bar": None},
        {"figure": "p99 before: ms", "value": percentile(steady, 0.99) * 1000, "bar": None},
        {"figure": "p99 in deploys and a rollback: ms", "value": percentile(changing, 0.99) * 1000, "bar": None},
    ]


def main() -> None:
    """Entry point."""
    os.environ |= {"MOLECULE_SCENARIO_NAME": "release", "BULWARK_LIMIT": f"{HOST}:localhost"}
    hosts = [sys.executable, str(ROOT / "tools" / "testhosts.py")]
    subprocess.run([*hosts, "up", "release"], check=True)
    try:
        working_copy.make("first")
        run("site")
        (server,) = _servers(":".join(INVENTORIES), HOST, str(ROOT / "build" / "molecule" / "release" / "ca.pem"), None)
        site = Site(server, server.target.apps[0])
        figures = [*measure_idle(site), *measure_load(site)]
    finally:
        subprocess.run([*hosts, "down", "release"], check=True)
    bench.report("Releases", figures, "bench-release.json")


if __name__ == "__main__":
    main()
