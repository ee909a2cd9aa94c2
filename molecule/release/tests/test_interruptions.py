"""Whatever is killed, and whenever: the next run recovers, and requests do not fail."""

from __future__ import annotations

import time
from typing import Any

import pytest
import working_copy
from host.playbooks import Playbooks
from host.waiting import wait_until
from load import Load
from releases import at_rest, sites, version

# Kill the module on the host, which holds the lock, as soon as the deploy has come to a certain point.
KILL = r'''
import signal, time
base, deadline = "/srv/shop", time.monotonic() + 90
before = os.readlink(base + "/current")
known = set(os.listdir(base + "/releases")) | set(os.listdir(base + "/instances"))

def new(folder, end=""):
    return [name for name in os.listdir(base + folder) if name not in known and name.endswith(end) and not name.startswith(".")]

points = {
    "build": lambda: new("/releases"),
    "preflight": lambda: new("/instances", ".task"),
    "start": lambda: [name for name in new("/instances") if not name.endswith(".task")],
    "drain": lambda: os.readlink(base + "/current") != before,
}
while not points[GIVEN["point"]]() and time.monotonic() < deadline:
    time.sleep(0.01)
holder = int(open(base + "/.deploy.lock").read().split("process ")[1].split()[0])
os.kill(holder, signal.SIGKILL)
print(json.dumps(holder))
'''
HOLD = r'''
import fcntl, time
with open("/srv/shop/.deploy.lock", "a+") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.truncate(0)
    file.write("ann@desk, since 2026-01-31 10:15:00 UTC, process %d on the host\n" % os.getpid())
    file.flush()
    if holder := os.fork():
        print(json.dumps(holder))
    else:
        os.setsid()
        for channel in (0, 1, 2):
            os.close(channel)
        time.sleep(120)
        os._exit(0)
'''

# Kill gunicorn's main process; systemd kills the others. Ends when the last of them is gone.
KILL_SERVER = r'''
import time
unit = live("shop")[1]
found, deadline = processes(unit), time.monotonic() + 30
os.kill(int(properties(unit, "MainPID")["MainPID"]), 9)
while any(os.path.exists("/proc/%d" % pid) for pid in found) and time.monotonic() < deadline:
    time.sleep(0.01)
if time.monotonic() > deadline:
    raise SystemExit("they are still there")
print(json.dumps(len(found)))
'''


BEYOND_SAMPLE = [pytest.param(point, marks=pytest.mark.beyond_sample) for point in ("build", "preflight", "start")]


@pytest.mark.parametrize("point", [*BEYOND_SAMPLE, "drain"])
def test_a_run_after_a_killed_one_recovers(servers: list[Any], playbooks: Playbooks, point: str) -> None:
    site = sites(servers)[0]
    before, wanted = version(site), f"killed-{point}-{time.time_ns()}"
    working_copy.make(wanted)
    with Load(site, rate=20) as load:
        running = playbooks.start("deploy", "--limit", site.server.name)
        site.ask(KILL, point=point)
        output, _ = running.communicate(timeout=120)
        assert running.returncode != 0, output
        assert version(site) in (before, wanted)
        playbooks.good("deploy", "--limit", site.server.name)
    assert load.failed() == []
    assert version(site) == wanted
    state = at_rest(site)
    assert any(entry["result"] == "interrupted" for entry in state["history"][-2:])
    assert set(playbooks.good("deploy", "--limit", site.server.name).count("changed").values()) == {0}


def test_the_error_of_a_second_deploy_names_the_holder_of_the_lock(servers: list[Any], playbooks: Playbooks) -> None:
    site = sites(servers)[0]
    holder = site.ask(HOLD)
    working_copy.make(f"locked-{time.time_ns()}")
    run = playbooks.run("deploy", "--limit", site.server.name)
    assert run.rc != 0 and "ann@desk, since 2026-01-31 10:15:00 UTC" in run.words, run.output
    site.ask('os.kill(GIVEN["holder"], 9); print(0)', holder=holder)
    playbooks.good("deploy", "--limit", site.server.name)


def test_a_killed_server_comes_back_and_connections_wait(servers: list[Any], playbooks: Playbooks) -> None:
    for site in sites(servers):
        with Load(site) as load:
            time.sleep(1)
            site.ask(KILL_SERVER)
            gone = time.time()
            time.sleep(6)
            wait_until(lambda site=site: site.get("/healthz").status == 200, 60, "the site responds again")
            back = time.time()
            time.sleep(2)
        # Only what the processes had taken may be lost, until the last of them is gone. Others wait for the restart.
        assert all(request.began < gone for request in load.failed()), [request for request in load.failed() if request.began >= gone]
        assert [request for request in load.requests if request.began > back], "the load has not gone on"
        assert site.get("/healthz").status == 200
        at_rest(site)


def test_a_worker_ended_for_its_memory_is_replaced(servers: list[Any], playbooks: Playbooks) -> None:
    site = sites(servers)[0]
    workers = 'unit = live("shop")[1]; main = int(properties(unit, "MainPID")["MainPID"]); found = [p for p in processes(unit) if p != main]\n'
    site.ask(workers + 'os.kill(found[0], 9); print(1)')
    deadline = time.monotonic() + 20
    while len(site.ask(workers + 'print(json.dumps(found))')) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(site.ask(workers + 'print(json.dumps(found))')) >= 2
    assert all(site.get("/healthz").status == 200 for _ in range(10))


def test_the_live_release_starts_at_boot(servers: list[Any], playbooks: Playbooks) -> None:
    site = sites(servers)[0]
    before = version(site)
    site.ask('''
units = "gunicorn-shop@%s" % live("shop")[0]
output("systemctl", "stop", units + ".socket", units + ".service", "nginx.service")
output("systemctl", "start", "multi-user.target", "sockets.target")
wanted = output("systemctl", "show", "-p", "Wants", "multi-user.target", "sockets.target").decode()
print(json.dumps([units in wanted, "nginx.service" in wanted]))
''')
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if version(site) == before:
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError("it does not come back")
