"""Mail through the host's own mail system: postfix on one release of Debian, exim on the other."""

from __future__ import annotations

from collections.abc import Callable

from conftest import Channel, wait_for

PACKAGE = {"debian13": "postfix", "debian12": "exim4-daemon-light"}
SETTINGS = {
    "postfix": "postconf -e inet_interfaces=loopback-only mydestination=localhost 'myhostname=localhost' >/dev/null; systemctl restart postfix",
    "exim4-daemon-light": "sed -i \"s/^dc_other_hostnames=.*/dc_other_hostnames='localhost'/; s/^dc_eximconfig_configtype=.*/"
                          "dc_eximconfig_configtype='local'/\" /etc/exim4/update-exim4.conf.conf; update-exim4.conf; systemctl restart exim4",
}


def test_an_alarm_reaches_a_mailbox_of_the_host(channel: Channel, playbook: Callable[..., tuple[int, str]]) -> None:
    package = PACKAGE[channel.server.name]
    channel.sh(f"export DEBIAN_FRONTEND=noninteractive; apt-get update -qq; apt-get install -qq -y --no-install-recommends {package} >/dev/null 2>&1")
    channel.sh(SETTINGS[package] + "; id ops >/dev/null 2>&1 || useradd --create-home ops; : >/var/mail/ops; chown ops:mail /var/mail/ops")
    status, text = playbook("molecule/alarms/local_mail.yml", channel.server)
    assert status == 0, text
    channel.sh("alarm-channel send verify/local 'through the queue'")
    channel.deliver()
    # exim looks at its queue every half hour; postfix at once.
    channel.sh("if command -v exim4 >/dev/null; then exim4 -qf; fi")
    wait_for(lambda: "through the queue" in channel.sh("cat /var/mail/ops"), 30, "the mail is in the mailbox")
    assert f"Subject: [{channel.server.name}] critical: through the queue" in channel.sh("cat /var/mail/ops")
    assert channel.waiting() == 0


def test_a_mail_system_that_is_gone_is_said_and_the_mail_waits(channel: Channel) -> None:
    since = channel.now()
    channel.sh("mv /usr/sbin/sendmail /usr/sbin/sendmail.verify; alarm-channel send verify/gone text")
    try:
        channel.deliver()
        assert channel.waiting() == 1
        assert "mail was not delivered" in channel.journal(since)
    finally:
        channel.sh("mv /usr/sbin/sendmail.verify /usr/sbin/sendmail")
    channel.deliver()
    assert channel.waiting() == 0


def test_it_is_still_in_a_sandbox(channel: Channel) -> None:
    # Root that may change accounts: less than the other services have taken from them, and no more than this.
    text = channel.sh("systemd-analyze security --no-pager alarm-channel-deliver.service")
    assert float(text.rsplit("exposure level", 1)[1].split(": ")[1].split()[0]) <= 2.5
