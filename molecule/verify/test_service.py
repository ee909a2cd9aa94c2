"""Inside the running service: the privileges of its processes, tested and not read from a unit file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

# The kernel's view of every process of the live unit.
PROCESSES = r'''
import pwd
instance, unit = live(GIVEN["app"])
found = []
for pid in processes(unit):
    status = dict(line.split(":\t", 1) for line in open("/proc/%d/status" % pid).read().splitlines() if ":\t" in line)
    sockets = {os.readlink(fd)[8:-1] for fd in glob.glob("/proc/%d/fd/*" % pid)
               if os.path.islink(fd) and os.readlink(fd).startswith("socket:[")}
    tcp = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in open("/proc/%d/net/%s" % (pid, table)).read().splitlines()[1:]:
            fields = line.split()
            if fields[9] in sockets and fields[3] in ("0A", "07"):
                tcp.append(fields[1])
    found.append({
        "pid": pid, "user": pwd.getpwuid(int(status["Uid"].split()[0]))[0], "uids": sorted(set(status["Uid"].split())),
        "groups": status["Groups"].split(), "gid": status["Gid"].split()[0],
        "seccomp": int(status["Seccomp"]), "no_new_privileges": int(status["NoNewPrivs"]),
        "capabilities": [status[key].strip("0") for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
        "listens": tcp, "user_namespace": os.readlink("/proc/%d/ns/user" % pid) != os.readlink("/proc/1/ns/user"),
        "mounts": [[line.split()[4], line.split()[5].split(",")[0]] for line in open("/proc/%d/mountinfo" % pid)],
        "umask": status["Umask"].strip(), "scheduling": [os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/%d/task" % pid)],
        "interfaces": [line.split(":")[0].strip() for line in open("/proc/%d/net/dev" % pid).read().splitlines()[2:]]})
units = {name: output("systemctl", "is-enabled", name).decode().strip()
         for name in (unit, unit.replace(".service", ".socket"), "nginx.service")}
control = glob.glob("/var/lib/%s/**/gunicorn.ctl" % GIVEN["app"], recursive=True) + glob.glob("/run/**/gunicorn.ctl", recursive=True)
print(json.dumps({"unit": unit, "processes": found, "enabled": units, "control_sockets": control,
                  "restarts": properties(unit, "NRestarts", "ActiveState", "FragmentPath")}))
'''

# A program that runs where the service runs: its mounts, its account, no capabilities.
AS_THE_SERVICE = r'''
import pwd
def as_the_service(app, program, *arguments):
    pid = properties(live(app)[1], "MainPID")["MainPID"]
    account = pwd.getpwnam(app)
    argv = ["nsenter", "--target", pid, "--mount", "--", "setpriv", "--reuid", str(account.pw_uid),
            "--regid", str(account.pw_gid), "--clear-groups", "--no-new-privs", "--inh-caps=-all",
            "--bounding-set=-all", "python3", "-c", program, json.dumps(arguments)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/")
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    return json.loads(done.stdout)
'''

# Tries, from there, to write, to read and to connect; the answer is an errno's name, or "done".
TRIES = AS_THE_SERVICE + r'''
PROGRAM = """
import errno, json, os, socket, sys
given, = json.loads(sys.argv[1])
def attempt(what):
    try:
        what()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]
def write(folder):
    path = folder + "/.bulwark-verify"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.unlink(path)
def connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
print(json.dumps({
    "write": {path: attempt(lambda: write(path)) for path in given["write"]},
    "read": {path: attempt(lambda: os.listdir(path) if os.path.isdir(path) else open(path, "rb").close())
             for path in given["read"]},
    "connect": {path: attempt(lambda: connect(path)) for path in given["connect"]},
    "pids": [int(name) for name in os.listdir("/proc") if name.isdigit()],
    "shared": [path for path in given["shared_files"] if os.path.exists(path)]}))
