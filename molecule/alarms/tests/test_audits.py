"""Audits through cron, socket and sandbox: three results, and each finding reported once."""

from __future__ import annotations

import json
from collections.abc import Callable

from channel import Channel, Receiver
from host.playbooks import Playbooks

FLASK = "audit/shop/flask/CVE-2025-47278"
# A release as it is before it is activated, with the versions that advisories were published about.
OLD = """
set -eu
packages=/srv/shop/releases/verify-old/venv/lib/python3.12/site-packages
for what in Flask-3.1.0 Jinja2-2.10 Werkzeug-2.2.2 itsdangerous-2.2.0; do
    mkdir -p $packages/${what%-*}-${what##*-}.dist-info
    printf 'Metadata-Version: 2.1\\nName: %s\\nVersion: %s\\n' ${what%-*} ${what##*-} >$packages/${what%-*}-${what##*-}.dist-info/METADATA
done
chgrp -R shop /srv/shop/releases/verify-old; chmod -R o= /srv/shop/releases/verify-old
"""


def audit(channel: Channel) -> int:
    """One audit of the live release; its exit status."""
    return int(channel.server.host.run("pip-audit-app shop").rc)


def test_published_facts_about_old_versions_are_found_before_they_go_live(channel: Channel, advisories: Callable[..., None]) -> None:
    channel.sh(OLD)
    before = channel.sh("cat /var/lib/pip-audit/shop/report.json 2>/dev/null || :")
    done = channel.server.host.run("pip-audit-app shop --release /srv/shop/releases/verify-old")
    channel.sh("rm -rf /srv/shop/releases/verify-old")
    report = json.loads(done.stdout)
    assert (done.rc, report["state"], report["release"]) == (1, "vulnerable", "verify-old")
    assert {(f["package"].lower(), f["installed"], tuple(f["fixed"])) for f in report["findings"]} == {
        ("flask", "3.1.0", ("3.1.1",)), ("jinja2", "2.10", ("2.10.1",)), ("werkzeug", "2.2.2", ("3.0.3",))}
    assert [(f["package"].lower(), f["reason"]) for f in report["ignored"]] == [("werkzeug", "no form is taken")]
    assert [rule["id"] for rule in report["expired_ignores"]] == ["CVE-2019-10906"], "what has expired must count, and be said"
    assert channel.sh("cat /var/lib/pip-audit/shop/report.json 2>/dev/null || :") == before


def test_a_finding_and_its_end_are_each_reported_once_with_failed_audits_in_between(
        channel: Channel, receiver: Receiver, advisories: Callable[..., None]) -> None:
    advisories(mode="clean")
    assert audit(channel) == 0
    assert not [key for key in channel.check() if key.startswith("audit/")]
    channel.deliver()
    events = receiver.events(channel.server, FLASK)
    since = channel.now()
    advisories()
    for _ in range(2):
        assert audit(channel) == 1
        assert FLASK in channel.check()
    for mode in ("error", "garbage", "nonsense", "unreadable"):
        advisories(mode=mode)
        assert audit(channel) == 2
        assert {FLASK, "audit/shop/could-not-audit"} <= channel.check(), mode
    advisories()
    assert audit(channel) == 1
    assert "audit/shop/could-not-audit" not in channel.check()
    channel.deliver()
    assert receiver.events(channel.server, FLASK) == [*events, "raised"]
    advisories(mode="clean")
    assert audit(channel) == 0
    assert not [key for key in channel.check() if key.startswith("audit/")]
    channel.deliver()
    assert receiver.events(channel.server, FLASK) == [*events, "raised", "resolved"]
    mails = [mail["body"] for mail in receiver.mails(channel.server) if FLASK in mail["body"]]
    assert "fixed in 3.1.1" in mails[-2]
    journal = channel.sh(f"journalctl -t pip-audit-shop --output=cat --no-pager --since='{since}'")
    assert journal.count("new finding: flask") == 1
    assert journal.count("finding gone: flask") == 1


def test_a_service_that_times_out_is_could_not_audit(channel: Channel, advisories: Callable[..., None]) -> None:
    advisories(mode="slow", delay_seconds=20)
    assert audit(channel) == 2


# One audit that takes its time; in the meantime a second, and a look at the first.
TWO_AUDITS = """
pip-audit-app shop >/dev/null 2>&1 & first=$!
for n in $(seq 150); do pgrep -u pip-audit -f /opt/pip-audit/.*/bin/pip-audit >/dev/null && break; sleep 0.1; done
pid=$(pgrep -u pip-audit -f -- --serve | head -n 1)
grep -E '^(NoNewPrivs|Seccomp|CapBnd):' /proc/$pid/status
echo "User: $(ps -o user= -p $pid)"
awk '$5 == "/" {print "Root: " $6}' /proc/$pid/mountinfo
said=$(pip-audit-app shop) && rc=0 || rc=$?
echo "Second: $rc $said"
wait $first || :
"""


def test_the_audit_is_in_a_sandbox_of_its_own_account_and_a_second_one_does_not_run(
        channel: Channel, advisories: Callable[..., None]) -> None:
    advisories(mode="slow", delay_seconds=1)
    seen = [line.split(":", 1) for line in channel.sh(TWO_AUDITS).splitlines()]
    status = {name: value.strip() for name, value in seen}
    assert (status["NoNewPrivs"], status["Seccomp"], int(status["CapBnd"], 16), status["User"]) == ("1", "2", 0, "pip-audit")
    assert {value.strip().split(",")[0] for name, value in seen if name == "Root"} == {"ro"}
    assert status["Second"].startswith("2 ")
    assert "another audit" in status["Second"]


def test_a_report_older_than_two_periods_is_an_alarm_until_there_is_a_new_one(channel: Channel, advisories: Callable[..., None]) -> None:
    advisories(mode="clean")
    audit(channel)
    channel.sh("sed -i 's/\"time\": \"[^\"]*\"/\"time\": \"2026-01-01T00:00:00Z\"/' /var/lib/pip-audit/shop/report.json")
    assert "audit/shop/stale" in channel.check()
    audit(channel)
    assert "audit/shop/stale" not in channel.check()


def test_the_playbook_shows_a_table_and_its_status_is_the_result(
        channel: Channel, advisories: Callable[..., None], playbooks: Playbooks) -> None:
    advisories(mode="clean")
    run = playbooks.run("audit", "--limit", channel.server.name)
    assert run.rc == 0, run.output
    assert f"{channel.server.name} " in run.output and " clean " in run.output
    advisories()
    run = playbooks.run("audit", "--limit", channel.server.name, app="shop")
    assert run.rc != 0
    assert "vulnerable" in run.output and "CVE-2025-47278" in run.output and "fixed in 3.1.1" in run.output
    advisories(mode="error")
    run = playbooks.run("audit", "--limit", channel.server.name)
    assert run.rc != 0
    assert "could-not-audit" in run.output


def test_cron_runs_it_as_an_account_that_can_do_nothing_else(channel: Channel, by_themselves: dict[str, tuple[list[str], str]]) -> None:
    report, *_, owner = by_themselves[channel.server.name][1].splitlines()
    assert json.loads(report)["application"] == "shop"
    assert owner == "pip-audit"
