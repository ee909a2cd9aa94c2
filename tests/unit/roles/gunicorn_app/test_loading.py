"""gunicorn with the settings of this role: when the application is loaded, and what the deploy learns of it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.instances import Instances
from ansible_collections.bulwark.flask.tests.unit import support
from ansible_collections.bulwark.flask.tests.unit.roles.gunicorn_app.waiting import until

# It records the processes that import it, and what of gunicorn's command line they see.
APPLICATION = '''
import gc
import os
import sys

with open("imports", "a") as file:
    print(os.getpid(), *sys.argv[1:], file=file)

def application(environ, start_response):
    start_response("200 OK", [])
    return [str(gc.get_freeze_count() > 0).encode()]
'''
SLOW_SECOND = '''
import time
with open("imports") as file:
    if len(file.readlines()) > 1:
        time.sleep(2)
'''
Start = Callable[..., Path]


@pytest.fixture(name="start")
def _start(python: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts gunicorn with the rendered settings for an inspected release, and returns the directory of the instance when it responds."""
    running: list[subprocess.Popen[bytes]] = []

    def start(inspected: dict[str, object], code: str = "", **variables: object) -> Path:
        (tmp_path / "releases" / "r1").mkdir(parents=True)
        instances = Instances(tmp_path, os.getgid())
        instances.create("r1", "r1")
        folder = instances.folder / "r1"
        text = support.render("gunicorn_app", "gunicorn.conf.py.j2", support.SHOP, gunicorn_app_workers=2, **variables)
        text = text.replace("/etc/gunicorn/shop.settings.json", f"{folder}/settings.json")
        text = text.replace("/etc/gunicorn/", f"{support.ROOT}/roles/gunicorn_app/files/")
        (folder / "settings.json").write_text(support.render("gunicorn_app", "settings.json.j2", support.SHOP))
        (folder / "conf.py").write_text(text.replace("sys.prefix", f'"{folder}/venv"'))
        (folder / "preflight.json").write_text(json.dumps(inspected))
        (folder / "app.py").write_text(APPLICATION + code)
        command = [python, "-m", "gunicorn", "--config", "conf.py", "--bind", f"unix:{folder}/gunicorn.sock", "app:application"]
        running.append(subprocess.Popen(command, cwd=folder))
        until(lambda: get(folder))
        return folder

    yield start
    for process in running:
        process.terminate()
        process.wait(15)


def get(folder: Path) -> bytes:
    """The response of the application."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(folder / "gunicorn.sock"))
        connection.request("GET", "/", headers={"Connection": "close"})
        return connection.getresponse().read()
    finally:
        connection.close()


def imports(folder: Path) -> list[str]:
    """The lines of the application's imports."""
    return (folder / "imports").read_text().splitlines()


def loaded(folder: Path) -> tuple[int, int]:
    """What the deploy reads."""
    return Instances(folder.parents[1], os.getgid()).loaded("r1")


def test_an_application_that_can_be_forked_is_loaded_once(start: Start) -> None:
    folder = start({"preload": True})
    until(lambda: loaded(folder) == (2, 2))
    (line,) = imports(folder)
    assert line.isdecimal(), "the application sees gunicorn's command line"
    assert get(folder) == b"True", "a garbage collection copies the memory that workers share"


@pytest.mark.parametrize(("inspected", "variables"), [
    ({"preload": False}, {}), ({}, {}), ({"preload": "true"}, {}), ({"preload": True}, {"gunicorn_app_preload": False})])
def test_any_other_one_is_loaded_by_each_worker(start: Start, inspected: dict[str, object], variables: dict[str, object]) -> None:
    folder = start(inspected, **variables)
    until(lambda: loaded(folder) == (2, 2))
    assert len(set(imports(folder))) == 2 and all(line.isdecimal() for line in imports(folder))
    assert get(folder) == b"False"


def test_a_worker_that_still_loads_the_application_is_not_counted(start: Start) -> None:
    folder = start({"preload": False}, SLOW_SECOND)
    assert loaded(folder) == (1, 2)
    until(lambda: loaded(folder) == (2, 2))
