"""The session store: privileges of its process, access to it, and permissions of an application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

# The state of the store's process and unit, and its users on disk.
STORE = r'''
import grp, hashlib, pwd
unit = "session-store.service"
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
account = pwd.getpwnam("session-store")
folders = ["/", "/etc", "/etc/session-store", "/usr", "/var", "/var/lib", "/var/log", "/srv", "/opt", "/home", "/run", "/run/lock", "/dev/shm",
           "/var/lib/session-store", "/run/session-store"]
wrote = json.loads(output(
    "nsenter", "--target", properties(unit, "MainPID")["MainPID"], "--mount", "--", "setpriv", "--reuid", str(account.pw_uid),
    "--regid", str(account.pw_gid), "--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all",
    "python3", "-c", WRITE, *folders))
directory, users = "/etc/session-store", open("/etc/session-store/users.acl").read()
hashes = {}
for path in glob.glob("/etc/flask-secrets/*.session.env"):
    password = re.search(r":([\w-]{43,})@", open(path).read()).group(1)
    hashes[os.path.basename(path).split(".")[0]] = {
        "mode": mode(path), "hashed": "#" + hashlib.sha256(password.encode()).hexdigest() in users, "plain": password in users}
exposure = output("systemd-analyze", "security", "--no-pager", unit).decode()
print(json.dumps({
    "processes": found, "wrote": wrote, "exposure": float(re.search(r"exposure level for [^:]*: ([\d.]+)", exposure).group(1)),
    "modes": {path: mode(path) for path in ("/run/session-store", "/run/session-store/session-store.sock", "/var/lib/session-store",
                                            directory + "/users.acl", directory + "/root.password")},
    "credentials": hashes, "enabled": output("systemctl", "is-enabled", unit).decode().strip(),
    "restarts": properties(unit, "NRestarts", "ActiveState")}))
'''

# Connections as different accounts and groups, and without a password.
OTHER_ACCOUNTS = r'''
import pwd
PROGRAM = """
import errno, json, socket, sys
try:
    s = socket.socket(socket.AF_UNIX)
    s.connect("/run/session-store/session-store.sock")
    answers = []
    for command in ("PING", "GET shop:x", "AUTH default x", "ACL LIST", "INFO"):
        s.sendall(command.encode() + b"\\r\\n")
        answers.append(s.recv(4096).decode().split()[0])
    print(json.dumps(answers))
except OSError as error:
    print(json.dumps(errno.errorcode[error.errno]))
"""
def answers(account, *groups):
    entry = pwd.getpwnam(account)
    return json.loads(output("setpriv", "--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid),
                             *(groups or ["--clear-groups"]), "python3", "-c", PROGRAM))
accounts = ["www-data", "nobody", GIVEN["app"], GIVEN["app"] + "-build"]
print(json.dumps({"outside": {account: answers(account) for account in accounts},
                  "inside": answers(GIVEN["app"], "--groups", "session-store")}))
'''

# Permissions of an application, from its own sandbox, with its own address of the store.
AS_THE_APPLICATION = r'''
import pwd
def ask(app, commands):
    pid = properties(live(app)[1], "MainPID")["MainPID"]
    url = environment(int(pid))[b"FLASK_SESSION_STORE_URL"].decode()
    account = pwd.getpwnam(app)
    done = subprocess.run(
        ["nsenter", "--target", pid, "--mount", "--", "setpriv", "--reuid", str(account.pw_uid), "--regid", str(account.pw_gid),
         "--groups", "session-store", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "python3", "-c", PROGRAM],
        input=json.dumps([url, commands]).encode(), stdout=subprocess.PIPE, cwd="/")
    return json.loads(done.stdout)
PROGRAM = """
import json, re, socket, sys
url, commands = json.load(sys.stdin)
user, password, path = re.fullmatch(r"unix://([^:]+):([^@]+)@([^?]+)", url).groups()
s = socket.socket(socket.AF_UNIX)
s.connect(path)
def ask(*words):
    s.sendall(b"*%d\\r\\n" % len(words) + b"".join(b"$%d\\r\\n%s\\r\\n" % (len(w.encode()), w.encode()) for w in words))
    return s.recv(65536).decode().split("\\r\\n")[0]
