"""Programs that run on the host and return many facts in one round trip.

Each is the source of a Python program for the host's own python3, without imports from here. It gets
its input in GIVEN and prints JSON. The input travels encoded in argv[1]: sudo writes command lines to the
journal, and a word that tests look for there must not come from the test. A secret never travels.
"""

from __future__ import annotations

import base64
import json
from typing import Any

# Shared by all: the live instance of an application and the processes of its unit.
COMMON = r'''
import base64, glob, json, os, re, stat, subprocess, sys
GIVEN = json.loads(base64.b64decode(sys.argv[1]))

def output(*argv, **more):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **more).stdout

def properties(unit, *names):
    lines = output("systemctl", "show", unit, "--property=" + ",".join(names)).decode().splitlines()
    return dict(line.split("=", 1) for line in lines)

def live(app):
    """The live instance and its unit."""
    instance = os.path.basename(os.path.realpath("/srv/%s/current" % app))
    return instance, "gunicorn-%s@%s.service" % (app, instance)

def processes(unit):
    group = properties(unit, "ControlGroup")["ControlGroup"]
    for base in ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"):
        try:
            with open(base + group + "/cgroup.procs") as stream:
                return [int(line) for line in stream]
        except OSError:
            continue
    raise SystemExit("no processes of " + unit)

def environment(pid):
    with open("/proc/%d/environ" % pid, "rb") as stream:
        return dict(item.split(b"=", 1) for item in stream.read().split(b"\0") if b"=" in item)

def mode(path):
    import grp, pwd
    found = os.lstat(path)
    return "%s:%s %04o" % (pwd.getpwuid(found.st_uid)[0], grp.getgrgid(found.st_gid)[0], stat.S_IMODE(found.st_mode))
'''


def ask(host: Any, program: str, **given: Any) -> Any:
    """Run `program` on the host as root and return its output."""
    done = host.run("python3 -c %s %s", COMMON + program, base64.b64encode(json.dumps(given).encode()).decode())
    assert done.rc == 0, f"the program failed on the host:\n{done.stderr}"
    return json.loads(done.stdout)
