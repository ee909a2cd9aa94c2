"""A hostile build leaves nothing behind: not for the next build, not for git, not in a release that is sealed."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from attackers import in_application
from host.playbooks import Playbooks
from host.plugin import Server

ATTACK = Path(__file__).resolve().parents[1]
REPOSITORY = "file:///opt/attack.git"
ATTACKS = ("poison_packages", "plant_mirror", "leave_settings", "read_credentials", "pass_file_out")
RELEASE = {"download_credentials": {"pypi.example.test": "attack-token-of-the-index"}}
# A thread of the running application: it keeps the file that a build sends it until root has sealed it, and writes into it.
RECEIVE = r'''
import array, threading
def receive():
    server = socket.socket(socket.AF_UNIX)
    server.bind("\0attack")
    server.listen()
    _, ancillary, _, _ = server.accept()[0].recvmsg(1, socket.CMSG_SPACE(4))
    file = array.array("i", ancillary[0][2])[0]
    for _ in range(600):
        if os.fstat(file).st_uid == 0:
            os.pwrite(file, b"\n# WRITTEN AFTER THE SEAL\n", os.fstat(file).st_size)
        time.sleep(0.05)
threading.Thread(target=receive, daemon=True).start()
print(json.dumps(True))
'''
# Makes the repository that the operator uses later.
PUBLISH = ("rm -rf /opt/attack.git /tmp/attack-tree; cp -r /srv/hostile/current/release/src /tmp/attack-tree; cd /tmp/attack-tree; "
           "rm -f pyproject.toml; echo '# from git' >> hostile.py; git init -q -b main; git add -A; "
           "git -c user.name=a -c user.email=a@example.test commit -qm a; git clone -q --bare . /opt/attack.git")
FOUND = r'''
site = glob.glob("/srv/hostile/current/release/venv/lib/python3*/site-packages")[0]
def text(path):
    return open(path, errors="replace").read() if os.path.exists(path) else ""
print(json.dumps({
    "got": json.loads(text(site + "/attack.json") or "{}"),
    "poisoned": "POISONED" in text(site + "/flask/__init__.py"),
    "written": "WRITTEN AFTER THE SEAL" in text("/srv/hostile/current/release/src/hostile.py"),
    "left": sorted(os.path.join(folder, name) for folder, _, files in os.walk("/var/cache/hostile-build") for name in files
                   if name in ("hook-ran", "pth-ran", "uv.toml")),
}))
'''


def hostile_project(state: Path, *attacks: str) -> Path:
    """The hostile application as a project with a build system of its own."""
    source = state / "hostile-build"
    if source.exists():
        shutil.rmtree(source)
    shutil.copytree(ATTACK / "hostile", source)
    shutil.copytree(ATTACK / "hostile_build", source, dirs_exist_ok=True)
    mirror = hashlib.sha256(REPOSITORY.encode()).hexdigest()[:16] + ".git"
    # The time makes it another release in every run of the tests.
    (source / "attack.json").write_text(json.dumps({"mirror": mirror, "time": time.time(), "attacks": attacks}))
    return source


@pytest.fixture(scope="session")
def story(servers: list[Server], playbooks: Playbooks, state: Path) -> dict[str, dict[str, Any]]:
    """By host: a build that attacks, and then a release of the same application from git."""
    told: dict[str, dict[str, Any]] = {server.name: {} for server in servers}
    for server in servers:
        in_application(server, RECEIVE)
    playbooks.good("deploy", app="hostile", hostile_source={"path": str(hostile_project(state, *ATTACKS))}, hostile_release=RELEASE)
    for server in servers:
        told[server.name]["first"] = server.ask(FOUND)
        server.host.check_output("command -v git >/dev/null || apt-get install -qq -y --no-install-recommends git >/dev/null 2>&1")
        server.host.check_output(PUBLISH)
    playbooks.good("deploy", app="hostile", hostile_source={"git": REPOSITORY})
    for server in servers:
        told[server.name]["second"] = server.ask(FOUND)
    project = hostile_project(state, "read_credentials")
    (project / "requirements.txt").write_text("flask>=3.1.3,<4\n-e .\n")
    playbooks.good("deploy", app="hostile", hostile_source={"path": str(project)}, hostile_release=RELEASE)
    for server in servers:
        told[server.name]["editable"] = server.ask(FOUND)
    return told


@pytest.fixture
def told(server: Server, story: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The story on one host."""
    return story[server.name]


def test_a_build_changes_no_package_of_a_later_build(told: dict[str, Any]) -> None:
    assert told["second"]["poisoned"] is False
    assert told["first"]["got"]["poison_packages"] == 0


