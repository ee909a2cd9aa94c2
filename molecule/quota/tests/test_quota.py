"""The limit of the disk space of an application, on a kernel and a file system that enforce project quotas.

The tests build on each other: each continues with the host as the one before has left it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest
from host.playbooks import Playbooks, Run
from host.plugin import Server

CONVERGE = "molecule/quota/converge.yml"
LIMIT_MB = 40
# In the sandbox of a running instance, as its account: write to a directory until it fails, remove it again.
FILL = r'''
instance, unit = live(GIVEN["app"])
uid = output("id", "-u", GIVEN["app"]).decode().strip()
program = """
import errno, fcntl, json, os, struct, sys
folder, what, most = sys.argv[1], sys.argv[2], int(sys.argv[3])
done, error, names = 0, 0, []
try:
    while done < most:
        names.append(folder + "/fill-%d" % len(names))
        handle = os.open(names[-1], os.O_CREAT | os.O_WRONLY)
        if what == "project":
            attributes = bytearray(fcntl.ioctl(handle, 0x801C581F, bytes(28)))
            attributes[12:16] = bytes(4)
            fcntl.ioctl(handle, 0x401C5820, bytes(attributes))
        elif what == "space":
            os.posix_fallocate(handle, 0, 2**20)
        done += 1
        os.close(handle)
except OSError as problem:
    error = problem.errno
for name in names if GIVEN_REMOVE else []:
    if os.path.exists(name):
        os.unlink(name)
print(json.dumps([done, error]))
""".replace("GIVEN_REMOVE", str(GIVEN.get("remove", True)))
command = [sys.executable, "-c", program, GIVEN["folder"], GIVEN["what"], str(GIVEN["most"])]
inside = ["nsenter", "--target", properties(unit, "MainPID")["MainPID"], "--user", "--mount", "--setuid", uid, "--setgid", uid, "--wd=/"]
print(output(*({"sandbox": inside, "account": ["runuser", "-u", GIVEN["app"], "--"], "root": []}[GIVEN["by"]] + command)).decode())
'''
LOOK = r'''
lines = {line.split()[0]: line.split() for line in output("repquota", "-P", "-n", "/").decode().splitlines() if line.startswith("#")}
uid = output("id", "-u", GIVEN["app"]).decode().strip()
row = lines.get("#" + uid, ["", "--"] + ["0"] * 6)
home = "/var/lib/" + GIVEN["app"]
size, disk = os.statvfs(home), os.statvfs("/")
print(json.dumps({"limit": [int(row[4]) // 1024, int(row[7])], "project": output("lsattr", "-pd", home).split()[0].decode(),
                  "uid": uid, "drop_in": os.path.exists("/etc/systemd/system/gunicorn-%s@.service.d/60-disk.conf" % GIVEN["app"]),
                  "shown": size.f_blocks * size.f_frsize // 2**20, "free": disk.f_bavail * disk.f_frsize // 2**20, "free_inodes": disk.f_favail}))
'''


def given(disk_max_mb: int | None) -> dict[str, Any]:
    """The applications, with a limit of the first."""
    shop = {} if disk_max_mb is None else {"app_release": {"disk_max_mb": disk_max_mb}}
    return {"shop": {"domains": ["shop.example.test"], **shop}, "notes": {"domains": ["notes.example.test"]}}


@pytest.fixture(scope="module")
def machine(servers: list[Server]) -> Server:
    """The virtual machine."""
    return servers[0]


@pytest.fixture(scope="module", autouse=True)
def deployed(playbooks: Playbooks) -> None:
    """Both applications run, with no word about their disk space."""
    playbooks.good(CONVERGE)


def run(playbooks: Playbooks, disk_max_mb: int | None, *options: str) -> Run:
    """A run with a limit of the first application."""
    return playbooks.run(CONVERGE, *options, flask_apps=given(disk_max_mb))


def changed(result: Run) -> int:
    """The number of changed tasks of a run that succeeded."""
    assert result.rc == 0, result.output
    return result.count("changed")["quota"]


def fill(machine: Server, most: int, what: str = "space", folder: str = "/var/lib/shop", by: str = "sandbox", app: str = "shop",
         remove: bool = True) -> list[int]:
    """What was written before the first error, in MiB or files, and the error."""
    return list(machine.ask(FILL, app=app, folder=folder, what=what, most=most, by=by, remove=remove))


def look(machine: Server, app: str = "shop") -> dict[str, Any]:
    """The limit and the project of an application, as Debian's tools show them."""
    return dict(machine.ask(LOOK, app=app))


def test_a_second_run_changes_nothing(playbooks: Playbooks) -> None:
    assert changed(run(playbooks, None)) == 0


def test_by_default_one_application_cannot_fill_the_file_system(machine: Server) -> None:
    before = look(machine)
    assert before["project"] == before["uid"] and before["drop_in"]
    assert 0 < before["limit"][0] < before["free"] and 0 < before["limit"][1] < before["free_inodes"]
    done, error = fill(machine, most=before["free"] + 100, remove=False)
    assert errno.errorcode[error] == "EDQUOT" and before["limit"][0] - 2 <= done <= before["limit"][0]
    # A neighbour and root still can write.
    assert fill(machine, 100, folder="/var/lib/notes", app="notes") == [100, 0]
    assert fill(machine, 100, folder="/root", by="root") == [100, 0]
    machine.host.check_output("rm /var/lib/shop/fill-*")


