#!/usr/bin/env python3
"""Measure what a host serves, beside the stack of common tutorials on the same machine.

    bench_serving.py [--quick] [--keep]

Two containers of one image: one converged by site.yml, the other set up by tools/bench/common-stack.sh. wrk, ab and
h2load, in a third container, measure them in turn, several times. A machine can become slower or faster meanwhile, so each turn has
a ratio, and the table shows their median. A figure under its bar is named.
`--quick` measures for less time. `--keep` leaves the hosts for the next run. Writes build/bench-serving.json.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import testhosts
from testhosts import ROOT, Set, podman

HERE = ROOT / "tools" / "bench"
APP = ROOT / "build" / "bench-app"
HOSTS = {"common": "common.test", "ours": "ours.test"}
INVENTORY = """\
all:
  hosts:
    ours:
      ansible_host: {address}
      ansible_user: root
      ansible_ssh_private_key_file: {folder}/id_ed25519
      ansible_ssh_common_args: -o UserKnownHostsFile={folder}/known_hosts
  vars:
    acme_cert_email: ops@ours.test
    acme_cert_directory_url: https://pebble:14000/dir
    acme_cert_ca_bundle: /usr/local/share/acme-listener.pem
    pip_audit_osv_url: http://pebble:8000/clean/v1/query
    flask_apps:
      tiny:
        domains: [ours.test]
        source: {{path: {app}}}
        wsgi: minimal:app
        static: {{/static/: static}}
        health_path: /healthz
        # All requests come from one address.
        nginx_site: {{rate_limit_exempt: ["{client}"], paths: {{/healthz: {{cache_seconds: 5}}}}}}
"""


@dataclass(frozen=True)
class Load:
    """What a client requests. With `handshakes`, each request has a connection and a full TLS handshake of its own.

    With a `rate`, in requests per second, clients wait between requests. `loops` of another application use the CPU beside them.
    With `files`, each client is a browser that gets as many of them at once, over new connections, again and again.
    """

    path: str
    clients: int
    headers: tuple[str, ...] = ()
    handshakes: bool = False
    rate: int = 0
    loops: int = 0
    files: int = 0


@dataclass(frozen=True)
class Figure:
    """One line of the table. `better` is 1 where more is better, -1 where less is; `bar` is the ratio to reach."""

    name: str
    load: Load
    value: Callable[[dict[str, float]], float]
    better: int
    bar: float

    def met(self, ratio: float) -> bool:
        """Whether a ratio reaches the bar."""
        return ratio >= self.bar if self.better > 0 else ratio <= self.bar


def rate(run: dict[str, float]) -> float:
    """Requests per second."""
    return run["requests"] / run["seconds"]


def p99(run: dict[str, float]) -> float:
    """Milliseconds within which 99 of 100 requests were answered."""
    return run["p99_ms"]


def p95(run: dict[str, float]) -> float:
    """Milliseconds within which 95 of 100 requests were answered."""
    return run["p95_ms"]


def page(run: dict[str, float]) -> float:
    """Milliseconds until a browser has all files of a page."""
    return run["page_ms"]


def cpu(run: dict[str, float]) -> float:
    """Microseconds of the host's processors per request."""
    return run["cpu_us"] / run["requests"]


def size(run: dict[str, float]) -> float:
    """Bytes received per request."""
    return run["bytes"] / run["requests"]


