"""Delivery of alerts: retried, limited, logged, without secrets."""

from __future__ import annotations

import json
import syslog
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from alarm_channel import commands, delivery, files, spool

TOKEN = "Bearer tok-3f9a77c1"
WEBHOOK = {"url": "", "header": "Authorization", "secret": TOKEN}
MAIL = {"to": ["ops@example.com", "b@example.com"], "from": "web1@example.com", "server": "smtp.example.com", "port": 587, "security": "starttls",
        "username": "", "password": ""}


class Receiver(BaseHTTPRequestHandler):
    """Stores requests and sends the configured response."""

    status, got = 200, []  # type: ignore[var-annotated]

    def do_POST(self) -> None:  # noqa: N802 - the name is the library's
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Receiver.got.append((dict(self.headers), json.loads(body)))
        self.send_response(Receiver.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    Receiver.status, Receiver.got = 200, []
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook"
    server.shutdown()
    server.server_close()


@pytest.fixture
def alarm(host: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One alarm that waits for the webhook."""
    host.config["channels"] = ["webhook"]
    assert host.run(monkeypatch, "send", "disk", "the disk is full") == 0
    return host


def test_a_webhook_gets_json_with_its_secret_and_the_spool_is_empty(alarm: Any, url: str) -> None:
    alarm.deliver(webhook=WEBHOOK | {"url": url})
    ((headers, body),) = Receiver.got
    assert headers["Authorization"] == TOKEN
    assert headers["Content-Type"] == "application/json"
    assert (body["host"], body["events"][0]["event"], body["events"][0]["key"], body["events"][0]["text"]) == (
        "web1", "raised", "sent/disk", "the disk is full")
    assert spool.messages() == []


@pytest.mark.parametrize("status", [302, 401, 429, 500])
def test_a_failed_delivery_is_retried_later_and_reported(alarm: Any, url: str, status: int) -> None:
    Receiver.status = status
    alarm.deliver(webhook=WEBHOOK | {"url": url})
    alarm.deliver(webhook=WEBHOOK | {"url": url})
    assert len(Receiver.got) == 1, "it does not wait"
    ((_, entry),) = spool.messages()
    assert entry["attempts"] == 1
    assert 50 < entry["next"] - time.time() <= 60
    assert alarm.written[-1][0] == syslog.LOG_WARNING
    assert str(status) in alarm.written[-1][1]


def test_the_pause_grows_up_to_an_hour(alarm: Any, url: str) -> None:
    Receiver.status, pauses = 500, []
    for _ in range(9):
        ((path, entry),) = spool.messages()
        path.write_text(json.dumps(entry | {"next": 0}))
        alarm.deliver(webhook=WEBHOOK | {"url": url})
        pauses.append(round((spool.messages()[0][1]["next"] - time.time()) / 60))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    Receiver.status = 204
    ((path, entry),) = spool.messages()
    path.write_text(json.dumps(entry | {"next": 0}))
    alarm.deliver(webhook=WEBHOOK | {"url": url})
    assert spool.messages() == []


def test_a_redirect_does_not_send_the_secret_to_another_address(alarm: Any, url: str) -> None:
    Receiver.status = 302
    alarm.deliver(webhook=WEBHOOK | {"url": url})
    assert len(Receiver.got) == 1


def test_no_secret_is_shown(alarm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alarm.deliver(webhook=WEBHOOK | {"url": f"https://127.0.0.1:9/{TOKEN}"})
    spool.messages()[0][0].write_text(json.dumps(spool.messages()[0][1] | {"next": 0}))

    def echo(channel: Any, entry: Any, trust: Any) -> None:
        raise OSError(f"535 {channel['secret']} at {channel['url']}")

    monkeypatch.setitem(delivery.DELIVERIES, "webhook", echo)
    alarm.deliver(webhook=WEBHOOK | {"url": f"https://127.0.0.1:9/{TOKEN}"})
    assert "535 ***" in alarm.written[-1][1]
    assert not [line for _, line in alarm.written if "3f9a77c1" in line]


def test_one_channel_that_is_down_does_not_hold_up_the_other(host: Any, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    host.config["channels"] = ["mail", "webhook"]
    for key in ("a", "b"):
        host.run(monkeypatch, "send", key, "text")
    tried = []

    def down(*_: Any) -> None:
        tried.append(1)
        raise OSError("down")

    monkeypatch.setitem(delivery.DELIVERIES, "mail", down)
    host.deliver(mail=MAIL, webhook=WEBHOOK | {"url": url})
    assert (len(Receiver.got), len(tried)) == (2, 1), "it rests after the first failure"
    assert [entry["channel"] for _, entry in spool.messages()] == ["mail", "mail"]


def test_a_channel_that_fails_for_a_while_is_an_alert(alarm: Any) -> None:
    ((path, entry),) = spool.messages()
    assert alarm.check() == []
    path.write_text(json.dumps(entry | {"created": time.time() - 1000}))
    assert alarm.check() == [("raised", "channel/webhook")]


def test_the_spool_is_limited_and_discarded_messages_are_errors_and_counted(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SPOOL_MAX", 3)
    for n in range(5):
        host.run(monkeypatch, "send", f"k{n}", "text")
    assert [entry["message"]["events"][0]["key"] for _, entry in spool.messages()] == ["sent/k2", "sent/k3", "sent/k4"]
    assert [line for priority, line in host.written if priority == syslog.LOG_ERR and "discarded" in line and "sent/k0" in line]
    host.check()
    assert "flask_host_dropped_messages 2\n" in (host.root / "state/metrics.prom").read_text()


def test_a_message_is_given_up_after_a_week(alarm: Any) -> None:
    ((path, entry),) = spool.messages()
    path.write_text(json.dumps(entry | {"created": time.time() - 8 * 86400}))
    alarm.check()
    assert path not in [found for found, _ in spool.messages()]
    assert [line for priority, line in alarm.written if priority == syslog.LOG_ERR and "for 7 days" in line]


def test_a_damaged_file_does_not_stop_the_delivery(alarm: Any, url: str) -> None:
    (alarm.root / "state/spool/0.json").write_text("{")
    alarm.deliver(webhook=WEBHOOK | {"url": url})
    assert len(Receiver.got) == 1
    assert [line for priority, line in alarm.written if priority == syslog.LOG_ERR and "0.json" in line]


def test_alerts_of_other_programs_are_raised_escalated_and_resolved_once(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for severity in ("warning", "warning", "critical", "critical"):
        host.run(monkeypatch, "send", "disk", "full", "--severity", severity)
    host.check()
    for _ in range(2):
        host.run(monkeypatch, "send", "disk", "--resolved")
    events = [event for _, entry in spool.messages() for event in entry["message"]["events"]]
    assert [(event["event"], event["severity"]) for event in events] == [("raised", "warning"), ("raised", "critical"), ("resolved", "critical")]


def test_alerts_of_other_programs_are_limited(host: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(commands, "SENT_MAX", 2)
    assert [host.run(monkeypatch, "send", key, "text") for key in ("a", "b", "c", "b")] == [0, 0, 1, 0]
    assert "resolve some" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["send", "disk"], ["send", "../x y", "text"], ["send", "disk", "text", "--severity", "bad"], []])
def test_wrong_arguments_are_refused(host: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        host.run(monkeypatch, *arguments)


def test_status_shows_current_alerts_and_waiting_messages(alarm: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    alarm.run(monkeypatch, "status")
    shown = capsys.readouterr().out
    assert "sent/disk  the disk is full" in shown
    assert "webhook, 0 attempts" in shown


def mail_of(host: Any, *texts: str) -> Any:
    events = [{"event": "raised", "key": f"k{n}", "severity": "critical", "text": text, "since": "now"} for n, text in enumerate(texts)]
    entry = {"id": "1-ab", "created": 0, "message": {"host": "web1", "time": "now", "events": events}}
    return delivery.as_mail(MAIL, entry)


def test_the_subject_of_a_mail_has_the_alert_and_the_host(host: Any) -> None:
    mail = mail_of(host, "nginx.service has failed", "second: grün")
    assert mail["Subject"] == "[web1] critical: nginx.service has failed (and 1 more)"
    assert (mail["To"], mail["From"], mail["Auto-Submitted"]) == ("ops@example.com, b@example.com", "web1@example.com", "auto-generated")
    assert "second: grün" in mail.get_content()
    assert mail.as_bytes().isascii()
    assert mail["Message-ID"] == "<1-ab@alarm-channel.web1>"


def test_a_text_cannot_add_a_header(host: Any) -> None:
    mail = mail_of(host, "text\r\nBcc: evil@example.com")
    assert "Bcc" not in mail
    assert mail["Subject"].endswith("text Bcc: evil@example.com")


def test_metrics_are_whole_and_quoted(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host.report(state="could-not-audit", reason="x")
    host.config["sites"] = {'a"b\\': ["shop.example.com"]}
    host.check()
    text = (host.root / "state/metrics.prom").read_text()
    assert 'flask_host_http_responses{app="a\\"b\\\\"} 0\n' in text
    assert 'flask_host_audit_state{app="shop",state="could-not-audit"} 1\n' in text
    assert 'flask_host_audit_state{app="shop",state="clean"} 0\n' in text
    assert 'flask_host_alert{key="audit/shop/could-not-audit",severity="warning"} 1\n' in text
    assert not list((host.root / "state").glob(".metrics*"))


def test_a_damaged_state_is_reported_and_alerts_are_sent_again(host: Any) -> None:
    host.report(state="could-not-audit", reason="x")
    host.check()
    (host.root / "state/state.json").write_text("{")
    assert host.check() == [("raised", "audit/shop/could-not-audit")]
    assert "damaged" in host.written[1][1]


def test_a_flood_of_events_becomes_several_messages(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "EVENTS_MAX", 2)
    host.units = [{"Id": f"u{n}.service", "ActiveState": "failed", "UnitFileState": "", "Result": "x"} for n in range(5)]
    host.check()
    assert [len(entry["message"]["events"]) for _, entry in spool.messages()] == [2, 2, 1]


def test_a_run_that_waits_for_another_ends(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOCK_SECONDS", 0.2)
    text = r"another run holds .*state.lock for more than 0.2 seconds"
    with files.locked("state"), pytest.raises(SystemExit, match=text), files.locked("state"):
        pass
