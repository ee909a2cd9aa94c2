"""The alert channel of a host, and a receiver of mail and webhooks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from host.plugin import Server
from testhosts import scenario

ROOT = Path(__file__).resolve().parents[3]

PUBLISHED = json.loads((ROOT / "molecule/shared/advisories.json").read_text().replace('"flask==3.1.0"', '"flask"'))


class Receiver:
    """The messages that the mail server and the webhook received."""

    def __init__(self) -> None:
        self.hosts = scenario()
        self.hosts.execute("pebble", "command -v aiosmtpd >/dev/null || { apt-get update -qq; apt-get install -qq -y --no-install-recommends "
                                     "python3-aiosmtpd; } >/dev/null 2>&1; rm -rf /tmp/got; mkdir -p /tmp/got; cat > /tmp/receiver.py",
                           (ROOT / "molecule/alarms/receiver.py").read_bytes())
        self.hosts.execute("pebble",
                           # One of an earlier run goes first; what is left of it afterwards has no command line.
                           "if [ -e /tmp/receiver.pid ]; then pid=$(cat /tmp/receiver.pid); kill $pid 2>/dev/null || :; "
                           "while grep -q receiver /proc/$pid/cmdline 2>/dev/null; do sleep 0.1; done; fi; "
                           "setsid python3 /tmp/receiver.py /tmp/got /etc/pebble/cert.pem /etc/pebble/key.pem >/tmp/receiver.log 2>&1 & "
                           "echo $! >/tmp/receiver.pid; for n in $(seq 150); do "
                           "curl -sk -o /dev/null https://localhost:2443/ && exit; sleep 0.2; done; cat /tmp/receiver.log >&2; exit 1")

    def switch(self, name: str, on: bool) -> None:
        """`refuse` and `slow`."""
        self.hosts.execute("pebble", f"{'touch' if on else 'rm -f'} /tmp/got/{name}")

    def hooks(self, server: Server) -> list[dict[str, Any]]:
        """Webhook calls of one host."""
        text = self.hosts.execute("pebble", "cat /tmp/got/hook.jsonl 2>/dev/null || :")
        return [call for call in map(json.loads, text.splitlines()) if call["host"] == server.name]

    def events(self, server: Server, key: str) -> list[str]:
        """The webhook's events of one key."""
        return [event["event"] for call in self.hooks(server) for event in call["events"] if event["key"] == key]

    def mails(self, server: Server) -> list[dict[str, Any]]:
        """Mails of one host."""
        text = self.hosts.execute("pebble", "cat /tmp/got/mail.jsonl 2>/dev/null || :")
        return [mail for mail in map(json.loads, text.splitlines()) if mail["subject"].startswith(f"[{server.name}]")]


class Channel:
    """The alarm channel of one host."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def sh(self, script: str, ok: bool = True) -> str:
        """Run a script as root; its output."""
        done = self.server.host.run(script)
        assert done.rc == 0 or not ok, f"{script}\n{done.stdout}{done.stderr}"
        return str(done.stdout)

    def _unit(self, name: str) -> None:
        # One that the timer has just started may have looked before the test did what it did.
        self.sh(f"while [ $(systemctl is-active {name}) = activating ]; do sleep 0.1; done; "
                f"systemctl reset-failed {name}; systemctl start {name}")

    def clear(self) -> None:
        """Nothing that a test raised, or left to be delivered."""
        self.sh("alarm-channel status | grep -o ' sent/[^ ]*' | while read -r key; do alarm-channel send ${key#sent/} --resolved || exit; done; "
                "find /var/lib/alarm-channel/spool -name '[!.]*.json' -delete")

    def check(self) -> set[str]:
        """One look; the keys of all that is raised."""
        self._unit("alarm-channel-check")
        return set(json.loads(self.sh("cat /var/lib/alarm-channel/state.json"))["alerts"])

    def deliver(self) -> None:
        """One delivery of everything that waits."""
        # Not beside a delivery that the timer started: it would get back what has just gone.
        self.sh("cd /; runuser -u alarm-channel -- flock /var/lib/alarm-channel/.deliver.lock find /var/lib/alarm-channel/spool "
                "-name '[!.]*.json' -exec sed -i 's/\"next\": [0-9.]*/\"next\": 0/' {} +")
        self._unit("alarm-channel-deliver")

    def waiting(self) -> int:
        """Messages in the spool."""
        return int(self.sh("find /var/lib/alarm-channel/spool -name '[!.]*.json' | wc -l"))

    def journal(self, since: str) -> str:
        """The output of the channel."""
        return self.sh(f"journalctl -t alarm-channel --output=cat --no-pager --since='{since}'")

    def now(self) -> str:
        """The host's clock."""
        return self.sh("date '+%F %T'").strip()


MAIL_SYSTEMS = {"debian13": "postfix", "debian12": "exim4-daemon-light"}
CRON = "/tmp/verify-cron"
ALONE = "sent/verify/alone"
