"""Delivery of waiting messages by mail and to the webhook."""

from __future__ import annotations

import email.message
import email.utils
import json
import os
import re
import smtplib
import ssl
import syslog
import time
import urllib.request
from pathlib import Path

from alarm_channel import ACCOUNT, TIMEOUT, files, journal, spool

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 60, 3600


class Undeliverable(Exception):
    """Why a message could not be delivered."""


def as_mail(channel: dict, entry: dict) -> email.message.EmailMessage:
    """A message as mail."""
    message, events = entry["message"], entry["message"]["events"]
    raised = [event for event in events if event["event"] == "raised"]
    head = raised[0] if raised else events[0]
    more = f" (and {len(events) - 1} more)" if len(events) > 1 else ""
    mail = email.message.EmailMessage()
    word = head["severity"] if raised else "resolved"
    mail["Subject"] = journal.one_line(f"[{message['host']}] {word}: {head['text']}", 160) + more
    mail["From"], mail["To"] = channel["from"], ", ".join(channel["to"])
    mail["Date"] = email.utils.formatdate(entry["created"])
    # The same for every attempt, so that a duplicate can be recognised.
    mail["Message-ID"] = f"<{entry['id']}@{ACCOUNT}.{re.sub(r'[^A-Za-z0-9.-]', '-', message['host'])}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n\n".join(
        f"{event['event'].upper()} ({event['severity']}, since {event['since']})\n{event['text']}\n{event['key']}" for event in events) + "\n",
        cte="quoted-printable")
    return mail


def deliver_mail(channel: dict, entry: dict, trust: ssl.SSLContext) -> None:
    """Send mail to the server, which may be the host's own mail system."""
    where = (channel["server"], channel["port"])
    with smtplib.SMTP_SSL(*where, timeout=TIMEOUT, context=trust) if channel["security"] == "tls" else smtplib.SMTP(*where, timeout=TIMEOUT) as server:
        if channel["security"] == "starttls":
            server.starttls(context=trust)
        if channel["username"]:
            server.login(channel["username"], channel["password"])
        if refused := server.send_message(as_mail(channel, entry), channel["from"], channel["to"]):
            raise Undeliverable(f"the server refused {', '.join(refused)}")


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error, because it would send the secret to another address."""

    def redirect_request(self, *_unused: object) -> None:
        """Not followed."""


def deliver_webhook(channel: dict, entry: dict, trust: ssl.SSLContext) -> None:
    """POST JSON. Any response but 2xx is a failure."""
    headers = {"Content-Type": "application/json", "User-Agent": ACCOUNT, "Idempotency-Key": entry["id"]}
    if channel["secret"]:
        headers[channel["header"]] = channel["secret"]
    request = urllib.request.Request(channel["url"], json.dumps({"id": entry["id"], **entry["message"]}).encode(), headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect, urllib.request.HTTPSHandler(context=trust))
    with opener.open(request, timeout=TIMEOUT):
        pass


DELIVERIES = {"mail": deliver_mail, "webhook": deliver_webhook}


def without_secrets(text: str, channel: dict) -> str:
    """An error message without the secrets that it may repeat."""
    for name in ("password", "secret", "url"):
        if channel.get(name):
            text = text.replace(channel[name], "***")
    return text


def deliver() -> int:
    """Deliver every message that is due. After a failure a channel waits for the next run."""
    channels = json.loads((Path(os.environ["CREDENTIALS_DIRECTORY"]) / "channels.json").read_text(encoding="utf-8"))
    trust = ssl.create_default_context(cafile=channels["ca_bundle"])
    resting: set[str] = set()
    with files.locked("deliver"):
        for path, entry in spool.messages():
            name, channel = entry["channel"], channels.get(entry["channel"])
            if name in resting or entry["next"] > time.time():
                continue
            try:
                if not channel:
                    raise Undeliverable("it is no longer configured")
                DELIVERIES[name](channel, entry, trust)
            except Exception as error:  # pylint: disable=broad-exception-caught
                resting.add(name)
                wait = min(FIRST_RETRY_SECONDS * 2 ** entry["attempts"], LAST_RETRY_SECONDS)
                files.write(path, json.dumps({**entry, "attempts": entry["attempts"] + 1, "next": time.time() + wait}), 0o600)
                reason = without_secrets(f"{type(error).__name__}: {error}", channel or {})
                journal.say(syslog.LOG_WARNING, f"{name} was not delivered (attempt {entry['attempts'] + 1}, again in {wait} seconds): {reason}")
            else:
                path.unlink(missing_ok=True)
                journal.say(syslog.LOG_NOTICE, f"{name} was delivered: " + ", ".join(f"{e['event']} {e['key']}" for e in entry["message"]["events"]))
    return 0
