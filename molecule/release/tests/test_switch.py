"""A deploy activates a good release, or changes nothing for clients."""

from __future__ import annotations

import re
import threading
import time
from datetime import datetime
from typing import Any

import pytest
import working_copy
from host.playbooks import Playbooks
from load import Load
from releases import at_rest, sites, version

FROM_THE_HOST = r'''
import socket, ssl
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
with context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 10), server_hostname=GIVEN["domain"]) as tls:
    tls.sendall(("GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % GIVEN["domain"]).encode())
    print(json.dumps(int(tls.recv(100).split()[1])))
'''
# The first worker gets the lock; any other one fails after clients could have been served.
ONE_PROCESS = '''    app = Flask(__name__)
    import fcntl, time
    global lock
    lock = open("/var/lib/shop/one-process", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(3)
        raise'''
FAILURES = {
    "cannot be imported":
        (("shop/__init__.py", '    app = Flask(__name__)', '    raise RuntimeError("no such luck")'), "RuntimeError: no such luck"),
    "cannot be loaded by two":
        (("shop/__init__.py", '    app = Flask(__name__)', ONE_PROCESS), "Resource temporarily unavailable"),
    "is not safe":
        (("shop/config.py", '    "SESSION_COOKIE_SECURE": True,', '    "SESSION_COOKIE_SECURE": False,'), "SESSION_COOKIE_SECURE"),
}
SLOW_FAILURES = {
    "is not well": (("shop/health.py", '    return {"status": "ok"}, 200', '    return {"status": "sick of it"}, 500'), "sick of it"),
    "hangs": (("shop/health.py", '    return {"status": "ok"}, 200', "    time.sleep(3600)"), "no response (TimeoutError)"),
    "fails before the switch":
        (("shop/before.py", "create_app()\n", 'raise SystemExit("the database is away")\n'), "the database is away"),
}


def good() -> str:
    """A new version of the source, without faults."""
    return f"good-{time.time_ns()}"


@pytest.fixture(name="live")
def _live(servers: list[Any], playbooks: Playbooks) -> str:
    """A release without faults is live on all hosts, and the source is that release's; returns its version."""
    found = {version(site) for site in sites(servers)}
    if len(found) == 1 and min(found).startswith("good-"):
        working_copy.make(min(found))
        return min(found)
    wanted = good()
    working_copy.make(wanted)
    playbooks.good("deploy", app_release_force=True)
    assert {version(site) for site in sites(servers)} == {wanted}
    return wanted


def test_a_deploy_under_load_drops_no_request_and_few_round_trips(servers: list[Any], playbooks: Playbooks, live: str) -> None:
    wanted = good()
    working_copy.make(wanted)
    slow: list[bytes] = []
    seen: list[tuple[Any, float, str]] = []
    files: list[tuple[Any, float, str]] = []

    def ask_slowly(site: Any) -> None:
        slow.append(site.get("/slow").body)

    def ask_often(site: Any) -> None:
        while running.poll() is None:
            began = time.time()
            seen.append((site, began, version(site)))
            files.append((site, time.time(), site.get(working_copy.FILE).body.decode()))
            time.sleep(0.05)

    loads = [Load(site) for site in sites(servers)]
    for load in loads:
        load.__enter__()
    running = playbooks.start("deploy")
    often = [threading.Thread(target=ask_often, args=(site,)) for site in sites(servers)]
    for thread in often:
        thread.start()
    threads = []
    while running.poll() is None:
        # One is always under way, so at the switch too.
        threads += [threading.Thread(target=ask_slowly, args=(site,)) for site in sites(servers)]
        for thread in threads[-len(loads):]:
            thread.start()
        time.sleep(1)
    output = running.stdout.read() if running.stdout else ""
    for thread in threads + often:
        thread.join()
    for load in loads:
        load.__exit__()
    assert running.returncode == 0, output
    for site, load in zip(sites(servers), loads):
        assert version(site) == wanted
        assert len(load.requests) > 300
        assert load.failed() == []
        last = at_rest(site)["history"][-1]
        ended = site.ask('print(json.dumps(os.stat("/srv/shop/history.jsonl").st_mtime))')
        assert last["seconds"] <= ended - datetime.fromisoformat(last["time"]).timestamp() + 1, f"a step counts another one's time: {last['steps']}"
        # The link is of the moment of the switch. nginx keeps connections to the old instance until then, and not for longer.
        switched = site.ask('print(json.dumps(os.lstat("/srv/shop/current").st_ctime))')
        after = [text for who, began, text in seen if who == site and began > switched + 0.05]
        assert after and set(after) == {wanted}, f"{after.count(live)} of {len(after)} requests after the switch reached the old release"
        # nginx looks at a file once a second.
        after = [text for who, began, text in files if who == site and began > switched + 1.2]
        assert after and set(after) == {wanted}, f"{after.count(live)} of {len(after)} files after the switch are of the old release"
    assert len(slow) == len(threads) and set(slow) == {live.encode(), wanted.encode()}, "a slow request was cut off"
    for step in ("build", "preflight", "pre_activate", "start", "health", "swap", "drain", "stop"):
        assert f"  {step} " in output, f"the step {step} is not said"
    remote = [line for line in output.splitlines() if line.startswith(("ok: [", "changed: ["))]
    assert len(remote) // len(servers) <= 15


