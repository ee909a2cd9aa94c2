"""The attackers: each runs a Python program in its own place and returns the JSON that the program prints.

GIVEN has what the test passes; `tried(call)` tells whether the host refused a call.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from host.plugin import Server

COMMON = r'''
import base64, json, os, socket, stat, subprocess, sys, time
from pathlib import Path
GIVEN = json.loads(base64.b64decode("%s"))

def tried(call):
    """What a call returns, or the name of the error with which the host refused it."""
    try:
        return call()
    except OSError as error:
        return "refused: " + type(error).__name__
'''


def _program(text: str, given: dict[str, Any]) -> str:
    return COMMON % base64.b64encode(json.dumps(given).encode()).decode() + text


def in_application(server: Server, program: str, app: str = "hostile", **given: Any) -> Any:
    """Run a program in a worker of the hostile application."""
    answer = server.site(app).get("/run", method="POST", body=_program(program, given).encode())
    assert answer.status == 200, answer.body.decode(errors="replace")[-3000:]
    return json.loads(answer.body)


def as_account(server: Server, program: str, account: str = "mallory", **given: Any) -> Any:
    """Run a program as an account of the host: mallory has no rights, www-data is the web server."""
    done = server.host.run("runuser -u %s -- python3 -c %s", account, _program(program, given))
    assert done.rc == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def in_web_server(server: Server, program: str, **given: Any) -> Any:
    """Run a program in the sandbox of nginx.service, as code in a worker of nginx would run."""
    command = ["systemd-run", "--quiet", "--collect", "--wait", "--pipe"]
    for line in server.host.file("/etc/systemd/system/nginx.service.d/sandbox.conf").content_string.splitlines():
        name = line.partition("=")[0]
        if "=" in line and not line.startswith("#") and not name.startswith(("Exec", "Restart", "StartLimit", "PIDFile", "KillSignal")):
            command.append(f"--property={line}")
    done = server.host.run(" ".join(["%s"] * (len(command) + 3)), *command, "python3", "-c", _program(program, given))
    assert done.rc == 0, done.stderr[-3000:]
    return json.loads(done.stdout)