"""
app, others = GIVEN["app"], GIVEN["others"]
shared_files = ["%s/.bulwark-verify-%d" % (folder, os.getpid()) for folder in ("/tmp", "/var/tmp", "/dev/shm")]
for path in shared_files:
    open(path, "w").close()
try:
    secrets = [os.path.join("/etc/flask-secrets", name) for name in os.listdir("/etc/flask-secrets")]
    private = [os.path.realpath("/etc/ssl/acme-cert/%s/privkey.pem" % name) for name in [app] + others]
    answer = as_the_service(app, PROGRAM, {
        "write": ["/", "/etc", "/usr", "/usr/local/bin", "/var", "/var/lib", "/var/log", "/var/spool", "/srv", "/srv/" + app,
                  "/srv/%s/current/release/src" % app, "/srv/%s/current/release/venv" % app, "/opt", "/run", "/run/lock",
                  "/home", "/root", "/sys", "/proc/sys/kernel", "/boot", "/var/lib/" + app, "/tmp"],
        "read": secrets + private + ["/etc/flask-secrets", "/etc/shadow", "/root", "/home", "/etc/ssh", "/etc/nginx"]
                + [path % other for other in others for path in ("/srv/%s", "/srv/%s/current/release/src", "/var/lib/%s")],
        "connect": ["/srv/%s/current/gunicorn.sock" % other for other in others]
                   + ["/run/dbus/system_bus_socket", "/run/systemd/private"], "shared_files": shared_files})
finally:
    for path in shared_files:
        os.unlink(path)
answer["others_exist"] = all(os.path.exists("/srv/%s/current/gunicorn.sock" % other) for other in others)
print(json.dumps(answer))
'''

# Access to the application's socket, tested as each account.
SOCKET = r'''
import pwd
PROGRAM = "import socket,sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])"
path = "/srv/%s/current/gunicorn.sock" % GIVEN["app"]
def reaches(account):
    entry = pwd.getpwnam(account)
    return subprocess.run(["setpriv", "--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--clear-groups",
                           "python3", "-c", PROGRAM, path], stderr=subprocess.DEVNULL).returncode == 0
accounts = ["www-data", "nobody"] + GIVEN["others"]
print(json.dumps({"mode": mode(path), "reaches": {account: reaches(account) for account in accounts}}))
'''

# Every unix socket that the service can connect to: those of its file system, and abstract ones of its network.
REACHABLE = AS_THE_SERVICE + r'''
PROGRAM = """
import json, os, socket, stat
def connects(path):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as client:
            try:
                client.connect(path)
                return True
            except OSError:
                continue
    return False
found = []
for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys", "/usr")]
    found += [path for path in (os.path.join(folder, name) for name in names)
              if len(path) < 108 and stat.S_ISSOCK(os.lstat(path).st_mode) and connects(path)]