def test_a_given_limit_holds_for_space_and_inodes(machine: Server, playbooks: Playbooks) -> None:
    assert changed(run(playbooks, LIMIT_MB)) > 0
    now = look(machine)
    assert now["limit"] == [LIMIT_MB, LIMIT_MB * 64] and now["shown"] == LIMIT_MB
    done, error = fill(machine, LIMIT_MB * 2)
    assert errno.errorcode[error] == "EDQUOT" and LIMIT_MB - 2 <= done <= LIMIT_MB
    done, error = fill(machine, LIMIT_MB * 100, "inodes")
    assert errno.errorcode[error] == "EDQUOT" and LIMIT_MB * 64 - 50 < done < LIMIT_MB * 64
    assert fill(machine, LIMIT_MB * 2, folder="/var/lib/notes", app="notes") == [LIMIT_MB * 2, 0]


def test_private_files_in_var_tmp_count_too_after_each_start(machine: Server) -> None:
    machine.host.check_output("systemctl restart 'gunicorn-shop@*.service'")
    done, error = fill(machine, LIMIT_MB * 2, folder="/var/tmp")
    assert errno.errorcode[error] == "EDQUOT" and done <= LIMIT_MB


def test_an_application_cannot_leave_its_project(machine: Server) -> None:
    """Outside of the sandbox, which has a user namespace of its own, the owner of a file can change its number."""
    assert fill(machine, 1, "project") == [0, errno.EINVAL]
    assert fill(machine, 1, "project", by="account") == [1, 0]


def test_a_second_run_with_the_limit_changes_nothing(playbooks: Playbooks) -> None:
    assert changed(run(playbooks, LIMIT_MB)) == 0


def test_an_alert_begins_when_an_application_is_near_its_limit(machine: Server) -> None:
    fill(machine, LIMIT_MB - 4, remove=False)
    machine.host.check_output("alarm-channel check")
    assert "disk/var/lib/shop/space" in machine.host.check_output("alarm-channel status")
    machine.host.check_output("rm /var/lib/shop/fill-*; alarm-channel check")
    assert "disk/var/lib/shop/space" not in machine.host.check_output("alarm-channel status")


def test_a_limit_that_was_removed_or_changed_by_hand_comes_back_and_check_mode_says_so(machine: Server, playbooks: Playbooks) -> None:
    uid = look(machine)["uid"]
    for blocks, inodes in ((0, 0), (90_000, 10)):
        machine.host.check_output(f"setquota -P {uid} 0 {blocks} 0 {inodes} /")
        assert changed(run(playbooks, LIMIT_MB, "--check")) == 1
        assert look(machine)["limit"] != [LIMIT_MB, LIMIT_MB * 64]
        assert changed(run(playbooks, LIMIT_MB)) == 1
        assert look(machine)["limit"] == [LIMIT_MB, LIMIT_MB * 64]


@pytest.fixture
def no_quotas(machine: Server) -> Iterator[None]:
    """The data of the application is on a file system without project quotas."""
    machine.host.check_output("mount -t tmpfs tmpfs /var/lib/shop")
    yield
    machine.host.check_output("umount /var/lib/shop")


def test_a_limit_that_cannot_be_kept_is_refused(playbooks: Playbooks, no_quotas: None) -> None:
    result = run(playbooks, LIMIT_MB)
    assert result.rc and result.count("changed")["quota"] == 0
    assert f"app_release_disk_max_mb is {LIMIT_MB}, and the file system of /var/lib/shop does not enforce project quotas." in result.words


def test_without_quotas_the_default_changes_nothing(playbooks: Playbooks, no_quotas: None) -> None:
    result = run(playbooks, None, "--check")
    assert result.rc == 0 and "limit" not in result.output, result.output


def test_a_limit_that_is_taken_back_is_gone_and_its_number_too(machine: Server, playbooks: Playbooks) -> None:
    assert changed(run(playbooks, 0)) > 0
    now = look(machine)
    assert (now["limit"], now["project"], now["drop_in"]) == ([0, 0], "0", False)
    assert fill(machine, LIMIT_MB * 2) == [LIMIT_MB * 2, 0]
    assert changed(run(playbooks, 0)) == 0


def test_a_number_of_others_is_not_taken(machine: Server, playbooks: Playbooks) -> None:
    machine.host.check_output(f"echo films:{look(machine)['uid']} > /etc/projid")
    result = run(playbooks, LIMIT_MB)
    assert result.rc and "/etc/projid has the number" in result.words
    result = run(playbooks, None)
    assert changed(result) == 0 and "The disk space of shop has no limit: /etc/projid has the number" in result.words
    assert look(machine)["project"] == "0"
    machine.host.check_output("rm /etc/projid")


def test_the_removal_of_an_application_removes_its_limit(machine: Server, playbooks: Playbooks) -> None:
    assert changed(run(playbooks, LIMIT_MB)) > 0
    uid = look(machine)["uid"]
    result = playbooks.good("remove", app="shop", confirm="shop")
    assert "the limit of the disk space of shop" in result.output
    assert not [line for line in machine.host.check_output("repquota -P -n /").splitlines() if line.startswith(f"#{uid} ")]
    assert machine.host.check_output("lsattr -pd /var/lib/shop.removed-*").split()[0] == "0"
