"""The session store of an application: privileges of its process, access to it, and its commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

# The state of the store's process and unit.
STORE = r'''
import pwd
app = GIVEN["app"]
unit = "session-store@%s.service" % app
state, runtime = "/var/lib/session-stores/" + app, "/run/session-stores/" + app
found = []
for pid in processes(unit):
    status = dict(line.split(":\t", 1) for line in open("/proc/%d/status" % pid).read().splitlines() if ":\t" in line)
    listening = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        listening += [line.split()[1] for line in open("/proc/%d/net/%s" % (pid, table)).read().splitlines()[1:]]
    found.append({
        "user": pwd.getpwuid(int(status["Uid"].split()[0]))[0], "groups": status["Groups"].split(), "gid": status["Gid"].split()[0],
        "seccomp": int(status["Seccomp"]), "no_new_privileges": int(status["NoNewPrivs"]),
        "capabilities": [status[key].strip("0") for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
        "listens": listening, "interfaces": [line.split(":")[0].strip() for line in open("/proc/%d/net/dev" % pid).read().splitlines()[2:]],
        "user_namespace": os.readlink("/proc/%d/ns/user" % pid) != os.readlink("/proc/1/ns/user")})
WRITE = """
import errno, json, os, sys
def attempt(folder):
    path = folder + "/.bulwark-verify"
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.unlink(path)
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]
print(json.dumps({folder: attempt(folder) for folder in sys.argv[1:]}))
"""
account = pwd.getpwnam(app)
folders = ["/", "/etc", "/etc/session-store", "/usr", "/var", "/var/lib", "/var/log", "/srv", "/opt", "/home", "/run", "/run/lock", "/dev/shm",
           "/var/lib/" + app, state, runtime]
wrote = json.loads(output(
    "nsenter", "--target", properties(unit, "MainPID")["MainPID"], "--mount", "--", "setpriv", "--reuid", str(account.pw_uid),
    "--regid", str(account.pw_gid), "--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all",
    "python3", "-c", WRITE, *folders))
exposure = output("systemd-analyze", "security", "--no-pager", unit).decode()
print(json.dumps({
    "processes": found, "wrote": wrote, "exposure": float(re.search(r"exposure level for [^:]*: ([\d.]+)", exposure).group(1)),
    "modes": [mode(path) for path in (runtime, runtime + "/session-store.sock", state)],
    "unit": properties(unit, "NRestarts", "ActiveState", "Slice", "UpheldBy")}))
'''

# Connections as other accounts.
OTHERS = r'''
import pwd
PROGRAM = """
import errno, json, socket, sys
try:
    s = socket.socket(socket.AF_UNIX)
    s.connect("/run/session-stores/%s/session-store.sock" % sys.argv[1])
    s.sendall(b"PING\\r\\n")
    print(json.dumps(s.recv(100).decode()))
except OSError as error:
    print(json.dumps(errno.errorcode[error.errno]))
"""
def answers(account):
    entry = pwd.getpwnam(account)
    return json.loads(output("setpriv", "--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--clear-groups",
                             "python3", "-c", PROGRAM, GIVEN["app"]))
print(json.dumps({account: answers(account) for account in ["www-data", "nobody", GIVEN["app"] + "-build", *GIVEN["others"]]}))
'''

# What an application can do, from its own sandbox, with its own address of the store.
AS_THE_APPLICATION = r'''
import pwd
def ask(app, commands):
    pid = properties(live(app)[1], "MainPID")["MainPID"]
    url = environment(int(pid))[b"FLASK_SESSION_STORE_URL"].decode()
    account = pwd.getpwnam(app)
    done = subprocess.run(
        ["nsenter", "--target", pid, "--mount", "--", "setpriv", "--reuid", str(account.pw_uid), "--regid", str(account.pw_gid),
         "--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "python3", "-c", PROGRAM],
        input=json.dumps([url, commands]).encode(), stdout=subprocess.PIPE, cwd="/")
    return json.loads(done.stdout)
PROGRAM = """
import json, socket, sys
url, commands = json.load(sys.stdin)
s = socket.socket(socket.AF_UNIX)
s.connect(url.replace("unix://", ""))
def ask(*words):
    s.sendall(b"*%d\\r\\n" % len(words) + b"".join(b"$%d\\r\\n%s\\r\\n" % (len(w.encode()), w.encode()) for w in words))
    return s.recv(65536).decode().split("\\r\\n")[0]