names = {line.split()[7] for line in open("/proc/net/unix") if len(line.split()) == 8}
found += sorted(name for name in names if name.startswith("@") and connects("\\0" + name[1:]))
print(json.dumps(found))
"""
print(json.dumps(as_the_service(GIVEN["app"], PROGRAM)))
'''

# Paths that the unit hides and the host has, and those of them that the live instance sees.
HIDDEN = r'''
unit = live(GIVEN["app"])[1]
shown = properties(unit, "InaccessiblePaths", "MainPID")
hidden = [path for path in (word.lstrip("-") for word in shown["InaccessiblePaths"].split()) if os.path.exists(path)]
mounts = {line.split()[4] for line in open("/proc/%s/mountinfo" % shown["MainPID"])}
print(json.dumps({"hidden": hidden, "seen": [path for path in hidden if os.path.realpath(path) not in mounts]}))
'''

# Units that have failed, at the boot or since. A container loads no kernel modules.
FAILED = '''
lines = output("systemctl", "list-units", "--failed", "--no-legend", "--plain").decode().splitlines()
print(json.dumps([line for line in lines if not line.startswith("systemd-modules-load.service ")]))
'''

ACCOUNT = r'''
import pwd
account = pwd.getpwnam(GIVEN["app"])
shadow = [line.split(":")[1] for line in open("/etc/shadow") if line.startswith(GIVEN["app"] + ":")]
print(json.dumps({"shell": account.pw_shell, "uid": account.pw_uid, "password": shadow[0][:1],
                  "groups": output("id", "-Gn", GIVEN["app"]).decode().split()}))
'''


@pytest.fixture
def processes(site: Any, remember: Callable[..., Any]) -> Any:
    """The kernel's view of the live unit's processes."""
    return remember(site, PROCESSES)


@pytest.fixture
def tries(site: Any, remember: Callable[..., Any]) -> Any:
    """The privileges of the service, tested."""
    others = [name for name in site.server.app_names if name != site.name]
    return remember(site, TRIES, others=others)


def test_every_process_runs_as_the_applications_own_account(site: Any, processes: Any) -> None:
    assert len(processes["processes"]) >= 2, "a master and at least one worker"
    for process in processes["processes"]:
        assert process["user"] == site.name
        assert len(process["uids"]) == 1
        assert set(process["groups"]) <= {process["gid"]}, "it is in another group"


def test_the_account_cannot_log_in(site: Any, remember: Callable[..., Any]) -> None:
    account = remember(site, ACCOUNT)
    assert account["shell"] in ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false")
    assert 0 < account["uid"] < 1000
    assert account["password"] in ("!", "*")
    assert account["groups"] == [site.name]


def test_every_process_is_under_a_system_call_filter(processes: Any) -> None:
    assert {process["seccomp"] for process in processes["processes"]} == {2}


def test_no_process_has_or_can_get_a_capability(processes: Any) -> None:
    for process in processes["processes"]:
        assert process["capabilities"] == [""] * 5
        assert process["no_new_privileges"] == 1


def test_the_service_has_a_user_namespace_of_its_own(processes: Any) -> None:
    assert all(process["user_namespace"] for process in processes["processes"])


def test_files_it_makes_are_private(processes: Any) -> None:
    assert {process["umask"] for process in processes["processes"]} == {"0077"}


def test_it_interrupts_no_process_that_wakes_it(processes: Any) -> None:
    assert {policy for process in processes["processes"] for policy in process["scheduling"]} == {os.SCHED_BATCH}


def test_nothing_but_the_state_directory_and_private_memory_is_mounted_writable(site: Any, processes: Any) -> None:
    # Files in /proc and /sys belong to root, which is not mapped; a write is tested below.
    allowed = ("/tmp", "/var/tmp", "/dev", "/proc", "/sys", f"/var/lib/{site.name}", *site.app.writable_paths)
    for process in processes["processes"]:
        writable = [path for path, option in process["mounts"] if option == "rw"]
        assert [path for path in writable if not (path + "/").startswith(tuple(a + "/" for a in allowed))] == []


def test_it_can_write_its_state_directory(site: Any, tries: Any) -> None:
    assert tries["write"][f"/var/lib/{site.name}"] == "done"
    assert tries["write"]["/tmp"] == "done"


def test_it_can_write_nowhere_else(site: Any, tries: Any) -> None:
    written = {path for path, result in tries["write"].items() if result == "done"}
    assert written == {f"/var/lib/{site.name}", "/tmp"}


@pytest.mark.parametrize("path", ["/", "/etc", "/usr", "/srv/{app}/current/release/src", "/run/lock", "/var/lib", "/opt"])
def test_a_write_is_refused_by_the_mount_and_not_by_a_mode_only(site: Any, tries: Any, path: str) -> None:
    assert tries["write"][path.format(app=site.name)] == "EROFS"


def test_its_temporary_directories_and_its_shared_memory_are_its_own(tries: Any) -> None:
    assert tries["shared"] == []


def test_it_can_read_no_secret_file_not_even_its_own(tries: Any) -> None:
    secrets = {path: result for path, result in tries["read"].items() if "secrets" in path or "privkey" in path}
    assert any(path.endswith(".env") for path in secrets)
    assert {result for result in secrets.values()} <= {"EACCES", "ENOENT"}, secrets


def test_it_can_read_no_configuration_of_others(tries: Any) -> None:
    for path in ("/etc/shadow", "/root", "/etc/ssh", "/etc/nginx"):
        assert tries["read"][path] in ("EACCES", "ENOENT"), path


@pytest.mark.where(lambda site: len(site.server.app_names) > 1)
def test_it_cannot_see_files_of_other_applications(site: Any, tries: Any) -> None:
    others = [name for name in site.server.app_names if name != site.name]
    assert tries["others_exist"]
    for other in others:
        assert tries["read"][f"/srv/{other}"] == "ENOENT"
        assert tries["read"][f"/var/lib/{other}"] == "ENOENT"
        assert tries["connect"][f"/srv/{other}/current/gunicorn.sock"] == "ENOENT"


def test_it_reaches_no_system_bus(tries: Any) -> None:
    for path in ("/run/dbus/system_bus_socket", "/run/systemd/private"):
        assert tries["connect"][path] in ("EACCES", "ENOENT", "ECONNREFUSED"), path


# The start of a service is reported to systemd, and the journal is the application's own. Databases have access controls of their own.
REACHABLE_SOCKETS = ("/run/systemd/notify", "/run/systemd/journal/", "/run/session-stores/", "/run/postgresql/", "/run/mysqld/")


def test_it_connects_to_no_socket_beyond_a_list(site: Any, remember: Callable[..., Any]) -> None:
    found = remember(site, REACHABLE)
    assert "/run/systemd/notify" in found, "it found none"
    assert [path for path in found if not path.startswith(REACHABLE_SOCKETS)] == []


def test_what_is_hidden_from_it_was_there_before_it(site: Any, remember: Callable[..., Any]) -> None:
    found = remember(site, HIDDEN)
    assert "/etc/flask-secrets" in found["hidden"]
    assert found["seen"] == [], "these were made after its start, and it sees them"


def test_no_unit_of_the_host_has_failed(server: Any) -> None:
    assert server.ask(FAILED) == []


def test_it_cannot_see_processes_of_other_accounts(processes: Any, tries: Any) -> None:
    assert 1 not in tries["pids"]
    own = {process["pid"] for process in processes["processes"]}
    assert len(set(tries["pids"]) - own) <= 1, "more than the probe itself"


def test_it_listens_on_no_network_port(processes: Any) -> None:
    assert [process["listens"] for process in processes["processes"]] == [[]] * len(processes["processes"])


@pytest.mark.where(lambda site: site.app.profile == "isolated")
def test_an_isolated_application_has_no_network(site: Any, processes: Any) -> None:
    assert {tuple(process["interfaces"]) for process in processes["processes"]} == {("lo",)}


def test_only_the_web_server_reaches_its_socket(site: Any, remember: Callable[..., Any]) -> None:
    others = [name for name in site.server.app_names if name != site.name]
    socket = remember(site, SOCKET, others=others)
    assert socket["mode"] == "root:www-data 0660"
    assert [account for account, reached in socket["reaches"].items() if reached] == ["www-data"]


def test_gunicorn_has_no_control_socket(processes: Any) -> None:
    assert processes["control_sockets"] == []


def test_a_reboot_brings_it_back(processes: Any) -> None:
    assert set(processes["enabled"].values()) == {"enabled"}, processes["enabled"]


def test_it_runs_steadily(processes: Any) -> None:
    assert processes["restarts"]["ActiveState"] == "active"
    assert processes["restarts"]["NRestarts"] == "0"
