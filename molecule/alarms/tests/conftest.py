"""A receiver of mail and webhooks, and the channel of a host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from channel import ALONE, CRON, MAIL_SYSTEMS, PUBLISHED, Channel, Receiver
from host.plugin import Server, chosen
from host.waiting import wait_until


@pytest.fixture(scope="session")
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture(scope="session", autouse=True)
def by_themselves(request: pytest.FixtureRequest, receiver: Receiver) -> dict[str, tuple[list[str], str]]:
    """Events of timers and cron on all hosts, in one wait: an alert, and cron's audit.

    The time is used to install the mail systems.
    """
    channels = [Channel(server) for server in chosen(request.config)]
    for channel in channels:
        channel.clear()
        # The very command of the entry, at the next full minute instead of its own.
        channel.sh("sed -n 's/^[0-9* ]*pip-audit/* * * * * pip-audit/p' /etc/cron.d/pip-audit-shop "
                   f"| sed 's#--scheduled#--json >>{CRON} 2>\\&1#' >/etc/cron.d/verify; rm -f {CRON}; alarm-channel send verify/alone 'by the timer'; "
                   "systemd-run --quiet --collect --unit=verify-install --setenv=DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update -qq && "
                   f"apt-get install -qq -y --no-install-recommends {MAIL_SYSTEMS[channel.server.name]}'")
    found = {}
    for channel in channels:
        wait_until(lambda: receiver.events(channel.server, ALONE), 90, "the timer has delivered")  # noqa: B023 - called here
        wait_until(lambda: channel.sh(f"cat {CRON} 2>/dev/null || :").endswith("\n"), 150, "cron has run the audit")  # noqa: B023 - as above
        channel.sh("rm /etc/cron.d/verify; while systemctl -q is-active verify-install || pgrep -u pip-audit >/dev/null; do sleep 0.5; done; "
                   f"dpkg -s {MAIL_SYSTEMS[channel.server.name]} >/dev/null")
        found[channel.server.name] = (receiver.events(channel.server, ALONE), channel.sh(f"cat {CRON}; stat -c %U {CRON}"))
    return found


@pytest.fixture
def channel(server: Server, receiver: Receiver) -> Channel:
    """The host's channel, with a receiver that takes everything and a spool that is empty."""
    receiver.switch("refuse", False)
    receiver.switch("slow", False)
    found = Channel(server)
    found.clear()
    return found


@pytest.fixture
def advisories(receiver: Receiver) -> Iterator[Callable[..., None]]:
    """Change what the advisory service answers: `advisories(mode="error")`."""
    def change(**more: Any) -> None:
        receiver.hosts.execute("pebble", "cat > /etc/pebble/new; mv /etc/pebble/new /etc/pebble/advisories.json",
                               json.dumps(PUBLISHED | more).encode())
    change()
    yield change
    change()