print(json.dumps([ask("AUTH", user, password)] + [ask(*command) for command in commands]))
"""
print(json.dumps(ask(GIVEN["app"], GIVEN["commands"])))
'''

FORBIDDEN = [
    "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "CONFIG GET maxmemory", "INFO", "MONITOR",
    "CLIENT LIST", "CLIENT KILL TYPE normal", "ACL LIST", "ACL SETUSER x on", "EVAL return 0", "EVALSHA x 0", "SCRIPT LOAD x",
    "FUNCTION LIST", "MODULE LIST", "SAVE", "BGSAVE", "SHUTDOWN NOSAVE", "REPLICAOF x 1", "SYNC", "LATENCY LATEST",
    "SLOWLOG GET", "PUBLISH x y", "SUBSCRIBE x", "SORT {app}:x", "RESTORE {app}:x 0 x", "DUMP {app}:x", "RENAME {app}:x {app}:y",
    "COPY {app}:x {app}:y", "OBJECT ENCODING {app}:x", "MIGRATE x 1 x 0 1", "LPUSH {app}:x y",
]


pytestmark = pytest.mark.where(lambda site: site.app.session_store)


@pytest.fixture
def store(site: Any, remember: Callable[..., Any]) -> Any:
    """The state of the store in the kernel, in systemd and on disk."""
    return remember(site.server, STORE)


@pytest.fixture
def ask(site: Any, remember: Callable[..., Any]) -> Callable[..., list[str]]:
    """Give commands as the application; the answer to each, the first is that to its password."""
    return lambda *commands: remember(site, AS_THE_APPLICATION, commands=[command.format(app=site.name).split() for command in commands])


def test_the_store_runs_as_its_own_account_under_a_filter_and_without_privileges(store: Any) -> None:
    for process in store["processes"]:
        assert process["user"] == "session-store"
        assert set(process["groups"]) <= {process["gid"]}
        assert (process["seccomp"], process["no_new_privileges"]) == (2, 1)
        assert process["capabilities"] == [""] * 5
        assert process["user_namespace"]
    assert len(store["processes"]) >= 1


def test_the_store_has_no_network(store: Any) -> None:
    for process in store["processes"]:
        assert process["interfaces"] == ["lo"], "a network of its own"
        assert process["listens"] == []


def test_the_store_writes_its_two_directories_and_nothing_else(store: Any) -> None:
    own = {"/var/lib/session-store", "/run/session-store"}
    assert {folder for folder, result in store["wrote"].items() if result == "done"} == own
    refused = {folder: result for folder, result in store["wrote"].items() if folder not in own}
    assert {refused[folder] for folder in ("/etc", "/usr", "/var", "/run/lock", "/etc/session-store", "/srv", "/opt")} == {"EROFS"}, refused


def test_systemd_finds_little_to_say_about_its_sandbox(store: Any) -> None:
    assert store["exposure"] <= 2.0


def test_only_its_group_can_use_the_socket_and_only_the_store_its_data(store: Any) -> None:
    assert store["modes"] == {
        "/run/session-store": "session-store:session-store 0750",
        "/run/session-store/session-store.sock": "session-store:session-store 0770",
        "/var/lib/session-store": "session-store:session-store 0700",
        "/etc/session-store/users.acl": "session-store:root 0400",
        "/etc/session-store/root.password": "root:root 0600"}


def test_passwords_are_roots_alone_and_the_store_has_their_hashes(site: Any, store: Any) -> None:
    assert set(store["credentials"]) >= {site.name}
    for found in store["credentials"].values():
        assert found == {"mode": "root:root 0600", "hashed": True, "plain": False}


def test_the_store_comes_back_after_a_reboot_and_runs_steadily(store: Any) -> None:
    assert store["enabled"] == "enabled"
    assert store["restarts"] == {"NRestarts": "0", "ActiveState": "active"}


def test_other_accounts_cannot_connect(site: Any, remember: Callable[..., Any]) -> None:
    assert set(remember(site, OTHER_ACCOUNTS)["outside"].values()) == {"EACCES"}


def test_the_store_requires_a_password(site: Any, remember: Callable[..., Any]) -> None:
    assert remember(site, OTHER_ACCOUNTS)["inside"] == ["-NOAUTH", "-NOAUTH", "-WRONGPASS", "-NOAUTH", "-NOAUTH"]


def test_an_application_can_use_only_keys_with_its_name(ask: Callable[..., list[str]]) -> None:
    answers = ask("SET {app}:verify x EX 5", "GET {app}:verify", "INCRBY {app}:verify-count 1", "EXPIRE {app}:verify-count 5 NX",
                  "MULTI", "EXEC", "TTL {app}:verify", "DEL {app}:verify {app}:verify-count")
    assert answers == ["+OK", "+OK", "$1", ":1", ":1", "+OK", "*0", ":5", ":2"]


def test_an_application_cannot_use_keys_of_another_one(ask: Callable[..., list[str]]) -> None:
    commands = [f"{command} {key}" for key in ("another:session:x", "{app}", "{app}x:y", "session:x")
                for command in ("GET", "DEL", "TTL", "SET x:y", "MGET {app}:x")]
    answers = ask(*commands)
    assert answers[0] == "+OK"
    assert {answer.split()[0] for answer in answers[1:]} == {"-NOPERM"}, dict(zip(commands, answers[1:]))


# On a store that lets them through these would do harm.
@pytest.mark.intrusive
@pytest.mark.parametrize("command", FORBIDDEN)
def test_an_application_has_no_command_beyond_its_own_keys(command: str, ask: Callable[..., list[str]]) -> None:
    answers = dict(zip(["AUTH", *FORBIDDEN], ask(*FORBIDDEN)))
    assert answers["AUTH"] == "+OK"
    assert answers[command].startswith("-NOPERM"), answers[command]
