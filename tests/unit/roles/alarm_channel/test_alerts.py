"""Causes of alerts: stale audits, findings, certificates, units, crash loops, 5xx."""

from __future__ import annotations

import json
import os
import re
import time
from fnmatch import fnmatch
from typing import Any

import pytest
from alarm_channel import certificates, checks, files, journal
from ansible_collections.bulwark.flask.plugins.module_utils.application_layout import RUNNING
from ansible_collections.bulwark.flask.tests.unit.checkout import ROLES

FINDING = {"package": "Jinja2", "installed": "2.10", "fixed": ["2.10.1"], "id": "PYSEC-2019-217", "aliases": ["CVE-2019-10906"], "release": "r1"}
KEY = "audit/shop/jinja2/CVE-2019-10906"
DAY = 86400


def unit(name: str, active: str = "active", **more: str) -> dict[str, str]:
    return {"Id": name, "LoadState": "loaded", "ActiveState": active, "SubState": "", "UnitFileState": "enabled", "NRestarts": "0",
            "Result": "exit-code"} | more


def lines(host: Any, name: str, *entries: dict[str, Any]) -> None:
    (host.root / "logs/shop" / name).write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def test_every_unit_of_this_collection_is_looked_at() -> None:
    of_applications = {pattern.format(name="shop") for pattern in RUNNING if not re.match("systemd-journald-(varlink|sync)@", pattern)}
    of_the_host = {name for path in ROLES.glob("host_*/vars/*.yml") for name in re.findall(r"\bhost-[a-z]+-[a-z]+\.(?:service|path|timer)", path.read_text())}
    assert of_the_host
    assert not [name for name in of_applications | of_the_host if not any(fnmatch(name, pattern) for pattern in checks.UNITS)]


def test_a_host_without_problems_sends_nothing(host: Any) -> None:
    host.report()
    host.units = [unit("nginx.service"), unit("gunicorn-shop@r1.service"), unit("acme-cert-renew@shop.timer")]
    assert host.check() == []


def test_a_finding_is_raised_once_and_resolved_once_also_over_nights_without_an_audit(host: Any) -> None:
    host.report(state="vulnerable", standing=[FINDING])
    assert host.check() == [("raised", KEY)]
    assert host.check() == []
    host.report(state="could-not-audit", reason="service down", standing=[FINDING])
    assert host.check() == [("raised", "audit/shop/could-not-audit")]
    host.report(state="vulnerable", standing=[FINDING])
    assert host.check() == [("resolved", "audit/shop/could-not-audit")]
    host.report()
    assert host.check() == [("resolved", KEY)]


def test_a_finding_has_the_fixed_version_and_the_release(host: Any) -> None:
    host.report(state="vulnerable", standing=[FINDING])
    host.check()
    for part in ("Jinja2 2.10", "PYSEC-2019-217, CVE-2019-10906", "fixed in 2.10.1", "release r1"):
        assert part in host.written[0][1]


def test_the_same_advisory_with_another_first_alias_is_not_new(host: Any) -> None:
    host.report(state="vulnerable", standing=[FINDING])
    host.check()
    host.report(state="vulnerable", standing=[FINDING | {"id": "CVE-2019-10906", "aliases": ["PYSEC-2019-217"]}])
    assert host.check() == []


@pytest.mark.parametrize(("hours", "events"), [(47, []), (49, [("raised", "audit/shop/stale")])])
def test_a_report_older_than_two_periods_is_an_alarm(host: Any, hours: int, events: list[Any]) -> None:
    host.report(time=journal.utc(time.time() - hours * 3600))
    assert host.check() == events


def test_an_audit_that_never_was_is_an_alarm_after_two_periods(host: Any) -> None:
    (host.root / "audit/shop.json").write_text("{}")
    assert host.check() == []
    os.utime(host.root / "audit/shop.json", (time.time() - 3 * DAY,) * 2)
    assert host.check() == [("raised", "audit/shop/stale")]


