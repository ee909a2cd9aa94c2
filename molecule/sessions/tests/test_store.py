"""The store and the shop together: restarts, access, and independence of applications."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

COOKIE = "__Host-shop"
# A connection of the application `third`, as the host's root with its address of the store.
AS_ROOT = r'''
import socket
url = re.search(r'"(unix://.*)"', open("/etc/flask-secrets/%s.session.env" % GIVEN["app"]).read()).group(1) if GIVEN["url"] is None else GIVEN["url"]
user, password, path = re.fullmatch(r"unix://([^:]+):([^@]+)@(.+)", url).groups()
s = socket.socket(socket.AF_UNIX)
s.connect(path)
answers = []
for command in (["AUTH", user, password], ["SET", user + ":x", "1", "EX", "5"]):
    s.sendall(("\r\n".join(["*%d" % len(command)] + ["$%d\r\n%s" % (len(word), word) for word in command]) + "\r\n").encode())
    answers.append(s.recv(4096).decode().strip())
print(json.dumps({"url": url, "answers": answers}))
'''
FIND = r'''
found = []
for path in glob.glob("/etc/flask-secrets/*.session.env"):
    found.append(re.search(r":([\w-]{43,})@", open(path).read()).group(1))
found.append(open("/etc/session-store/root.password").read().strip())
text = b"".join(output("journalctl", "--no-pager", "-o", "export", *more) for more in ([], ["--namespace=*"]))
lines = b"".join(open(path, "rb").read() for path in glob.glob("/proc/[0-9]*/cmdline"))
shown = output("systemctl", "show", "session-store.service", *["gunicorn-%s@*" % app for app in GIVEN["apps"]])
print(json.dumps({"places": [name for name, where in (("journal", text), ("argv", lines), ("systemctl show", shown))
                             for password in found if password.encode() in where],
                  "in_the_log": [hashlib.sha256(password.encode()).hexdigest() for password in found], "count": len(found)}))
'''


# 100 connections of an application that each ask for a gigabyte and read nothing.
UNREAD = r'''
import socket, time
url = re.search(r'"(unix://.*)"', open("/etc/flask-secrets/%s.session.env" % GIVEN["app"]).read()).group(1)
user, password, path = re.fullmatch(r"unix://([^:]+):([^@]+)@(.+)", url).groups()
def give(client, *words):
    client.sendall(b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in map(str.encode, words))]))
def connected():
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5)
    client.connect(path)
    give(client, "AUTH", user, password)
    client.recv(100)
    return client
def resident():
    pid = properties("session-store.service", "MainPID")["MainPID"]
    return int(re.search(r"VmRSS:\s+(\d+)", open("/proc/%s/status" % pid).read()).group(1)) // 1024
first, held, peak = connected(), [], resident()
give(first, "SET", user + ":big", "x" * 1000000, "EX", "60")
first.recv(100)
for number in range(100):
    try:
        held.append(connected())
        give(held[-1], "MGET", *[user + ":big"] * 1000)
    except OSError:
        pass
    peak = max(peak, resident())
    if peak > 500:
        break
began, neighbour = time.monotonic(), connected()
give(neighbour, "PING")
print(json.dumps({"peak": max(peak, resident()), "tried": number + 1, "reply": neighbour.recv(10).decode(), "seconds": time.monotonic() - began}))
'''


class Browser:
    """A client of one site with cookies and a cart."""

    def __init__(self, site: Any) -> None:
        self.site, self.cookie, self.set_cookie = site, "", ""

    def send(self, path: str, method: str = "GET", **fields: str) -> Any:
        headers = {"Referer": f"https://{self.site.domain}/"}
        if self.cookie:
            headers["Cookie"] = f"{COOKIE}={self.cookie}"
        body = "&".join(f"{key}={value}" for key, value in fields.items()).encode() if fields else None
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        answer = self.site.get(path, method=method, headers=headers, body=body)
        for line in answer.all("set-cookie"):
            self.set_cookie = line
            self.cookie = line.split("=", 1)[1].split(";")[0]
        return answer

    def token(self) -> str:
        answer = self.send("/products/1")
        assert answer.status == 200, answer.status
        return re.search(rb'name="csrf_token"[^>]* value="([^"]+)"', answer.body)[1].decode()

    def choose(self, quantity: int = 2, token: str | None = None) -> Any:
        return self.send("/cart/1", "POST", quantity=str(quantity), csrf_token=token or self.token())

    @property
    def cart(self) -> str:
        answer = self.send("/cart")
        assert answer.status == 200, answer.status
        return "full" if b"49.00" in answer.body else "empty" if b"It is empty." in answer.body else "?"


@pytest.fixture
def browser(site: Any, cli: Callable[..., str]) -> Browser:
    """A client with a cart and without counted requests."""
    for key in cli(site.server, "KEYS", f"{site.name}:limits:*").splitlines():
        cli(site.server, "DEL", key)
    browser = Browser(site)
    assert browser.choose().status == 302
    assert browser.cart == "full"
    return browser


@pytest.fixture
def settings(site: Any, play: Callable[..., int]) -> Iterator[Callable[..., int]]:
    """Other settings of the store, for one test."""
    yield lambda **variables: play(site.server, **variables)
    play(site.server)


def pid(server: Any) -> str:
    return server.host.check_output("systemctl show --property=MainPID --value session-store")


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition; it fails after a time that a busy host does not need either."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.2)


# What is about the store and not about the application is asked for one of them.
once = pytest.mark.where(lambda site: site.name == "shop")


def test_a_session_is_json_in_the_store_and_a_random_id_in_the_cookie(browser: Browser, cli: Callable[..., str]) -> None:
    name, server = browser.site.name, browser.site.server
    assert len(browser.cookie) == 43
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(browser.set_cookie.split("; "))
    assert "Domain" not in browser.set_cookie
    keys = cli(server, "KEYS", f"{name}:session:*").splitlines()
    values = [cli(server, "GET", key) for key in keys]
    assert any('"cart":{"1":2}' in value.replace(" ", "") for value in values)
    assert all(0 < int(cli(server, "TTL", key)) <= 43200 for key in keys)
    assert not any(browser.cookie in text for text in keys + values)


def test_one_application_cannot_read_sessions_of_another(browser: Browser) -> None:
    for other in browser.site.server.target.apps:
        other_browser = Browser(type(browser.site)(browser.site.server, other))
        other_browser.cookie = browser.cookie
        assert other_browser.cart == ("full" if other.name == browser.site.name else "empty")


@once
def test_all_processes_share_the_count_of_a_client(browser: Browser, cli: Callable[..., str]) -> None:
    token = browser.token()
    answers = [browser.choose(token=token) for _ in range(36)]
    statuses = [answer.status for answer in answers]
    refused = [answer for answer in answers if answer.status == 429]
    # nginx has its own limit; a response of the application's limit is known by its header.
    assert statuses.index(429) == 29, statuses
    assert 0 < int(refused[0]["Retry-After"]) <= 60
    assert b"Too Many Requests" in refused[0].body and b"Traceback" not in refused[0].body
    (key,) = cli(browser.site.server, "KEYS", "shop:limits:*").splitlines()
    assert int(cli(browser.site.server, "GET", key)) >= 30
    assert 0 < int(cli(browser.site.server, "TTL", key)) <= 60


def test_another_redis_of_the_host_is_not_changed(server: Any) -> None:
    host = server.host
    cli = host.check_output("command -v valkey-cli || command -v redis-cli")
    unit = Path(cli).name.replace("-cli", "-server")
    assert host.check_output("cat /root/foreign-store") == host.check_output("systemctl show --property=MainPID %s", unit)
    assert host.check_output("%s get other", cli) == "else"
    assert host.check_output("%s -p 6379 config get port", cli).split() == ["port", "6379"]


def test_no_password_is_shown(server: Any, converge_log: bytes) -> None:
    found = server.ask("import hashlib\n" + FIND, apps=server.app_names)
    assert found["count"] == len(server.app_names) + 1
    assert found["places"] == []
    # The passwords do not leave the host: here are only their hashes, and every word of the log to compare.
    words = {word for word in re.findall(rb"[A-Za-z0-9_-]{64}", converge_log)}
    assert not {hashlib.sha256(word).hexdigest() for word in words} & set(found["in_the_log"])


def test_adding_and_removing_an_application_does_not_disturb_others(server: Any, cli: Callable[..., str], play: Callable[..., int]) -> None:
    def connections() -> set[str]:
        return {f"{found['id']} {found['user']}" for line in cli(server, "CLIENT", "LIST").splitlines()
                if (found := dict(word.split("=", 1) for word in line.split())) and found["user"] in server.app_names}

    for app in server.target.apps:
        assert server.outside.https(app.domain, "/healthz").status == 200
    before, running = connections(), pid(server)
    assert len(before) >= len(server.app_names)
    assert play(server, "--check", session_store_apps=[*server.app_names, "third"]) == 1
    assert not server.host.file("/etc/flask-secrets/third.session.env").exists
    assert play(server, session_store_apps=[*server.app_names, "third"]) == 1
    third = server.ask(AS_ROOT, app="third", url=None)
    assert third["answers"] == ["+OK", "+OK"]
    assert play(server, session_store_apps=[*server.app_names, "third"]) == 0
    assert play(server) == 0
    assert server.ask(AS_ROOT, app="third", url=third["url"])["answers"] == ["+OK", "+OK"]
    assert play(server, session_store_apps_absent=["third"]) == 1
    assert server.ask(AS_ROOT, app="third", url=third["url"])["answers"][0].startswith("-WRONGPASS")
    assert not server.host.file("/etc/flask-secrets/third.session.env").exists
    assert "user third" not in server.host.file("/etc/session-store/users.acl").content_string
    assert (connections() & before, pid(server)) == (before, running)
    assert play(server, "--check") == 0


def test_users_that_were_changed_are_corrected(server: Any, cli: Callable[..., str], play: Callable[..., int]) -> None:
    cli(server, "ACL", "SETUSER", "shop", "~*", "nopass")
    cli(server, "ACL", "SETUSER", "guest", "on", "nopass", "+@all")
    cli(server, "ACL", "SETUSER", "default", "on", "nopass", "~*", "+@all")
    assert play(server) == 1
    users = {line.split()[1]: line for line in cli(server, "ACL", "LIST").splitlines()}
    assert sorted(users) == sorted(["default", "root", *server.app_names])
    assert "~shop:*" in users["shop"] and "~* " not in users["shop"] and "nopass" not in users["shop"]
    assert users["default"].startswith("user default off ") and "+@all" not in users["default"]


@once
def test_a_changed_password_starts_the_application_anew_and_no_other(browser: Browser, play: Callable[..., int]) -> None:
    server, again = browser.site.server, "new_passwords.yml"

    def instances() -> Any:
        return server.ask("print(json.dumps({app: live(app)[0] for app in GIVEN['apps']}))", apps=server.app_names)

    before, store = instances(), pid(server)
    assert play(server, playbook=again) == 0
    server.host.check_output("rm /etc/flask-secrets/shop.session.env")
    assert play(server, "--check", playbook=again) >= 1
    assert (instances(), play(server, playbook=again)) == (before, 2), "the password, and the instance that has it"
    after = instances()
    assert after["shop"] != before["shop"]
    assert (after | {"shop": before["shop"]}, pid(server)) == (before, store)
    assert browser.cart == "full"
    assert browser.choose(1).status == 302


def test_a_session_survives_a_restart(browser: Browser) -> None:
    browser.site.server.host.check_output("systemctl restart session-store")
    assert browser.cart == "full"
    assert browser.choose(0).status == 302


@once
def test_without_persistence_a_restart_forgets(browser: Browser, settings: Callable[..., int]) -> None:
    assert settings(session_store_persistence="none") == 1
    assert settings(session_store_persistence="none") == 0
    server = browser.site.server
    assert browser.choose().status == 302 and browser.cart == "full"
    server.host.check_output("systemctl restart session-store")
    assert browser.cart == "empty"
    assert server.host.file("/var/lib/session-store").listdir() == []


@once
def test_with_append_a_crash_loses_nothing(browser: Browser, cli: Callable[..., str], settings: Callable[..., int]) -> None:
    settings(session_store_persistence="append")
    assert browser.choose().status == 302
    server = browser.site.server
    wait_until(lambda: {"aof_buffer_length:0", "aof_pending_bio_fsync:0"} <= set(cli(server, "INFO", "persistence").split()))
    old = pid(server)
    server.host.check_output("kill -9 %s", old)
    wait_until(lambda: pid(server) not in (old, "0") and browser.site.get("/healthz").status == 200)
    assert browser.cart == "full"


def test_without_the_store_there_is_an_error_page_and_the_health_check_fails(browser: Browser) -> None:
    host = browser.site.server.host
    host.check_output("systemctl stop session-store")
    try:
        assert browser.site.get("/healthz").status == 503
        for answer in (browser.send("/cart"), browser.send("/cart/1", "POST", quantity="1", csrf_token="x")):
            assert answer.status == 503
            assert b"Service Unavailable" in answer.body and b"Traceback" not in answer.body and b"redis" not in answer.body.lower()
        assert browser.site.get("/").status == 200, "what needs no session is served"
    finally:
        host.check_output("systemctl start session-store")
    assert browser.site.get("/healthz").status == 200
    assert browser.cart == "full"


FILL = 'for i in range(500): print("SET shop:session:filler-%d" % i, "x" * 65536, "EX 120")'


def fill(server: Any) -> None:
    """500 sessions without further requests, twice the memory limit."""
    server.host.check_output("python3 -c %s | /usr/local/sbin/session-store-cli > /dev/null", FILL)


@once
def test_a_full_store_evicts_the_least_recently_used_session(browser: Browser, cli: Callable[..., str]) -> None:
    server = browser.site.server
    fill(server)
    memory = dict(line.split(":", 1) for line in cli(server, "INFO", "memory").splitlines() if ":" in line)
    assert 14 << 20 < int(memory["used_memory"]) <= 17 << 20
    assert int(re.search(r"evicted_keys:(\d+)", cli(server, "INFO", "stats"))[1]) > 100
    newcomer = Browser(browser.site)
    assert newcomer.choose().status == 302
    assert newcomer.cart == "full"
    server.host.check_output("systemctl restart session-store")


@once
def test_a_full_store_that_refuses_keeps_existing_sessions(browser: Browser, cli: Callable[..., str], settings: Callable[..., int]) -> None:
    settings(session_store_when_full="refuse")
    server = browser.site.server
    fill(server)
    # Further from the edge than the buffers of connections, which come and go.
    cli(server, "CONFIG", "SET", "maxmemory", "15mb")
    assert browser.cart == "full"
    newcomer = Browser(browser.site).send("/products/1")
    assert newcomer.status == 503
    assert b"Traceback" not in newcomer.body and newcomer.all("set-cookie") == []
    server.host.check_output("session-store-cli --scan --pattern 'shop:session:filler-*' | xargs session-store-cli unlink")
    assert Browser(browser.site).choose().status == 302


def test_unread_replies_of_an_application_have_a_memory_limit(server: Any) -> None:
    found = server.ask(UNREAD, app=server.app_names[0])
    assert found["tried"] == 100
    assert found["peak"] < 200, "MiB that are resident"
    assert found["reply"].startswith("+PONG") and found["seconds"] < 2
