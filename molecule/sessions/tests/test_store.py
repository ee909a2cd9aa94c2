"""The store and the shop together: restarts, limits, and independence of applications."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

COOKIE = "__Host-shop"
# What an application does to its store: `unread` asks for replies of a gigabyte on each of 100 connections and reads nothing,
# `large` writes 100 MB. The peak of its memory in MiB, and what became of it.
ATTACK = r'''
import socket, time
app = GIVEN["app"]
path, unit = "/run/session-stores/%s/session-store.sock" % app, "session-store@%s.service" % app
def give(client, *words):
    client.sendall(b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in map(str.encode, words))]))
def connected():
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5)
    client.connect(path)
    return client
def resident():
    try:
        return int(re.search(r"VmRSS:\s+(\d+)", open("/proc/%s/status" % pid).read()).group(1)) // 1024
    except (OSError, AttributeError):
        return 0
pid = properties(unit, "MainPID")["MainPID"]
first, held, peak, tried = connected(), [], resident(), 0
give(first, "SET", "big", "x" * 1000000, "EX", "60")
first.recv(100)
for number in range(100):
    try:
        if GIVEN["kind"] == "unread":
            held.append(connected())
            give(held[-1], "MGET", *["big"] * 1000)
        else:
            give(first, "SET", "filler-%d" % number, "x" * 1000000, "EX", "60")
            first.recv(100)
    except OSError:
        pass
    tried += 1
    peak = max(peak, resident())
    if peak > 500:
        break
print(json.dumps({"peak": max(peak, resident()), "tried": tried}))
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
    for key in cli(site, "KEYS", "limits*").splitlines():
        cli(site, "DEL", key)
    browser = Browser(site)
    assert browser.choose().status == 302
    assert browser.cart == "full"
    return browser


@pytest.fixture
def settings(site: Any, play: Callable[..., int]) -> Iterator[Callable[..., int]]:
    """Other settings of the store, for one test."""
    yield lambda **variables: play(site.server, **variables)
    play(site.server)


def pid(site: Any) -> str:
    return site.server.host.check_output("systemctl show --property=MainPID --value session-store@%s", site.name)


def others(site: Any) -> list[Any]:
    """The other sites of the host."""
    return [type(site)(site.server, app) for app in site.server.target.apps if app.name != site.name]


def responds(site: Any) -> bool:
    """Whether it is well. Workers that have just started can need longer than a request waits, on a busy host."""
    try:
        return bool(site.get("/healthz").status == 200)
    except TimeoutError:
        return False


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for a condition; it fails after a time that a busy host does not need either."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.2)


# What is about the store and not about the application is asked for one of them.
once = pytest.mark.where(lambda site: site.name == "shop")


def test_a_session_is_json_in_the_store_and_a_random_id_in_the_cookie(browser: Browser, cli: Callable[..., str]) -> None:
    site = browser.site
    assert len(browser.cookie) == 43
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(browser.set_cookie.split("; "))
    assert "Domain" not in browser.set_cookie
    keys = cli(site, "KEYS", "session:*").splitlines()
    values = [cli(site, "GET", key) for key in keys]
    assert any('"cart":{"1":2}' in value.replace(" ", "") for value in values)
    assert all(0 < int(cli(site, "TTL", key)) <= 43200 for key in keys)
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
    (key,) = cli(browser.site, "KEYS", "limits*").splitlines()
    assert int(cli(browser.site, "GET", key)) >= 30
    assert 0 < int(cli(browser.site, "TTL", key)) <= 60


def test_another_redis_of_the_host_is_not_changed(server: Any) -> None:
    host = server.host
    cli = host.check_output("command -v valkey-cli || command -v redis-cli")
    unit = Path(cli).name.replace("-cli", "-server")
    assert host.check_output("cat /root/foreign-store") == host.check_output("systemctl show --property=MainPID %s", unit)
    assert host.check_output("%s get other", cli) == "else"
    assert host.check_output("%s -p 6379 config get port", cli).split() == ["port", "6379"]


def test_nothing_is_left_of_a_store_that_all_applications_shared(server: Any) -> None:
    for path in ("/etc/systemd/system/session-store.service", "/etc/session-store/users.acl", "/etc/session-store/root.password",
                 "/etc/flask-secrets/shop.session.env", "/run/session-store/session-store.sock", "/var/lib/session-store/dump.rdb"):
        assert not server.host.file(path).exists, path


def test_an_application_that_stops_stops_its_store_and_starts_it_again(browser: Browser) -> None:
    host, site = browser.site.server.host, browser.site
    instance = host.check_output("basename $(readlink -f /srv/%s/current)", site.name)
    host.check_output("systemctl stop gunicorn-%s@%s.service", site.name, instance)
    wait_until(lambda: host.run("systemctl is-active session-store@%s", site.name).stdout.strip() == "inactive")
    host.check_output("systemctl start gunicorn-%s@%s.service", site.name, instance)
    wait_until(lambda: responds(browser.site))
    assert browser.cart == "full"


def test_a_store_that_was_stopped_is_started_again(browser: Browser) -> None:
    before = pid(browser.site)
    browser.site.server.host.check_output("systemctl stop session-store@%s", browser.site.name)
    wait_until(lambda: pid(browser.site) not in (before, "0") and responds(browser.site))
    assert browser.cart == "full"


def test_a_store_whose_socket_was_deleted_is_repaired_by_a_run(browser: Browser, play: Callable[..., int]) -> None:
    server, neighbours = browser.site.server, [pid(site) for site in others(browser.site)]
    server.host.check_output("rm /run/session-stores/%s/session-store.sock", browser.site.name)
    assert play(server, "--check") == 1
    assert play(server) == 1
    wait_until(lambda: responds(browser.site))
    assert browser.cart == "full"
    assert [pid(site) for site in others(browser.site)] == neighbours
    assert play(server) == 0


def test_a_store_whose_data_was_deleted_is_repaired_by_a_run(browser: Browser, play: Callable[..., int]) -> None:
    server, name = browser.site.server, browser.site.name
    server.host.check_output("rm -r /var/lib/session-stores/%s", name)
    assert play(server) == 1
    # A store that cannot save stops at once.
    assert "timed out. Killing" not in server.host.check_output("journalctl --unit=session-store@%s", name)
    wait_until(lambda: responds(browser.site))
    # It saves again.
    browser.choose()
    server.host.check_output("systemctl restart session-store@%s", name)
    wait_until(lambda: responds(browser.site))
    assert browser.cart == "full"
    assert play(server) == 0


@pytest.mark.parametrize("kind", ["unread", "large"])
def test_an_application_that_attacks_its_store_harms_no_other(browser: Browser, kind: str) -> None:
    neighbours = [Browser(site) for site in others(browser.site)]
    for neighbour in neighbours:
        assert neighbour.choose().status == 302
    found = browser.site.ask(ATTACK, kind=kind)
    assert found["tried"] == 100
    assert found["peak"] < 120, "MiB that are resident, of which 16 are for data"
    assert [neighbour.cart for neighbour in neighbours] == ["full"] * len(neighbours)
    browser.site.server.host.check_output("session-store-cli %s flushdb", browser.site.name)


def test_a_session_survives_a_restart(browser: Browser) -> None:
    browser.site.server.host.check_output("systemctl restart session-store@%s", browser.site.name)
    assert browser.cart == "full"
    assert browser.choose(0).status == 302


@once
def test_without_persistence_a_restart_forgets(browser: Browser, settings: Callable[..., int]) -> None:
    assert settings(session_store_persistence="none") == 1
    assert settings(session_store_persistence="none") == 0
    server = browser.site.server
    assert browser.choose().status == 302 and browser.cart == "full"
    server.host.check_output("systemctl restart session-store@shop")
    assert browser.cart == "empty"
    assert server.host.file("/var/lib/session-stores/shop").listdir() == []


@once
def test_with_append_a_crash_loses_nothing(browser: Browser, cli: Callable[..., str], settings: Callable[..., int]) -> None:
    settings(session_store_persistence="append")
    assert browser.choose().status == 302
    server = browser.site.server
    wait_until(lambda: {"aof_buffer_length:0", "aof_pending_bio_fsync:0"} <= set(cli(browser.site, "INFO", "persistence").split()))
    old = pid(browser.site)
    server.host.check_output("kill -9 %s", old)
    wait_until(lambda: pid(browser.site) not in (old, "0") and responds(browser.site))
    assert browser.cart == "full"


def test_without_the_store_there_is_an_error_page_and_the_health_check_fails(browser: Browser) -> None:
    host, unit = browser.site.server.host, f"session-store@{browser.site.name}.service"
    # Its application would start it again.
    host.check_output("systemctl mask --runtime --now %s", unit)
    try:
        assert browser.site.get("/healthz").status == 503
        for answer in (browser.send("/cart"), browser.send("/cart/1", "POST", quantity="1", csrf_token="x")):
            assert answer.status == 503
            assert b"Service Unavailable" in answer.body and b"Traceback" not in answer.body and b"redis" not in answer.body.lower()
        assert browser.site.get("/").status == 200, "what needs no session is served"
    finally:
        host.check_output("systemctl unmask --runtime %s; systemctl start %s", unit, unit)
    assert browser.site.get("/healthz").status == 200
    assert browser.cart == "full"


FILL = 'for i in range(500): print("SET session:filler-%d" % i, "x" * 65536, "EX 120")'


def fill(server: Any) -> None:
    """500 sessions without further requests, twice the memory limit."""
    server.host.check_output("python3 -c %s | /usr/local/sbin/session-store-cli shop > /dev/null", FILL)


@once
def test_a_full_store_evicts_the_least_recently_used_session(browser: Browser, cli: Callable[..., str]) -> None:
    server = browser.site.server
    fill(server)
    memory = dict(line.split(":", 1) for line in cli(browser.site, "INFO", "memory").splitlines() if ":" in line)
    assert 14 << 20 < int(memory["used_memory"]) <= 17 << 20
    assert int(re.search(r"evicted_keys:(\d+)", cli(browser.site, "INFO", "stats"))[1]) > 100
    newcomer = Browser(browser.site)
    assert newcomer.choose().status == 302
    assert newcomer.cart == "full"
    cli(browser.site, "FLUSHDB")


@once
def test_a_full_store_that_refuses_keeps_existing_sessions(browser: Browser, cli: Callable[..., str], settings: Callable[..., int]) -> None:
    server = browser.site.server
    settings(session_store_when_full="refuse", session_store_memory_mb=20)
    fill(server)
    # A restart keeps what it has, which is then far beyond the limit.
    settings(session_store_when_full="refuse")
    assert browser.cart == "full"
    newcomer = Browser(browser.site).send("/products/1")
    assert newcomer.status == 503
    assert b"Traceback" not in newcomer.body and newcomer.all("set-cookie") == []
    server.host.check_output("session-store-cli shop --scan --pattern 'session:filler-*' | xargs session-store-cli shop unlink")
    assert Browser(browser.site).choose().status == 302