print(json.dumps([ask(*command) for command in commands]))
"""
print(json.dumps(ask(GIVEN["app"], GIVEN["commands"])))
'''

FORBIDDEN = [
    "CONFIG GET maxmemory", "CONFIG SET maxmemory 0", "MONITOR", "CLIENT LIST", "CLIENT KILL TYPE normal", "ACL LIST", "ACL SETUSER x on",
    "EVAL return 0", "EVALSHA x 0", "SCRIPT LOAD x", "FUNCTION LIST", "MODULE LIST", "SAVE", "BGSAVE", "SHUTDOWN NOSAVE",
    "REPLICAOF x 1", "SYNC", "LATENCY LATEST", "SLOWLOG GET", "PUBLISH x y", "SUBSCRIBE x", "RESTORE x 0 x",
    "MIGRATE x 1 x 0 1", "SWAPDB 0 1",
]


pytestmark = pytest.mark.where(lambda site: site.app.session_store)


@pytest.fixture
def store(site: Any, remember: Callable[..., Any]) -> Any:
    """The state of the store in the kernel, in systemd and on disk."""
    return remember(site, STORE)


@pytest.fixture
def ask(site: Any, remember: Callable[..., Any]) -> Callable[..., list[str]]:
    """Give commands as the application; the answer to each."""
    return lambda *commands: remember(site, AS_THE_APPLICATION, commands=[command.split() for command in commands])


def test_the_store_runs_as_the_application_under_a_filter_and_without_privileges(site: Any, store: Any) -> None:
    for process in store["processes"]:
        assert process["user"] == site.name
        assert set(process["groups"]) <= {process["gid"]}
        assert (process["seccomp"], process["no_new_privileges"]) == (2, 1)
        assert process["capabilities"] == [""] * 5
        assert process["user_namespace"]
    assert len(store["processes"]) >= 1


def test_the_store_has_no_network(store: Any) -> None:
    for process in store["processes"]:
        assert process["interfaces"] == ["lo"], "a network of its own"
        assert process["listens"] == []


def test_the_store_writes_its_two_directories_and_nothing_else(site: Any, store: Any) -> None:
    own = {f"/var/lib/session-stores/{site.name}", f"/run/session-stores/{site.name}"}
    assert {folder for folder, result in store["wrote"].items() if result == "done"} == own
    refused = {folder: result for folder, result in store["wrote"].items() if folder not in own}
    assert {refused[folder] for folder in ("/etc", "/usr", "/var", "/run/lock", "/etc/session-store", "/srv", "/opt")} == {"EROFS"}, refused
    assert refused[f"/var/lib/{site.name}"] == "ENOENT", "the data of the application"


def test_systemd_finds_little_to_say_about_its_sandbox(store: Any) -> None:
    assert store["exposure"] <= 2.0


def test_only_the_application_can_use_its_socket_and_its_data(site: Any, store: Any) -> None:
    assert store["modes"] == [f"{site.name}:{site.name} {mode}" for mode in ("0700", "0600", "0700")]


def test_the_store_runs_with_its_application_within_the_limits_of_all(site: Any, store: Any) -> None:
    unit = store["unit"]
    assert (unit["NRestarts"], unit["ActiveState"], unit["Slice"]) == ("0", "active", "flask_apps.slice")
    assert f"gunicorn-{site.name}@" in unit["UpheldBy"]


def test_other_accounts_cannot_connect(site: Any, remember: Callable[..., Any]) -> None:
    others = [name for name in site.server.app_names if name != site.name]
    assert set(remember(site, OTHERS, others=others).values()) == {"EACCES"}


def test_an_application_uses_its_store(ask: Callable[..., list[str]]) -> None:
    answers = ask("SET verify x EX 5", "GET verify", "INCRBY verify-count 1", "EXPIRE verify-count 5 NX",
                  "MULTI", "EXEC", "TTL verify", "DEL verify verify-count")
    assert answers == ["+OK", "$1", ":1", ":1", "+OK", "*0", ":5", ":2"]


# On a store that lets them through these would do harm.
@pytest.mark.intrusive
@pytest.mark.parametrize("command", FORBIDDEN)
def test_an_application_has_no_command_beyond_its_data(command: str, ask: Callable[..., list[str]]) -> None:
    answers = dict(zip(FORBIDDEN, ask(*FORBIDDEN)))
    assert answers[command].startswith("-NOPERM"), answers[command]