DYNAMIC = {clients: Load("/", clients) for clients in (8, 32, 200)}
CACHED = Load("/healthz", 8)
STATIC = Load("/static/picture.png", 8)
TEXT = Load("/static/text.css", 8, ("Accept-Encoding: gzip",))
CONNECTION = Load("/static/picture.png", 8, handshakes=True)
ALONE = Load("/", 8, rate=200)
BESIDE = Load("/", 8, rate=200, loops=200)
PAGE = Load("/static/part-", 1, files=60)
FIGURES = [
    Figure("tiny page, 8 clients: requests/s", DYNAMIC[8], rate, 1, 1.3),
    Figure("tiny page, 8 clients: p99 (ms)", DYNAMIC[8], p99, -1, 1.0),
    Figure("tiny page, 8 clients: CPU per request (µs)", DYNAMIC[8], cpu, -1, 0.8),
    Figure("tiny page, 32 clients: requests/s", DYNAMIC[32], rate, 1, 1.3),
    Figure("tiny page, 200 clients: requests/s", DYNAMIC[200], rate, 1, 1.2),
    Figure("page that nginx keeps (cache_seconds): requests/s", CACHED, rate, 1, 1.3),
    Figure("file of 20 KB: requests/s", STATIC, rate, 1, 1.2),
    Figure("text of 40 KB, gzip: requests/s", TEXT, rate, 1, 1.0),
    Figure("text of 40 KB, gzip: bytes", TEXT, size, -1, 1.0),
    Figure("full handshake and a file: requests/s", CONNECTION, rate, 1, 1.25),
    Figure("full handshake and a file: CPU per request (µs)", CONNECTION, cpu, -1, 0.8),
    Figure("page of 60 files, new connections: ms", PAGE, page, -1, 1.0),
    Figure("tiny page, 200 requests/s: p95 (ms)", ALONE, p95, -1, 1.0),
    Figure("beside 200 loops of another application: p95 (ms)", BESIDE, p95, -1, 1.0),
]
# Memory that is not shared, or the share of it (PSS), by program.
MEMORY = r"""
total() { for pid in $(pgrep -f "$1"); do cat /proc/$pid/smaps_rollup 2>/dev/null || :; done | awk '/^Pss:/ {sum += $2} END {print int(sum / 1024)}'; }
echo $(($(total '^nginx:') + $(total 'bin/(python.* -m )?gunicorn')))
"""


def requests(load: Load, name: str, seconds: float) -> list[str]:
    """The command of wrk, which prints JSON. It resumes the TLS sessions of its connections."""
    headers = [part for header in load.headers for part in ("--header", header)]
    return ["wrk", "--threads=1", f"--connections={load.clients}", f"--duration={seconds:g}s", "--script=/report.lua", *headers,
            f"https://{name}:443{load.path}"]


def handshakes(load: Load, name: str, seconds: float) -> list[str]:
    """The command of ab, which opens a connection for each request and resumes no session."""
    # A limit of time comes with one of 50,000 requests, unless another one follows.
    return ["ab", "-q", "-c", str(load.clients), "-t", str(max(1, round(seconds))), "-n", "1000000", f"https://{name}{load.path}"]


def paced(load: Load, name: str, seconds: float) -> list[str]:
    """The command of h2load, which prints a line for each request."""
    command = (f"h2load --h1 --clients={load.clients} --rps={load.rate / load.clients} --duration={seconds:g} --log-file=/tmp/log "
               f"https://{name}{load.path} >/dev/null")
    return ["sh", "-euc", f"rm -f /tmp/log; {command}; cat /tmp/log"]


def browser(load: Load, name: str, seconds: float) -> list[str]:
    """The commands of h2load. As a browser does, they use one connection of HTTP/2 where the host has it, and six of HTTP/1.1 elsewhere.

    Each of the six gets the first ten files, as h2load begins anew with each connection; all files have about the same size.
    """
    offered = "-c 1 -m 100" if name == HOSTS["ours"] else "--h1 -c 6"
    command = f"h2load {offered} -n {load.files} -i /files"
    return ["sh", "-euc", f"for number in $(seq {load.files}); do echo https://{name}{load.path}$number.js; done >/files; "
            f"end=$(($(date +%s) + {max(1, round(seconds))})); while [ $(date +%s) -lt $end ]; do {command}; done"]


def browser_of(out: str) -> dict[str, float]:
    """What h2load reports of each page."""
    units = {"us": 0.001, "ms": 1, "s": 1000}
    took = [float(number) * units[unit] for number, unit in re.findall(r"^finished in ([\d.]+)(us|ms|s),", out, re.MULTILINE)]
    status = re.findall(r"^status codes: (\d+) 2xx", out, re.MULTILINE)
    return {"requests": len(took) * PAGE.files, "failed": len(took) * PAGE.files - sum(map(int, status)), "page_ms": statistics.median(took)}