def test_the_source_and_the_packages_are_compiled_to_bytecode(servers: list[Any], live: str) -> None:
    for site in sites(servers):
        # Those that Python takes: made from the file as it is.
        found = site.ask(r'''
import importlib.util
def used(path):
    name = importlib.util.cache_from_source(path)
    stated = open(name, "rb").read()[8:12] if os.path.exists(name) else b""
    return int.from_bytes(stated, "little") == int(os.stat(path).st_mtime)
release = "/srv/shop/current/release"
print(json.dumps([used(path) for path in glob.glob(release + "/src/shop/*.py") + glob.glob(release + "/venv/lib/python3*/site-packages/gunicorn/*.py")]))
''')
        assert len(found) > 10 and all(found)


def test_the_application_is_loaded_once_for_all_workers(servers: list[Any], live: str) -> None:
    for site in sites(servers):
        main, *others = site.ask(r'''
unit = live("shop")[1]
main = int(properties(unit, "MainPID")["MainPID"])
print(json.dumps([["markupsafe" in open("/proc/%d/maps" % pid).read(), int(open("/proc/%d/oom_score_adj" % pid).read())]
                  for pid in [main] + [pid for pid in processes(unit) if pid != main]]))
''')
        assert main == [True, 0] and len(others) > 1
        assert all(other == [True, 300] for other in others), "beyond the limit of memory, the kernel ends the master"


@pytest.mark.parametrize(("change", "words"), [
    *[pytest.param(*failure, id=name) for name, failure in FAILURES.items()],
    *[pytest.param(*failure, id=name, marks=pytest.mark.beyond_sample) for name, failure in SLOW_FAILURES.items()],
])
def test_a_release_that_fails_changes_nothing_and_the_error_has_the_reason(
    servers: list[Any], playbooks: Playbooks, live: str, change: tuple[str, str, str], words: str,
) -> None:
    working_copy.make(f"bad-{time.time_ns()}", change)
    with Load(sites(servers)[0]) as load:
        run = playbooks.run("deploy")
    assert run.rc != 0
    assert words in run.words, run.output
    assert load.failed() == []
    for site in sites(servers):
        assert version(site) == live
        state = at_rest(site)
        last = state["history"][-1]
        assert (last["action"], last["result"]) == ("deploy", "failed")
        assert state["releases"][last["release"]] == "failed", "it is kept, and known to be bad"
        assert words.split()[-1] in site.ask('print(json.dumps(open("/srv/shop/releases/%s/failure.log" % GIVEN["id"]).read()))', id=last["release"])


def test_the_error_of_a_build_without_memory_says_what_to_do(servers: list[Any], playbooks: Playbooks, live: str) -> None:
    working_copy.make(f"bad-{time.time_ns()}")
    run = playbooks.run("deploy", test_build=['for word in one "two;" three; do echo "${word}"; done; kill -KILL $$'])
    assert run.rc != 0
    assert "one two; three" in run.words, "the shell gets the line as it is"
    assert "code=killed" in run.words and "add memory or swap space" in run.words, run.output
    assert {version(site) for site in sites(servers)} == {live}


def test_a_waiver_allows_only_its_check(servers: list[Any], playbooks: Playbooks, live: str) -> None:
    working_copy.make(f"waived-{time.time_ns()}", ("shop/config.py", '    "SESSION_COOKIE_SECURE": True,', '    "SESSION_COOKIE_SECURE": False,'),
                      ("shop/config.py", '    "SESSION_COOKIE_NAME": "__Host-shop",', '    "SESSION_COOKIE_NAME": "shop",'))
    policy = {"waivers": [{"check": "cookie_secure", "reason": "an old client, until it is replaced", "until": "2099-12-31"}]}
    apps = {"shop": {"domains": ["{{ inventory_hostname }}.example.test"], "source": {"path": str(working_copy.COPY)}, "wsgi": "shop:create_app()",
                     "health_path": "/healthz", "body_max_mb": 1, "static": {"/static/": "shop/static"},
                     "env": {"FLASK_TRUSTED_HOSTS": ["{{ inventory_hostname }}.example.test"]},
                     "app_release": {"policy": policy, "health_timeout_seconds": 30}}}
    run = playbooks.good("deploy", flask_apps=apps)
    assert "an old client, until it is replaced" in run.words
    apps["shop"]["app_release"]["policy"]["waivers"][0]["until"] = "2020-01-01"
    working_copy.make(f"expired-{time.time_ns()}", ("shop/config.py", '    "SESSION_COOKIE_SECURE": True,', '    "SESSION_COOKIE_SECURE": False,'))
    run = playbooks.run("deploy", flask_apps=apps)
    assert run.rc != 0 and "expired on 2020-01-01" in run.words, run.output


