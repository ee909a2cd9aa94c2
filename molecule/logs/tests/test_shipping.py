"""Every line reaches the right collector, over TLS, also after failures."""

from __future__ import annotations

import time
from typing import Any

import pytest
from host.waiting import wait_until
from logged import ROTATION, mark, tell

pytestmark = pytest.mark.where(lambda site: site.name == "shop")

SENDER = r'''
unit = "flask-logs-%s.service" % GIVEN["app"]
pid = properties(unit, "MainPID")["MainPID"]
status = dict(line.split(":\t", 1) for line in open("/proc/%s/status" % pid).read().splitlines() if ":\t" in line)
root = "/proc/%s/root" % pid
state = "/var/lib/private/flask-logs-" + GIVEN["app"]
print(json.dumps({
    "uid": int(status["Uid"].split()[0]), "capabilities": int(status["CapEff"], 16), "seccomp": status["Seccomp"],
    "logs": sorted(os.path.relpath(os.path.join(folder, name), root + "/var/log")
                   for folder, _, files in os.walk(root + "/var/log") for name in files if not name.endswith(".gz")),
    "secrets": os.access(root + "/etc/flask-secrets", os.F_OK) and os.listdir(root + "/etc/flask-secrets"),
    "state": oct(os.stat(state).st_mode), "files": sorted({oct(os.stat(path).st_mode & 0o7777) for path in glob.glob(state + "/*")}),
    "host": [output("systemctl", verb, "rsyslog.service").decode().strip() for verb in ("is-enabled", "is-active")],
    "host_files": glob.glob("/etc/rsyslog.d/*"), "changed": output("dpkg", "--verify", "rsyslog").decode()}))
'''
# The sender's own messages from now on.
SAYS_CURSOR = r'''
print(json.dumps(json.loads(output("journalctl", "--unit=flask-logs-%s.service" % GIVEN["app"], "--output=json", "--lines=1"))["__CURSOR"]))
'''
SAYS = r'''
output("journalctl", "--sync")
print(json.dumps(output("journalctl", "--unit=flask-logs-%s.service" % GIVEN["app"], "--output=cat",
                        "--after-cursor=" + GIVEN["cursor"]).decode()))
'''
RESTART = r'''
output("systemctl", "restart", "flask-logs-%s.service" % GIVEN["app"])
print("null")
'''


@pytest.fixture(autouse=True)
def listening(site: Any, collector: Any) -> None:
    """Each test begins with the good collector there, and a sender whose lines arrive."""
    collector.start()
    end = time.monotonic() + 90
    # A connection to the one before it swallows a line or two: syslog has no receipts.
    tell(site, "log", (word := mark()).encode())
    while not collector.wait(word, 1, seconds=5):
        assert time.monotonic() < end, "nothing arrives"
        tell(site, "log", word.encode())


def refused(site: Any, reason: str) -> None:
    """Have the sender try until it says why it sends nothing.

    That the old collector has gone it may learn by a line or two that it loses: syslog has no receipts.
    """
    cursor, end = site.ask(SAYS_CURSOR), time.monotonic() + 90
    while reason not in (said := site.ask(SAYS, cursor=cursor)):
        # A sender that says nothing may wait for the collector: the connection shows it.
        assert time.monotonic() < end, said[-2000:] + site.server.host.run("ss --tcp --numeric --processes --info 'dport = :6514'").stdout
        site.get("/the-last-ones-under-way")
        time.sleep(0.5)


def numbered(found: list[str], word: str, before: str) -> list[int]:
    """The numbers behind this word, in the order of arrival."""
    return [int(line.split(f"{before}{word}-")[1].split(".")[0]) for line in found if f"{before}{word}-" in line]


def test_a_collector_that_was_down_gets_every_line_in_order(site: Any, collector: Any) -> None:
    word, count, request_ids = mark(), 60, []
    for number in range(count):
        if number == 20:
            collector.wait(word, 2 * number)
            collector.stop()
            refused(site, "Connection refused")
        if number == 40:
            site.ask(RESTART)
        request_ids.append(site.get(f"/{word}-{number}.", method="GET")["X-Request-ID"])
        tell(site, "log", f"{word}-{number}.".encode())
    collector.start()
    found = collector.wait(word, 2 * count)
    for before in ('"path":"/', "told: "):
        numbers = numbered(found, word, before)
        assert list(dict.fromkeys(numbers)) == list(range(count)), "all, in order"
    assert [one for one in request_ids if not any(one in line for line in found)] == [], "with their ids"


def test_lines_that_are_rotated_away_meanwhile_arrive_too(site: Any, collector: Any) -> None:
    word = mark()
    site.ask(ROTATION, word=word, count=1000, domain=site.domain)
    numbers = numbered(collector.wait(word, 1000), word, '"path":"/')
    assert sorted(set(numbers)) == list(range(1000))


REASONS = {"untrusted": "unable to get local issuer certificate", "expired": "certificate has expired"}


@pytest.mark.parametrize("certificate", REASONS)
def test_a_collector_whose_certificate_is_not_valid_gets_nothing(site: Any, collector: Any, certificate: str) -> None:
    word = mark()
    collector.listen(certificate)
    refused(site, REASONS[certificate])
    tell(site, "log", word.encode())
    refused(site, REASONS[certificate])
    assert collector.heard() == b"" and collector.lines(word) == []
    collector.start()
    assert collector.wait(word, 1), "it waited for the right one"


def test_a_collector_whose_certificate_has_another_name_gets_nothing(site: Any, collector: Any) -> None:
    word = mark()
    collector.listen("misnamed")

    def is_asked() -> bool:
        site.get("/the-last-ones-under-way")
        return bool(collector.greeted())

    # rsyslog 8.2504 closes the connection after the handshake, and does not always say why.
    wait_until(is_asked, 90, "the sender has looked at the certificate")
    assert collector.heard() == b""
    collector.forget()
    tell(site, "log", word.encode())
    wait_until(is_asked, 90, "the sender has tried again, with the line")
    assert collector.heard() == b"" and collector.lines(word) == []
    collector.start()
    assert collector.wait(word, 1), "it waited for the right one"


def test_nothing_is_sent_in_the_clear(site: Any, collector: Any) -> None:
    word = mark()
    collector.listen()
    collector.until_heard(lambda: tell(site, "log", b"the last ones under way"))
    tell(site, "log", word.encode())
    heard = collector.heard()
    assert heard.startswith(b"\x16\x03"), "a TLS handshake without a response"
    assert word.encode() not in heard and b"message" not in heard
    collector.start()
    assert collector.wait(word, 1), "it waited for the right one"


def test_the_sender_has_no_other_access_and_the_hosts_syslog_is_unchanged(site: Any) -> None:
    found = site.ask(SENDER)
    assert found["uid"] >= 61184 and found["capabilities"] == 0 and found["seccomp"] == "2"
    assert all(name.startswith((f"nginx/{site.name}/", "journal/")) for name in found["logs"]) and found["logs"]
    assert not found["secrets"]
    assert found["state"] == "0o40700" and set(found["files"]) <= {"0o600"}
    assert found["host"] == (["enabled", "active"] if site.server.name == "debian12" else ["disabled", "inactive"])
    assert found["host_files"] == [] and found["changed"] == ""
