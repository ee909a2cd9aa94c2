"""Mail, webhook and metrics get each alert once, none is lost, and no secret is shown."""

from __future__ import annotations

import json
import re

import pytest
from channel import Channel, Receiver
from testhosts import scenario

SECRETS = [(scenario().folder / name).read_text().strip() for name in ("smtp-password", "webhook-token")]


def send(channel: Channel, key: str, *more: str) -> None:
    channel.sh(f"alarm-channel send {key} " + " ".join(more))


def test_an_alarm_arrives_by_itself_within_a_minute_and_a_half(channel: Channel, by_themselves: dict[str, tuple[list[str], str]]) -> None:
    assert by_themselves[channel.server.name][0] == ["raised"]


def test_mail_and_webhook_get_one_message_over_tls_with_their_secrets(channel: Channel, receiver: Receiver) -> None:
    for _ in range(3):
        send(channel, "verify/once", "'the disk is full'")
    channel.deliver()
    (mail,) = [mail for mail in receiver.mails(channel.server) if "sent/verify/once" in mail["body"] and "RAISED" in mail["body"]]
    assert mail["subject"] == f"[{channel.server.name}] critical: the disk is full"
    assert (mail["tls"], mail["to"], mail["login"]) == (True, ["ops@example.test"], ["web", SECRETS[0]])
    assert receiver.events(channel.server, "sent/verify/once") == ["raised"]
    assert receiver.hooks(channel.server)[-1]["secret"] == f"Bearer {SECRETS[1]}"
    for _ in range(2):
        send(channel, "verify/once", "--resolved")
    channel.deliver()
    assert receiver.events(channel.server, "sent/verify/once") == ["raised", "resolved"]


def test_a_refused_message_is_reported_and_delivered_later(channel: Channel, receiver: Receiver) -> None:
    since = channel.now()
    receiver.switch("refuse", True)
    send(channel, "verify/refused", "'hold on'")
    channel.deliver()
    assert channel.waiting() == 2
    journal = channel.journal(since)
    assert re.search(r"mail was not delivered \(attempt \d+, again in \d+ seconds\): .*451", journal)
    assert re.search(r"webhook was not delivered \(attempt \d+, again in \d+ seconds\): .*503", journal)
    receiver.switch("refuse", False)
    channel.deliver()
    assert channel.waiting() == 0
    assert receiver.events(channel.server, "sent/verify/refused") == ["raised"]
    assert [mail for mail in receiver.mails(channel.server) if "sent/verify/refused" in mail["body"]]


def test_a_server_with_another_certificate_gets_nothing(channel: Channel, receiver: Receiver) -> None:
    since = channel.now()
    channel.sh("cp -a /etc/alarm-channel/channels.json /root/verify-channels.json; "
               "sed -i 's#\"ca_bundle\": .*#\"ca_bundle\": \"/etc/ssl/certs/ca-certificates.crt\",#' /etc/alarm-channel/channels.json")
    try:
        send(channel, "verify/other", "text")
        channel.deliver()
    finally:
        channel.sh("mv /root/verify-channels.json /etc/alarm-channel/channels.json")
    assert channel.journal(since).count("CERTIFICATE_VERIFY_FAILED") == 2
    assert receiver.events(channel.server, "sent/verify/other") == []


# The process is the one to look at when it is no longer systemd's own, on its way there.
DELIVERING = """
systemctl start --no-block alarm-channel-deliver
for n in $(seq 100); do
    pid=$(systemctl show --value -p MainPID alarm-channel-deliver)
    tr '\\0' ' ' </proc/$pid/cmdline 2>/dev/null | grep -q 'alarm-channel deliver' && break
    sleep 0.1
done
grep -E '^(NoNewPrivs|Seccomp|CapBnd):' /proc/$pid/status
echo "User: $(stat -c %U /proc/$pid)"
echo "Given: $(tr '\\0\\n' '  ' </proc/$pid/cmdline) $(tr '\\0\\n' '  ' </proc/$pid/environ)"
"""


def test_delivery_has_no_rights_but_to_deliver(channel: Channel, receiver: Receiver) -> None:
    receiver.switch("slow", True)
    send(channel, "verify/slow", "text")
    status = {name: value.strip() for name, value in (line.split(":", 1) for line in channel.sh(DELIVERING).splitlines())}
    receiver.switch("slow", False)
    assert (status["NoNewPrivs"], status["Seccomp"], int(status["CapBnd"], 16), status["User"]) == ("1", "2", 0, "alarm-channel")
    assert "alarm-channel deliver" in status["Given"]
    assert not [secret for secret in SECRETS if secret in status["Given"]]


@pytest.mark.parametrize("unit", ["alarm-channel-check", "alarm-channel-deliver", "pip-audit-shop@verify"])
def test_each_service_is_sandboxed(channel: Channel, unit: str) -> None:
    text = channel.sh(f"systemd-analyze security --no-pager {unit}.service")
    found = re.search(r"exposure level.*: ([0-9.]+)", text)
    assert found and float(found.group(1)) <= 2.0


def test_metrics_are_where_node_exporter_reads_them(channel: Channel) -> None:
    channel.check()
    text = channel.sh("runuser -u nobody -- cat /var/lib/prometheus/node-exporter/alarm-channel.prom")
    for line in text.splitlines():
        assert re.fullmatch(r'(# (HELP|TYPE) flask_host_\w+ .+|flask_host_\w+(\{(\w+="([^"\\]|\\.)*",?)+\})? [0-9.]+)', line), line
    assert f'flask_host_certificate_not_after_seconds{{domain="{channel.server.target.apps[0].domain}"}}' in text
    assert 'flask_host_audit_state{app="shop",state="could-not-audit"}' in text


def test_secrets_are_in_one_file_and_nowhere_else(channel: Channel, receiver: Receiver) -> None:
    program = ("import json, os, sys\nwanted = json.load(sys.stdin)\nfound = []\n"
               "for top in ('/etc', '/var', '/run', '/tmp', '/root'):\n"
               "    for folder, _, names in os.walk(top):\n"
               "        for path in (os.path.join(folder, name) for name in names):\n"
               "            if os.path.isfile(path) and not os.path.islink(path):\n"
               "                data = open(path, 'rb').read()\n"
               "                found += [path] * any(word.encode() in data for word in wanted)\n"
               "print(json.dumps(sorted(set(found))))\n")
    receiver.hosts.execute(channel.server.name, "cat > /root/verify.py", program.encode())
    found = json.loads(receiver.hosts.execute(channel.server.name, "python3 /root/verify.py; rm /root/verify.py", json.dumps(SECRETS).encode()))
    assert found == ["/etc/alarm-channel/channels.json"]
    assert channel.sh("stat -c '%U %a' /etc/alarm-channel/channels.json").strip() == "root 600"
    journal = channel.sh("journalctl --no-pager --output=cat")
    assert not [secret for secret in SECRETS if secret in journal]


def test_secrets_were_not_printed(converge_log: bytes) -> None:
    assert not [secret for secret in SECRETS if secret.encode() in converge_log]
