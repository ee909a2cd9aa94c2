#!/usr/bin/env python3
"""Measure releases under a constant TLS load: failed requests, latency, and the duration of each kind of activation.

On each host, Debian 13 and then 12, with the load going on all the time: ten good deploys, a release that cannot be
imported, one that is not well, one that hangs, a rollback, and the death of the live server. Writes
build/bench-release.json. Makes its hosts and removes them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import working_copy
from host.playbooks import Playbooks
from host.plugin import Site, _servers
from load import Load, percentile

ROOT = Path(__file__).resolve().parents[1]

INVENTORIES = ["molecule/inventory", "molecule/release/inventory"]
BAD = {
    "cannot be imported": ("shop/__init__.py", "    app = Flask(__name__)", '    raise RuntimeError("no such luck")'),
    "is not well": ("shop/health.py", "    return {\"status\": \"ok\"}, 200", "    return {\"status\": \"sick\"}, 500"),
    "hangs": ("shop/health.py", "    return {\"status\": \"ok\"}, 200", "    time.sleep(3600)"),
}
STEADY_SECONDS = 30
RATE = 160
LAST = 'print(json.dumps([json.loads(line) for line in open("/srv/shop/history.jsonl")][-1]))'
KILL = 'os.kill(int(properties(live("shop")[1], "MainPID")["MainPID"]), 9); print(1)'


def run(name: str, host: str, good: bool = True, **variables: Any) -> float:
    """Run a playbook on one host; returns the seconds it took."""
    began = time.monotonic()
    done = Playbooks(INVENTORIES).run(name, "--limit", host, **variables)
    if (done.rc == 0) != good:
        sys.exit(done.output[-4000:])
    return time.monotonic() - began


def measure(site: Any) -> dict[str, Any]:
    """All measurements on one host."""
    host, figures = site.server.name, {}
    with Load(site, rate=RATE) as load:
        windows: list[tuple[float, float]] = []
        time.sleep(STEADY_SECONDS)
        steady_until = time.time()
        deploys, host_seconds = [], []
        for number in range(10):
            working_copy.make(f"bench-{number}-{time.time_ns()}")
            began = time.time()
            deploys.append(run("deploy", host))
            windows.append((began, time.time()))
            host_seconds.append(site.ask(LAST)["seconds"])
        for change in BAD.values():
            working_copy.make(f"bad-{time.time_ns()}", change)
            run("deploy", host, good=False)
        figures["rollback, command to end (s)"] = round(run("rollback", host, app="shop"), 1)
        steps = site.ask(LAST)["steps"]
        figures["rollback, on the host until served (s)"] = round(sum(steps[step] for step in ("start", "health", "swap")), 1)
        killed_at = time.time()
        site.ask(KILL)
        time.sleep(STEADY_SECONDS)
    before = [request for request in load.requests if request.began < steady_until]
    during = [request for request in load.requests if any(began <= request.began <= ended for began, ended in windows)]
    lost = [request for request in load.failed() if request.began < killed_at - 1]
    return {
        "requests": len(load.requests), "failed": len(lost), "failed at the kill": len(load.failed()) - len(lost),
        "p99 steady (ms)": round(percentile(before, 0.99) * 1000, 1), "p99 during deploys (ms)": round(percentile(during, 0.99) * 1000, 1),
        "deploy of changed code, wall (s)": round(sorted(deploys)[5], 1), "deploy of changed code, on the host (s)": sorted(host_seconds)[5],
        **figures,
    }


def main() -> None:
    """Entry point."""
    os.environ["MOLECULE_SCENARIO_NAME"] = "release"
    hosts = [sys.executable, str(ROOT / "tools" / "testhosts.py")]
    subprocess.run([*hosts, "up", "release"], check=True)
    try:
        working_copy.make("first")
        began = time.monotonic()
        done = Playbooks(INVENTORIES).run("site")
        if done.rc:
            sys.exit(done.output[-4000:])
        first = round(time.monotonic() - began, 1)
        servers = _servers(":".join(INVENTORIES), None, str(ROOT / "build" / "molecule" / "release" / "ca.pem"), None)
        results = {server.name: {"first run of site.yml, both hosts (s)": first, **measure(Site(server, server.target.apps[0]))}
                   for server in sorted(servers, key=lambda server: server.name, reverse=True)}
    finally:
        subprocess.run([*hosts, "down", "release"], check=True)
    (ROOT / "build" / "bench-release.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    names = list(results)
    print(f"{'':44}" + "".join(f"{name:>12}" for name in names))
    for key in results[names[0]]:
        print(f"{key:44}" + "".join(f"{results[name][key]:>12}" for name in names))


if __name__ == "__main__":
    main()
