"""Privileges of the web server."""

from __future__ import annotations

import os
from typing import Any

PROCESSES = r'''
import grp, pwd
found = []
for pid in processes("nginx.service"):
    status = dict(line.split(":\t", 1) for line in open("/proc/%d/status" % pid).read().splitlines() if ":\t" in line)
    found.append({"user": pwd.getpwuid(int(status["Uid"].split()[0]))[0],
                  "groups": sorted(grp.getgrgid(int(group))[0] for group in {*status["Groups"].split(), status["Gid"].split()[0]}),
                  "capabilities": [int(status[key], 16) for key in ("CapPrm", "CapEff", "CapBnd")],
                  "confined": (status["Seccomp"].strip(), status["NoNewPrivs"].strip()), "scheduling": os.sched_getscheduler(pid)})
print(json.dumps({"main": int(properties("nginx.service", "MainPID")["MainPID"]), "processes": found}))
'''
# Only ports below 1024.
NET_BIND_SERVICE = 1 << 10


def test_nothing_of_nginx_is_root(server: Any) -> None:
    found = server.ask(PROCESSES)["processes"]
    assert len(found) >= 2, "a master and no worker"
    for process in found:
        assert process["confined"] == ["2", "1"]
        if server.target.nginx_unprivileged:
            assert process["user"] == "www-data"
            assert process["groups"] == ["ssl-cert", "www-data"]
            assert not [value for value in process["capabilities"] if value & ~NET_BIND_SERVICE], process


def test_nginx_interrupts_no_process_that_wakes_it(server: Any) -> None:
    assert {process["scheduling"] for process in server.ask(PROCESSES)["processes"]} == {os.SCHED_BATCH}