def test_a_failed_check_is_an_alert_and_resolves_nothing(host: Any) -> None:
    host.report(state="vulnerable", standing=[FINDING])
    host.check()
    (host.root / "reports/shop/report.json").write_text("{")
    assert host.check() == [("raised", "check/audits")]
    host.report()
    assert sorted(host.check()) == [("resolved", KEY), ("resolved", "check/audits")]


@pytest.mark.parametrize("days", [90, 6])
def test_a_certificate_alert_depends_on_the_remaining_share_of_its_lifetime(host: Any, days: int) -> None:
    now = time.time()

    def left(percent: float) -> list[Any]:
        host.certificate = (now - days * DAY * (1 - percent / 100), now + days * DAY * percent / 100, False)
        return [*host.check(), *(line for _, line in host.written[-1:] if "certificate" in line)]

    assert left(34) == []
    assert left(24)[0] == ("raised", "certificate/shop.example.com")
    assert left(23)[0] != ("raised", "certificate/shop.example.com"), "announced twice"
    assert left(9)[0] == ("raised", "certificate/shop.example.com"), "it became critical"
    assert "expired at" not in left(1)[-1]
    host.certificate = (now - days * DAY, now - 60, False)
    host.check()
    assert "expired at" in json.dumps(files.read_state()["alerts"])
    assert left(99)[0] == ("resolved", "certificate/shop.example.com")


