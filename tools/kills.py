#!/usr/bin/env python3
"""Kill first runs and deploys at every task: each next run goes on, and at the end the host is as if nothing had happened.

    make kills [KILL=controller|connection|module|host]   one way to die, or all of them

A run is killed soon after a task has begun to work on the host. The next run is killed at the next task, and so on. A task that
takes long is killed again, two seconds later each time, until it ends before that. The run that is not killed must succeed, the one
after it must change nothing, and the host must have what an undisturbed first run leaves: files, owners, modes, accounts, units,
sockets and packages, and nothing of the killed ones. During deploys, each of new code, the site must respond all the time.

    controller   ansible-playbook is killed
    connection   sshd's processes of the connection are killed
    module       the Python process of the task is killed on the host
    host         everything on the host is killed, and it boots again

The host is that of `testhosts.py up bench`, and is removed at the end. The table is build/kills.md too.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import IO, Any

from faults import DOMAIN, FOLDER, ROOT, Faults, Load, tool
from host.waiting import wait_until
from testhosts import Set, podman

# When a task is killed: as it begins, soon after, and then again and again until it has ended.
SOON_SECONDS, LATER_SECONDS = 0.3, 2.0
LOG = ROOT / "build" / "logs" / "kills.log"
SOURCE = FOLDER / "shop"
VERSION = SOURCE / "shop" / "static" / "version.txt"
WHEN_THERE = "for try in $(seq 50); do pkill -KILL -f %s && exit; sleep 0.02; done"
ON_HOST = {
    "connection": WHEN_THERE % "'^sshd(-session)?: root'",
    "module": WHEN_THERE % r"-x '/usr/bin/python3(\.[0-9]+)?'",
}
STILL_RUNNING = "Another run is deploying"
WAYS = ("controller", "connection", "module", "host")
# What a killed run may leave: second names of files, environments and releases that are not complete, failed units, half packages.
LEFT = r"""find /etc /opt /root /srv /usr /var -xdev \( -name '.file_set-*' -o -name '.*.new' -o -name policy-rc.d \) -print
for folder in $(ls -d /opt/*/*/ 2>/dev/null); do test -e $folder/.complete || echo $folder is not complete; done
for folder in $(ls -d /srv/demo/releases/*/ 2>/dev/null); do test -e $folder/manifest.json || echo $folder is not complete; done
systemctl --failed --no-legend --plain
dpkg --audit"""


@dataclass
class Deadline:
    """A moment, or none."""

    at: float | None = None


def lines_until(stream: IO[str], deadline: Deadline) -> Iterator[str | None]:
    """The lines of a stream as they come, and None whenever the deadline passes before the next one."""
    arrived: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in stream:
            arrived.put(line)
        arrived.put("")

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = arrived.get(timeout=None if deadline.at is None else max(0.0, deadline.at - time.monotonic()))
        except queue.Empty:
            yield None
            continue
        if not line:
            return
        yield line


@dataclass
class Chain:
    """Runs of one playbook, each killed at a task, until one is not."""

    way: str
    playbook: str
    # The times after which each task was killed, and the tasks that ended before theirs.
    killed: dict[str, list[float]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    last: str = ""
    output: str = ""

    def due(self, task: str) -> float | None:
        """After how many seconds this run is killed at a task; None when it is not."""
        if task in self.ended:
            return None
        before = self.killed.get(task, [])
        return before[-1] + LATER_SECONDS if len(before) > 1 else SOON_SECONDS * len(before)

    def kill(self, running: subprocess.Popen[str]) -> None:
        """End it."""
        if self.way == "host":
            # The controller is ended too: it would wait for the connection.
            podman("kill", "--signal", "KILL", Set("bench").container("web"))
        if self.way in ("controller", "host"):
            os.killpg(running.pid, signal.SIGKILL)
        else:
            podman("exec", Set("bench").container("web"), "sh", "-c", ON_HOST[self.way])

    def one(self, faults: Faults) -> int | None:
        """One run: its exit status, or None where it was killed."""
        task, position, dead = "", 0, False
        deadline = Deadline()
        printed = []
        running = faults.playbooks.start(self.playbook, environment={"ANSIBLE_VERBOSITY": "3", "PYTHONUNBUFFERED": "1"})
        assert running.stdout
        for line in lines_until(running.stdout, deadline):
            if line is None:
                after = self.due(task)
                self.killed.setdefault(task, []).append(after or 0.0)
                self.kill(running)
                self.last, dead, deadline.at = task, True, None
                continue
            printed.append(line)
            if line.startswith(("TASK [", "PLAY [", "PLAY RECAP")):
                if deadline.at is not None:
                    # It was killed at all of its moments.
                    self.ended.add(task)
                deadline.at, position = None, position + 1
                task = f"{position} {line.partition('[')[2].rpartition(']')[0]}"
            elif not dead and deadline.at is None and "ESTABLISH SSH CONNECTION" in line and (after := self.due(task)) is not None:
                deadline.at = time.monotonic() + after
        status = running.wait()
        self.output = "".join(printed)
        with LOG.open("a", encoding="utf-8") as log:
            log.write(f"==== {self.way} {self.playbook}: {f'killed at {self.last}' if dead else status}\n{self.output}")
        return None if dead else status

    @property
    def count(self) -> int:
        """How often a run was killed."""
        return sum(map(len, self.killed.values()))


@dataclass(frozen=True)
class Result:
    """A row of the table."""

    way: str
    playbook: str
    tasks: int
    kills: int
    status: int
    again: int
    problems: list[str]

    @property
    def good(self) -> bool:
        """Whether everything that is promised held."""
        return not self.status and not self.again and not self.problems


class Kills:
    """A new host, killed in one way."""

    def __init__(self, way: str, wanted: dict[str, Any]) -> None:
        self.way, self.wanted, self.boots = way, wanted, 0
        self.faults = new_host()

    def again(self) -> None:
        """Have the host boot after it was killed; its address may be another one."""
        podman("start", Set("bench").container("web"))
        self.faults = started()
        # The connection that the killed run kept would never respond.
        self.boots += 1
        self.faults.playbooks.environment["ANSIBLE_SSH_CONTROL_PATH_DIR"] = f"{FOLDER}/cp{self.boots}"

    def chain(self, playbook: str, before: Callable[[], None] = lambda: None) -> Result:
        """Kill runs of a playbook until one ends, and look at what it leaves."""
        chain = Chain(self.way, playbook)
        while True:
            before()
            status = chain.one(self.faults)
            if status and STILL_RUNNING in chain.output:
                # What the killed run had started goes on, and the next one is refused until it has ended.
                time.sleep(LATER_SECONDS)
                continue
            if status is not None:
                break
            print(f"  {self.way}, {playbook}: killed at task {chain.last}, after {chain.killed[chain.last][-1]} s", flush=True)
            if self.way == "host":
                self.again()
        again = sum(self.faults.playbooks.run(playbook).count("changed").values()) if not status else 0
        left = [] if status else [line for line in self.faults.host.run(LEFT).stdout.splitlines() if line not in self.wanted["left"]]
        return Result(self.way, playbook, len(chain.killed), chain.count, status, again, left)

    def deploys(self) -> Result:
        """Kill deploys, each of new code, under requests."""
        number = 0

        def change() -> None:
            nonlocal number
            number += 1
            VERSION.write_text(f"{number}\n", encoding="utf-8")

        load = Load(self.faults.site)
        # A host that is killed serves nothing until it has booted.
        with load.running() if self.way != "host" else nullcontext():
            result = self.chain("deploy", change)
        failed = [served for _at, served in load.results].count(False)
        result.problems.extend([f"{failed} of {len(load.results)} requests failed"] * bool(failed))
        served = self.faults.site.https(DOMAIN, "/static/version.txt").body.decode().strip()
        result.problems.extend([f"version {served} of {number} is served"] * (served != str(number)))
        return result

    def run(self) -> Iterator[Result]:
        """All playbooks in turn."""
        yield self.chain("host")
        site = self.chain("site")
        # An undisturbed host has the same; the live instance has a name of its own.
        now = named(self.faults.state())
        site.problems.extend(f"{kind} {key}: {now[kind].get(key)}" for kind, wanted in self.wanted["state"].items() for key, value in wanted.items()
                             if value != now[kind].get(key) and "/instances/" not in key)
        yield site
        yield self.deploys()


def started() -> Faults:
    """The running host, once it has booted."""
    tool("testhosts.py", "up", "bench")
    tool("demo.py", "inventory", "bench")
    inventory = FOLDER / "inventory.yml"
    inventory.write_text(inventory.read_text(encoding="utf-8").replace(f"{ROOT}/examples/shop", str(SOURCE)), encoding="utf-8")
    faults = Faults()
    wait_until(lambda: faults.host.run("true").rc == 0, 60, "a connection")
    return faults


def new_host() -> Faults:
    """A host that no run has touched, and an application whose code can be changed."""
    tool("testhosts.py", "down", "bench")
    shutil.copytree(ROOT / "examples" / "shop", SOURCE, dirs_exist_ok=True)
    VERSION.write_text("0\n", encoding="utf-8")
    return started()


def named(state: dict[str, Any]) -> dict[str, Any]:
    """A state with names in place of the numbers of accounts: these depend on which task was the first to make one."""
    names = {number: name for name, number in state["users"].items()}
    of_accounts = {kind: {path: one and [one[0], names.get(one[1], one[1]), names.get(one[2], one[2]), one[3]] for path, one in state[kind].items()}
                   for kind in ("paths", "sockets")}
    return {**state, **of_accounts, "users": dict.fromkeys(state["users"], True)}


def undisturbed() -> dict[str, Any]:
    """What runs leave that are not killed."""
    faults = new_host()
    for playbook in ("host", "site"):
        faults.playbooks.good(playbook)
    return {"state": named(faults.state()), "left": faults.host.run(LEFT).stdout.splitlines()}


def table(results: list[Result]) -> str:
    """The results as Markdown."""
    lines = ["| killed | playbook | tasks | kills | the last run | changed by the next run | left |", "|---|---|---|---|---|---|---|"]
    lines += [f"| {one.way} | {one.playbook}{'' if one.good else ' **(missed)**'} | {one.tasks} | {one.kills} | "
              f"{'failed' if one.status else 'succeeds'} | {one.again} | {'; '.join(one.problems) or '-'} |" for one in results]
    return "\n".join(lines) + "\n"


def main(*wanted: str) -> None:
    """Kill in each way, print what was missed."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.unlink(missing_ok=True)
    results: list[Result] = []
    try:
        expected = undisturbed()
        for way in wanted or WAYS:
            for result in Kills(way, expected).run():
                results.append(result)
                print(table(results[-1:]).splitlines()[-1], flush=True)
                (ROOT / "build" / "kills.md").write_text(table(results), encoding="utf-8")
    finally:
        tool("testhosts.py", "down", "bench")
    missed = [f"{result.way} {result.playbook}" for result in results if not result.good]
    print(f"{sum(result.kills for result in results)} kills; missed: {', '.join(missed) or 'none'}. The table: build/kills.md")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main(*sys.argv[1:])
