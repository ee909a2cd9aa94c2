"""Alerts of this host: `alarm-channel check | deliver | send | status`.

    check    check audits, certificates, units, responses and disks; announce alerts that begin or end
    deliver  send announced alerts by mail and to the webhook; retry those that could not be sent
    send     raise or resolve an alert of your own: `send KEY TEXT`, `send KEY --resolved`
    status   list current alerts and waiting messages

Timers start `check` and `deliver` every minute. Every alert has a key. It is announced when it begins, becomes more severe, and
ends: in the journal (`journalctl -t alarm-channel`), and by mail and to a webhook where they are configured. A message waits in
/var/lib/alarm-channel/spool until it is delivered; a message that is discarded is an error in the journal and counts in the
metrics.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import syslog

from alarm_channel import ACCOUNT, checks, files, journal, metrics, spool
from alarm_channel.delivery import deliver

PROGRAM = "/usr/local/sbin/alarm-channel"
# Alerts raised by `send`.
SENT_MAX = 200


def check(config: dict) -> int:
    """Run all checks."""
    measured: list = []
    with files.locked("state"):
        state = files.read_state()
        spool.announce(config, state, checks.look(config, state, measured))
        files.write(files.STATE / "metrics.prom", metrics.render(state, measured), 0o644)
    return 0


def send(config: dict, given: argparse.Namespace) -> int:
    """Raise or resolve an alert of another program."""
    with files.locked("state"):
        state = files.read_state()
        alerts, key = dict(state["alerts"]), f"sent/{given.key}"
        if given.resolved:
            alerts.pop(key, None)
        elif key not in alerts and sum(name.startswith("sent/") for name in alerts) >= SENT_MAX:
            print(f"alarm-channel: {SENT_MAX} alerts were raised by `send` already; resolve some", file=sys.stderr)
            return 1
        else:
            alerts[key] = {"severity": given.severity, "text": journal.one_line(given.text)}
        spool.announce(config, state, alerts)
    return 0


def status() -> int:
    """Print current alerts and waiting messages."""
    for key, alert in files.read_state()["alerts"].items():
        print(f"{alert['severity']:8} since {alert['since']}  {key}  {alert['text']}")
    for _unused, entry in spool.messages():
        print(f"waiting  since {journal.utc(entry['created'])}  {entry['channel']}, {entry['attempts']} attempts")
    return 0


def key_of(text: str) -> str:
    """The key of an alert."""
    if not re.fullmatch(r"[A-Za-z0-9][\w./@:-]{0,99}", text):
        raise argparse.ArgumentTypeError("not a key: letters, digits and . _ / @ : -, 100 at most")
    return text


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="alarm-channel", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("check", "deliver", "status"):
        commands.add_parser(name)
    sending = commands.add_parser("send")
    sending.add_argument("key", type=key_of)
    what = sending.add_mutually_exclusive_group(required=True)
    what.add_argument("text", nargs="?")
    what.add_argument("--resolved", action="store_true")
    sending.add_argument("--severity", choices=spool.SEVERITIES, default="critical")
    given = parser.parse_args()
    if os.geteuid() == 0 and given.command in ("send", "status"):
        os.execv("/usr/sbin/runuser", ["runuser", "-u", ACCOUNT, "--", PROGRAM, *sys.argv[1:]])
    syslog.openlog(ACCOUNT, 0, syslog.LOG_DAEMON)
    config = files.read_config()
    return {"check": lambda: check(config), "deliver": deliver, "status": status, "send": lambda: send(config, given)}[given.command]()
