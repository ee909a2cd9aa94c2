"""Announcements: an alert begins, becomes more severe, or ends. Messages wait in the spool for their delivery."""

from __future__ import annotations

import json
import secrets
import syslog
import time
from pathlib import Path

from alarm_channel import files, journal

# Messages in the spool and their age, events in a message.
SPOOL_MAX, SPOOL_DAYS, EVENTS_MAX = 500, 7, 100
SEVERITIES = ("warning", "critical")
PRIORITY = {"warning": syslog.LOG_WARNING, "critical": syslog.LOG_ERR}


def differences(before: dict, now: dict) -> list[dict]:
    """Events between two checks. An alert that continues keeps its begin."""
    events = []
    for key, alert in now.items():
        old = before.get(key)
        alert["since"] = old["since"] if old else journal.utc(time.time())
        if old is None or SEVERITIES.index(alert["severity"]) > SEVERITIES.index(old["severity"]):
            events.append({"event": "raised", "key": key, **alert})
    return events + [{"event": "resolved", "key": key, **alert} for key, alert in before.items() if key not in now]


def announce(config: dict, state: dict, alerts: dict) -> None:
    """Write events to the journal and one message per channel to the spool."""
    events = differences(state["alerts"], alerts)
    for event in events:
        priority = PRIORITY[event["severity"]] if event["event"] == "raised" else syslog.LOG_NOTICE
        journal.say(priority, f"{event['event']}: {event['key']}: {event['text']}")
    for start in range(0, len(events), EVENTS_MAX):
        message = {"host": config["host"], "time": journal.utc(time.time()), "events": events[start:start + EVENTS_MAX]}
        for channel in config["channels"]:
            add(channel, message)
    # Saved last: after an interruption an alert is announced twice rather than never.
    state["alerts"] = alerts
    state["dropped"] += trim()
    files.write_state(state)


def add(channel: str, message: dict) -> None:
    """Write a message to the spool."""
    name = f"{time.time_ns()}-{secrets.token_hex(4)}"
    entry = {"id": name, "channel": channel, "created": time.time(), "attempts": 0, "next": 0, "message": message}
    files.write(files.STATE / "spool" / f"{name}.json", json.dumps(entry), 0o600)


def messages() -> list[tuple[Path, dict]]:
    """Waiting messages, oldest first. A damaged file is removed and reported."""
    waiting = []
    for path in sorted((files.STATE / "spool").glob("[!.]*.json")):
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            waiting.append((path, {name: entry[name] for name in ("id", "channel", "created", "attempts", "next", "message")}))
        except FileNotFoundError:
            continue
        except (ValueError, TypeError, KeyError) as error:
            journal.say(syslog.LOG_ERR, f"{path.name} in the spool is damaged and was removed: {error}")
            path.unlink(missing_ok=True)
    return waiting


def trim() -> int:
    """Keep the spool within its limits. Returns the number of discarded messages."""
    waiting, discarded = messages(), 0
    for number, (path, entry) in enumerate(waiting):
        reason = "the spool is full" if len(waiting) - number > SPOOL_MAX else \
            f"it could not be delivered for {SPOOL_DAYS} days" if time.time() - entry["created"] > SPOOL_DAYS * 86400 else ""
        if reason:
            discarded += 1
            keys = ", ".join(f"{event['event']} {event['key']}" for event in entry["message"]["events"])
            journal.say(syslog.LOG_ERR, f"discarded a message for {entry['channel']}, because {reason}: {keys}")
            path.unlink(missing_ok=True)
    return discarded