def test_a_build_leaves_nothing_that_git_runs(told: dict[str, Any]) -> None:
    assert [path for path in told["second"]["left"] if path.endswith("hook-ran")] == []
    assert told["first"]["got"]["plant_mirror"] == 0


def test_a_build_leaves_no_settings_for_the_next(told: dict[str, Any]) -> None:
    assert told["second"]["left"] == []
    assert told["first"]["got"]["leave_settings"], "the attack was not tried"


def test_a_build_does_not_see_credentials_of_the_index(told: dict[str, Any]) -> None:
    assert told["first"]["got"]["read_credentials"] in (0, "")
    assert told["editable"]["got"]["read_credentials"] in (0, "")


RAN_AS_ROOT = "find /etc /run /root /tmp -maxdepth 1 -name pth-ran-as-root -delete -print"


def test_root_runs_no_code_of_a_package(server: Server, told: dict[str, Any]) -> None:
    """A .pth file of a package runs whenever the interpreter of the release starts: at the build, the inspection and the audit."""
    assert told["editable"] and server.host.run("pip-audit-app hostile").rc in (0, 1, 2)
    assert server.host.check_output(RAN_AS_ROOT) == ""
    server.host.check_output("/srv/hostile/current/release/venv/bin/python -c ''")
    assert server.host.check_output(RAN_AS_ROOT), "the trap is not set"


def test_no_file_of_a_sealed_release_can_be_written(told: dict[str, Any]) -> None:
    assert told["first"]["written"] is False
    assert told["first"]["got"]["pass_file_out"] == 0


def test_a_build_that_changes_a_package_is_not_activated(server: Server, playbooks: Playbooks, state: Path) -> None:
    project = hostile_project(state, "change_a_package")
    live = server.host.check_output("readlink /srv/hostile/current")
    run = playbooks.run("deploy", "--limit", server.name, app="hostile", hostile_source={"path": str(project)})
    run.says("These files are not the ones of their packages", "site-packages/flask/__init__.py")
    assert server.host.check_output("readlink /srv/hostile/current") == live


# A thread of the running application: the directory that releases share is a link to a directory of root's, and then again a
# directory, until the time has passed.
RACE = r'''
import shutil, threading
place = Path("/var/lib/hostile/shared/instance")
def race():
    end = time.monotonic() + GIVEN["seconds"]
    while time.monotonic() < end:
        for make in (lambda: place.symlink_to("/etc/attack"), lambda: place.mkdir(parents=True)):
            try:
                place.unlink() if place.is_symlink() else shutil.rmtree(place)
            except OSError:
                pass
            tried(make)
            time.sleep(0.01)
threading.Thread(target=race, daemon=True).start()
print(json.dumps(tried(lambda: os.link("/etc/attack/kept", "/var/lib/hostile/attack"))))
'''
# The directory of all of them is a link, and stays one.
LINK = r'''
tried(lambda: os.rename("/var/lib/hostile/shared", "/var/lib/hostile/aside"))
os.symlink("/etc/attack", "/var/lib/hostile/shared")
print("{}")
'''
TARGET = "find /etc/attack -printf '%p %u %g %m %s\\n' | sort"


def test_root_follows_no_link_in_the_state_of_an_application(server: Server, playbooks: Playbooks, state: Path) -> None:
    server.host.check_output("mkdir -p /etc/attack && echo kept > /etc/attack/kept")
    before = server.host.check_output(TARGET)
    project = hostile_project(state)
    (project / "pyproject.toml").unlink()
    (project / "instance").mkdir()
    (project / "instance" / "seed.txt").write_text("from the source\n")
    in_application(server, LINK)
    try:
        run = playbooks.run("deploy", "--limit", server.name, app="hostile", hostile_source={"path": str(project)})
        assert server.host.check_output(TARGET) == before
        assert "/var/lib/hostile/shared cannot be prepared as hostile" in run.words, run.output
    finally:
        server.host.check_output("rm /var/lib/hostile/shared; cd /var/lib/hostile && if [ -e aside ]; then mv aside shared; fi")
    assert "refused" in in_application(server, RACE, seconds=60)
    # The link may be in the way of the deploy, but not lead out of the application's own directory.
    playbooks.run("deploy", "--limit", server.name, app="hostile", hostile_source={"path": str(project)})
    server.host.check_output("systemd-tmpfiles --create && logrotate --force /etc/logrotate.conf")
    playbooks.run("site", "--limit", server.name, app="hostile", hostile_source={"path": str(project)})
    # A link that is left keeps this application from its next release, and no other one.
    server.host.check_output("find /var/lib/hostile/shared -maxdepth 1 -type l -delete")
    assert server.host.check_output(TARGET) == before