def test_a_self_signed_certificate_and_none_at_all_are_alarms(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host.certificate = (*host.certificate[:2], True)
    assert host.check() == [("raised", "certificate/shop.example.com")]

    def refused(domain: str, ciphers: str = "") -> bytes:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(certificates, "served_certificate", refused)
    assert host.check() == [("raised", "certificate/shop.example.com")]
    assert "presents no certificate" in host.written[-1][1]


def test_the_second_certificate_of_a_pair_is_watched_as_the_first(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    lives = {b"ECDSA": (now, now + 90 * DAY, False), b"RSA": (now - 80 * DAY, now + 10 * DAY, False)}
    monkeypatch.setattr(certificates, "served_certificate", lambda domain, ciphers="": b"RSA" if ciphers else b"ECDSA")
    monkeypatch.setattr(certificates, "dates", lives.__getitem__)
    assert host.check() == [("raised", "certificate/shop.example.com/rsa")]
    text = (files.STATE / "metrics.prom").read_text()
    for key in ("", ',key="rsa"'):
        assert f'certificate_not_after_seconds{{domain="shop.example.com"{key}}} ' in text


@pytest.mark.parametrize(("found", "events"), [
    (unit("acme-cert-renew@shop.service", "failed"), [("raised", "unit/acme-cert-renew@shop.service")]),
    (unit("gunicorn-shop@r2.service", "failed"), [("raised", "unit/gunicorn-shop@r2.service")]),
    (unit("cron.service", "inactive"), [("raised", "unit/cron.service")]),
    (unit("session-store@shop.service", "failed"), [("raised", "unit/session-store@shop.service")]),
    (unit("pip-audit-shop.socket", "failed"), [("raised", "unit/pip-audit-shop.socket")]),
    (unit("acme-cert-renew@shop.timer", "inactive"), [("raised", "unit/acme-cert-renew@shop.timer")]),
    (unit("cron.service", "inactive", UnitFileState="disabled"), []),
    (unit("acme-cert-renew@shop.service", "inactive", UnitFileState="static"), []),
    (unit("gunicorn-shop@r1.service", "activating"), []),
])
def test_units_that_failed_or_should_run_are_alarms(host: Any, found: dict[str, str], events: list[Any]) -> None:
    host.units = [found]
    assert host.check() == events


@pytest.mark.parametrize("what", ["space", "inodes"])
def test_a_file_system_that_becomes_full_is_an_alert(host: Any, what: str) -> None:
    host.free[what] = 14
    assert host.check() == [("raised", f"disk/{what}")]
    assert f"14 % of its {what}" in host.written[-1][1]
    assert host.check() == []
    host.free[what] = 4
    assert host.check() == [("raised", f"disk/{what}")], "it became critical"
    host.free[what] = 16
    assert host.check() == [("resolved", f"disk/{what}")]
    assert f'flask_host_disk_free_ratio{{path="/",of="{what}"}} 0.16' in (files.STATE / "metrics.prom").read_text()


def test_more_units_can_be_watched(host: Any) -> None:
    host.config["units"] = ["postgresql.service"]
    host.units = [unit("postgresql.service", "inactive")]
    assert host.check() == [("raised", "unit/postgresql.service")]


def restarts(host: Any, number: int, name: str = "gunicorn-shop@r1.service") -> list[Any]:
    host.units = [unit(name, NRestarts=str(number))]
    events: list[Any] = host.check()
    return events


def test_restarts_within_the_window_are_a_crash_loop(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    key, now = "crash-loop/gunicorn-shop@r1.service", time.time()
    clock = [now]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    assert [restarts(host, n) for n in (0, 1, 2)] == [[], [], []]
    assert restarts(host, 3) == [("raised", key)]
    clock[0] = now + 14 * 60
    assert restarts(host, 3) == []
    clock[0] = now + 16 * 60
    assert ("resolved", key) in restarts(host, 3)


def test_restarts_long_apart_are_none(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [time.time()]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    for n in range(20):
        assert restarts(host, n) == []
        clock[0] += 10 * 60


def test_an_instance_that_crashed_before_it_was_first_seen_counts(host: Any) -> None:
    assert restarts(host, 4) == [("raised", "crash-loop/gunicorn-shop@r1.service")]


def test_a_count_that_began_anew_is_no_crash_loop(host: Any) -> None:
    restarts(host, 2)
    assert restarts(host, 0) == []
    assert restarts(host, 2) == []


TIMES = [lambda t: t, str, lambda t: int(t * 1000), lambda t: time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(t)),
         lambda t: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t))]


@pytest.mark.parametrize("written", TIMES)
@pytest.mark.parametrize("status", [502, "502"])
def test_many_5xx_are_an_alarm_however_the_log_writes_time_and_status(host: Any, written: Any, status: Any) -> None:
    now = time.time()
    lines(host, "access.log", *[{"time": written(now - 60), "status": status}] * 10, *[{"time": written(now - 60), "status": 200}] * 90)
    assert host.check() == [("raised", "errors/shop")]
    assert "10 of 100 responses" in host.written[0][1]


@pytest.mark.parametrize(("errors", "good", "seconds"), [(9, 0, 60), (10, 300, 60), (50, 0, 600)])
def test_few_rare_or_old_5xx_are_none(host: Any, errors: int, good: int, seconds: int) -> None:
    now = time.time()
    lines(host, "access.log", *[{"time": now - seconds, "status": 500}] * errors, *[{"time": now - 60, "status": 404}] * good)
    assert host.check() == []


def test_a_rotation_hides_nothing(host: Any) -> None:
    now = time.time()
    lines(host, "access.log-20261125-1795574461", *[{"time": now - 60, "status": 500}] * 6)
    lines(host, "access.log", *[{"time": now - 30, "status": 500}] * 6)
    assert host.check() == [("raised", "errors/shop")]


def test_rotated_files_and_invalid_lines_are_skipped(host: Any) -> None:
    lines(host, "access.log-1", *[{"time": time.time(), "status": 500}] * 20)
    os.utime(host.root / "logs/shop/access.log-1", (time.time() - DAY,) * 2)
    (host.root / "logs/shop/access.log-0.gz").write_bytes(b"\x1f\x8b")
    (host.root / "logs/shop/access.log").write_text('x\n{}\n[]\n{"time": null}\n{"time": "yesterday", "status": 500}\n')
    assert host.check() == []


def test_of_a_long_log_the_end_is_read(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "TAIL_BYTES", 1000)
    now = time.time()
    lines(host, "access.log", *[{"time": now, "status": 500}] * 1000)
    assert host.check() == [("raised", "errors/shop")]
    (sample,) = [line for line in (host.root / "state/metrics.prom").read_text().splitlines() if line.startswith("flask_host_http_responses{")]
    assert int(sample.split()[1]) < 30


def test_what_a_sandbox_denied_is_an_alert_with_the_setting(host: Any) -> None:
    host.units = [unit("gunicorn-shop@r1.service"), unit("gunicorn-shop@r0.service", "inactive"), unit("gunicorn-shop@r1.socket")]
    host.logged = {"gunicorn-shop@r0.service": ["Worker (pid:7) was sent SIGSYS!"]}
    assert host.check() == [], "an instance that has ended"
    host.logged = {"gunicorn-shop@r1.service": ["OSError: [Errno 30] Read-only file system: '/srv/shop/releases/r1/src/uploads/a.png'",
                                                "RuntimeError: can't start new thread"]}
    assert host.check() == [("raised", "sandbox/shop")]
    text = files.read_state()["alerts"]["sandbox/shop"]["text"]
    assert "it writes to uploads below its release; add this to shared" in text and "gunicorn_app: {tasks_max: 1024}" in text
    host.logged = {}
    assert host.check() == [("resolved", "sandbox/shop")]


def report(blocked: str = "inline", directive: str = "script-src-elem", old: bool = False) -> dict[str, Any]:
    body = {"effectiveDirective": directive, "blockedURL": blocked}
    text = {"csp-report": {"effective-directive": directive, "blocked-uri": blocked}} if old else [{"type": "csp-violation", "body": body}]
    return {"time": time.time(), "report": json.dumps(text)}


def test_what_browsers_report_is_counted_and_an_alert_when_it_is_much(host: Any) -> None:
    lines(host, "csp.log", *[report(old=n % 2 == 0) for n in range(6)], *[report("https://cdn.example/a.js?user=ann") for _ in range(3)])
    assert host.check() == []
    lines(host, "csp.log", *[report() for _ in range(6)], *[report("https://cdn.example/a.js?user=ann") for _ in range(3)],
          {"time": time.time(), "report": "[]"}, {"time": time.time(), "report": "[[1]]"}, report(directive="now call 0900-123"),
          {**report(), "time": time.time() - 3700})
    assert host.check() == [("raised", "csp/shop")]
    text = files.read_state()["alerts"]["csp/shop"]["text"]
    assert "reported 12 violations" in text
    assert "script-src-elem inline (6), script-src-elem https://cdn.example (3), unknown (3); see:" in text


@pytest.mark.parametrize("sources", ["deb http://deb.debian.org/debian trixie main", "deb [signed-by=/x] http://security.debian.org trixie-security main"])
def test_sources_of_the_next_release_are_an_alert_before_python_changes(host: Any, sources: str) -> None:
    (host.root / "apt/sources.list").write_text(sources + "\n")
    assert host.check() == [("raised", "python/upgrade")]
    (host.root / "apt/sources.list").unlink()
    # Another repository may be of an older release.
    (host.root / "apt/sources.list.d/other.sources").write_text("Types: deb\nSuites: bookworm bookworm-updates stable\n")
    assert host.check() == [("resolved", "python/upgrade")]


def test_environments_of_the_old_python_are_an_alert_until_they_are_made_again(host: Any) -> None:
    (host.root / "bin/python3.13").write_text("")
    (host.root / "bin/python3").unlink()
    (host.root / "bin/python3").symlink_to("python3.13")
    assert host.check() == [("raised", "python/python3.11")]
    (host.root / "bin/python3.11").unlink()
    assert host.check() == [("raised", "python/python3.11")]
    (host.root / "opt/certbot/current/bin/python").unlink()
    (host.root / "opt/certbot/current/bin/python").symlink_to(host.root / "bin/python3.13")
    assert host.check() == [("resolved", "python/python3.11")]
