"""Mail through the host's own mail system: postfix on one release of Debian, exim on the other."""

from __future__ import annotations

from channel import MAIL_SYSTEMS, Channel
from host.playbooks import Playbooks
from host.waiting import wait_until

SETTINGS = {
    "postfix": "postconf -e inet_interfaces=loopback-only mydestination=localhost myhostname=localhost; systemctl restart postfix",
    "exim4-daemon-light": "sed -i \"s/^dc_other_hostnames=.*/dc_other_hostnames='localhost'/; s/^dc_eximconfig_configtype=.*/"
                          "dc_eximconfig_configtype='local'/\" /etc/exim4/update-exim4.conf.conf; update-exim4.conf; systemctl restart exim4",
}
UNITS = {"postfix": "'postfix*'", "exim4-daemon-light": "exim4"}


def test_an_alarm_reaches_a_mailbox_of_the_host_at_once(channel: Channel, playbooks: Playbooks) -> None:
    channel.sh(SETTINGS[MAIL_SYSTEMS[channel.server.name]] + "; id ops >/dev/null 2>&1 || useradd --create-home ops; "
               ": >/var/mail/ops; chown ops:mail /var/mail/ops")
    playbooks.good("molecule/alarms/local_mail.yml", "--limit", channel.server.name)
    channel.sh("alarm-channel send verify/local 'no server needed'")
    channel.deliver()
    wait_until(lambda: "no server needed" in channel.sh("cat /var/mail/ops"), 30, "the mail is in the mailbox")
    assert f"Subject: [{channel.server.name}] critical: no server needed" in channel.sh("cat /var/mail/ops")
    assert channel.waiting() == 0


def test_a_mail_system_that_is_down_is_reported_and_the_mail_waits(channel: Channel) -> None:
    since, units = channel.now(), UNITS[MAIL_SYSTEMS[channel.server.name]]
    channel.sh(f"systemctl stop {units}; alarm-channel send verify/gone text")
    try:
        channel.deliver()
        assert channel.waiting() == 1
        assert "mail was not delivered" in channel.journal(since)
    finally:
        channel.sh("systemctl start " + units.strip("*'"))
    channel.deliver()
    assert channel.waiting() == 0