def paced_of(out: str) -> dict[str, float]:
    """What h2load reports of each request: when it began, its status, and how long it took, in microseconds."""
    lines = [line.split("\t") for line in out.splitlines() if line.count("\t") == 2]
    took = sorted(int(microseconds) / 1000 for _began, _status, microseconds in lines)
    # Beside the loops, a busy machine can serve none.
    return {"requests": len(took), "failed": sum(status != "200" for _began, status, _took in lines),
            "p95_ms": took[len(took) * 95 // 100] if took else math.inf}


def summary_of(out: str) -> dict[str, float]:
    """What wrk reports."""
    summary: dict[str, float] = json.loads(out.splitlines()[-1])
    return summary


def handshakes_of(out: str) -> dict[str, float]:
    """What ab reports."""
    def number(line: str) -> float:
        found = re.search(rf"^{line}: +([\d.]+)", out, re.MULTILINE)
        return float(found[1]) if found else 0

    return {"requests": number("Complete requests"), "seconds": number("Time taken for tests"), "bytes": 0, "p99_ms": 0,
            "failed": number("Failed requests") + number("Non-2xx responses")}


def application() -> bytes:
    """Write the application: the smallest example, with two files. Returns a tar archive of it and gunicorn's lock."""
    if APP.exists():
        shutil.rmtree(APP)
    shutil.copytree(ROOT / "examples" / "minimal", APP)
    (APP / "static").mkdir()
    (APP / "static" / "picture.png").write_bytes(bytes(number * number % 251 for number in range(20_000)))
    for number in range(1, PAGE.files + 1):
        (APP / "static" / f"part-{number}.js").write_text(f"part({number});\n" * 300, encoding="ascii")
    lines = (f".part-{number} > a:hover {{ margin: {number % 7}px; color: #{number * 7919 % 4096:03x} }}\n" for number in range(2000))
    (APP / "static" / "text.css").write_text("".join(lines)[:40_000], encoding="ascii")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(APP, ".")
        tar.add(ROOT / "roles" / "app_release" / "files" / "gunicorn.txt", "gunicorn.txt")
    return archive.getvalue()


class Bench:
    """The hosts and the client."""

    def __init__(self) -> None:
        self.hosts = Set("serving")
        self.client = self.hosts.container("client")

    def up(self) -> None:
        """Bring up what is missing. Both hosts serve the application afterwards."""
        archive = application()
        self.hosts.up()
        self.hosts.execute("common", f"cat > /root/setup.sh <<'SETUP'\n{(HERE / 'common-stack.sh').read_text(encoding='utf-8')}SETUP")
        self.hosts.execute("common", "sh /root/setup.sh", archive)
        tag = testhosts.image(testhosts.NEWEST, "wrk,nghttp2-client,apache2-utils")
        podman("rm", "--force", "--ignore", "--time", "0", self.client)
        podman("run", "--detach", "--name", self.client, "--network", self.hosts.network, *testhosts.RIGHTS[2:], tag, "sleep", "infinity")
        self.hosts.execute("client", "cat > /report.lua", (HERE / "report.lua").read_bytes())
        client = podman("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", self.client)
        inventory = self.hosts.folder / "inventory.yml"
        inventory.write_text(INVENTORY.format(address=self.hosts.address("ours"), folder=self.hosts.folder, app=APP, client=client), encoding="utf-8")
        done = subprocess.run(["ansible-playbook", "-i", str(inventory), "playbooks/site.yml"], capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode:
            sys.exit(done.stdout[-3000:])

    def run(self, host: str, load: Load, seconds: float) -> dict[str, float]:
        """Put a load on a host, and return what the client reports and the host's CPU time."""
        if load.loops:
            self._keep_busy(host, load.loops, seconds + 3)
        before = self._cpu(host)
        command, parsed = ((paced, paced_of) if load.rate else (browser, browser_of) if load.files
                           else (handshakes, handshakes_of) if load.handshakes else (requests, summary_of))
        figures = parsed(podman("exec", self.client, *command(load, HOSTS[host], seconds)))
        if figures["failed"]:
            sys.exit(f"{host}: {figures['failed']} of {figures['requests']} requests of {load} failed")
        if load.loops:
            self.hosts.execute(host, "while systemctl is-active --quiet busy; do sleep 0.1; done")
        return {**figures, "cpu_us": (self._cpu(host) - before) / 1000}

    def _keep_busy(self, host: str, loops: int, seconds: float) -> None:
        """Start loops that end by themselves, and wait until all run."""
        self.hosts.execute(host, f"cat >/root/busy.sh; sh /root/busy.sh {loops} {seconds:g}", (HERE / "busy.sh").read_bytes())
        time.sleep(2)

    def _cpu(self, host: str) -> int:
        """The CPU time of a host so far, in nanoseconds."""
        return int(podman("stats", "--no-stream", "--format", "{{.CPUNano}}", self.hosts.container(host)))

    def boot(self, host: str) -> float:
        """Boot a host; returns the seconds until the page is there."""
        podman("stop", self.hosts.container(host))
        began = time.monotonic()
        podman("start", self.hosts.container(host))
        # From within: the client still knows the address of the network interface that is gone.
        self.hosts.execute(host, f"python3 - {HOSTS[host]}", (HERE / "wait_for_page.py").read_bytes())
        return time.monotonic() - began

    def memory(self, host: str) -> int:
        """Memory of nginx and gunicorn, in MiB."""
        return int(self.hosts.execute(host, MEMORY))


def measure(bench: Bench, rounds: int, seconds: float) -> list[dict[str, object]]:
    """The lines of the table. Each load runs on both hosts in turn, which begin alternately."""
    memory = {host: float(bench.memory(host)) for host in HOSTS}
    runs: dict[Load, dict[str, list[dict[str, float]]]] = {}
    for load in dict.fromkeys(figure.load for figure in FIGURES):
        runs[load] = {host: [] for host in HOSTS}
        for number in range(rounds):
            for host in (list(HOSTS), list(reversed(HOSTS)))[number % 2]:
                runs[load][host].append(bench.run(host, load, seconds))
    lines = []
    for figure in FIGURES:
        turns = {host: [figure.value(run) for run in runs[figure.load][host]] for host in HOSTS}
        values = {host: statistics.median(turns[host]) for host in HOSTS}
        ratio = statistics.median(ours / common for ours, common in zip(turns["ours"], turns["common"], strict=True))
        lines.append({"figure": figure.name, **values, "ratio": ratio, "bar": f"{'≥' if figure.better > 0 else '≤'} {figure.bar}", "met": figure.met(ratio)})
    slower = {host: statistics.median(map(p95, runs[BESIDE][host])) / statistics.median(map(p95, runs[ALONE][host])) for host in HOSTS}
    lines.append({"figure": "beside them, as a multiple of alone: p95", **slower, "ratio": slower["ours"] / slower["common"], "bar": "ours ≤ 2",
                  "met": slower["ours"] <= 2})
    boots = {host: statistics.median(bench.boot(host) for _boot in range(3)) for host in HOSTS}
    ratio = boots["ours"] / boots["common"]
    lines.append({"figure": "boot to the first response (s)", **boots, "ratio": ratio, "bar": "none", "met": True})
    ratio = memory["ours"] / memory["common"]
    lines.append({"figure": "memory at rest: nginx and gunicorn (MiB)", **memory, "ratio": ratio, "bar": "≤ 1.0", "met": ratio <= 1})
    return lines


def table(lines: list[dict[str, object]]) -> str:
    """The lines as a table, and the names of those under their bar."""
    rows = [f"{'':51}{'common':>10}{'ours':>10}{'ratio':>8}  bar"]
    rows += [f"{line['figure']:51}{line['common']:>10,.1f}{line['ours']:>10,.1f}{line['ratio']:>8.2f}  {line['bar']:8}{'' if line['met'] else '  not met'}"
             for line in lines]
    under = [str(line["figure"]) for line in lines if not line["met"]]
    return "\n".join([*rows, "", f"Under the bar: {'; '.join(under) or 'none'}"])


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="three rounds of one second")
    parser.add_argument("--keep", action="store_true", help="leave the hosts for the next run")
    given = parser.parse_args()
    bench, began = Bench(), time.monotonic()
    try:
        bench.up()
        print(f"both hosts serve after {time.monotonic() - began:.0f} s", flush=True)
        lines = measure(bench, *((3, 1) if given.quick else (7, 2)))
    finally:
        if not given.keep:
            bench.hosts.down()
    (ROOT / "build" / "bench-serving.json").write_text(json.dumps(lines, indent=2) + "\n", encoding="utf-8")
    print(table(lines))
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