def test_a_command_after_the_switch_may_fail(servers: list[Any], playbooks: Playbooks, live: str) -> None:
    wanted = f"after-{time.time_ns()}"
    working_copy.make(wanted, ("shop/after.py", '"""Comes after the switch."""', 'raise SystemExit("the cache is cold")'))
    run = playbooks.good("deploy")
    assert "the cache is cold" in run.words and "is live. A command of post_activate failed" in run.words, run.output
    assert {version(site) for site in sites(servers)} == {wanted}


def test_commands_run_once_as_the_application_with_its_environment(servers: list[Any], playbooks: Playbooks, live: str) -> None:
    lines = 'print(json.dumps([open("/var/lib/shop/before").read().splitlines(), mode("/var/lib/shop/before")]))'
    before = [site.ask(lines) for site in sites(servers)]
    playbooks.good("deploy")
    for site, (arguments, owner) in zip(sites(servers), before):
        assert arguments[-1] == "['two words', '/var/lib/shop']"
        assert owner == "shop:shop 0600"
        assert site.ask(lines)[0] == arguments, "a deploy that changes nothing runs no command"


def test_a_rollback_goes_back_and_stays_until_there_is_something_new(servers: list[Any], playbooks: Playbooks, live: str) -> None:
    regretted = good()
    working_copy.make(regretted)
    playbooks.good("deploy")
    left = [at_rest(site)["release"] for site in sites(servers)]
    with Load(sites(servers)[0]) as load:
        run = playbooks.good("rollback", app="shop")
    assert load.failed() == []
    assert set(run.count("changed").values()) == {1}
    for site, release in zip(sites(servers), left):
        assert version(site) == live
        assert at_rest(site)["releases"][release] == "rolled back"
    run = playbooks.run("rollback", "--limit", servers[0].name, app="shop", to=left[0])
    assert run.rc != 0 and "was rolled back on" in run.words, run.output
    run = playbooks.good("deploy")
    assert "was rolled back on" in run.words and set(run.count("changed").values()) == {0}, run.output
    assert {version(site) for site in sites(servers)} == {live}
    playbooks.good("deploy", app_release_force=True)
    assert {version(site) for site in sites(servers)} == {regretted}


def test_an_unknown_application_is_refused_by_name(playbooks: Playbooks) -> None:
    for name in ("rollback", "deploy", "maintenance", "status"):
        run = playbooks.run(name, app="shpo", state="on")
        assert run.rc != 0 and "app=shpo is not an application of the inventory; there are: shop" in run.words, run.output


def test_the_status_is_a_table_and_json(servers: list[Any], playbooks: Playbooks, live: str, tmp_path: Any) -> None:
    import json  # noqa: PLC0415 - here alone

    run = playbooks.good("status", json=str(tmp_path / "status.json"))
    status = json.loads((tmp_path / "status.json").read_text())
    for site in sites(servers):
        (app,) = status[site.server.name]
        assert app["release"] == at_rest(site)["release"]
        assert app["unit"]["state"] == "active" and app["certificate"]["until"] and app["preflight"]["blocking"] == []
        assert app["history"][-1]["result"] == "live"
        assert app["release"] in run.output and app["certificate"]["until"][:10] in run.output


def test_the_maintenance_page_turns_on_and_off_immediately(servers: list[Any], playbooks: Playbooks, live: str) -> None:
    site = sites(servers)[0]
    assert site.get("/").status == 200
    run = playbooks.good("maintenance", state="on")
    # nginx looks once a second: without this task, the run ends while a client can still get the application.
    assert re.search(r"Wait until nginx has looked\] \**\n(task path: .*\n)?ok: \[", run.output), run.output
    try:
        for path, method in (("/", "GET"), ("/static/shop.css", "GET"), ("/cart/1", "POST")):
            answer = site.get(path, method=method)
            assert answer.status == 503 and b"Maintenance" in answer.body, path
            assert int(answer["Retry-After"]) > 0
            assert "default-src" in answer["Content-Security-Policy"]
        assert site.get("/healthz").status == 200, "the health check reaches the application"
        assert set(playbooks.good("maintenance", state="on").count("changed").values()) == {0}
        assert "maintenance" in playbooks.good("status").output
    finally:
        playbooks.good("maintenance", state="off")
    assert site.get("/").status == 200


def test_addresses_on_the_list_pass_during_maintenance(servers: list[Any], playbooks: Playbooks, live: str) -> None:
    site = sites(servers)[0]
    playbooks.good("maintenance", state="on")
    try:
        # The host itself has one of the addresses on the list.
        assert (site.get("/").status, site.server.ask(FROM_THE_HOST, domain=site.domain)) == (503, 200)
    finally:
        playbooks.good("maintenance", state="off")
