"""The certificate renews itself without an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from host.client import SteadyClient

TIMER = r'''
unit = "acme-cert-renew@%s.timer" % GIVEN["app"]
key = os.path.realpath("/etc/ssl/acme-cert/%s/privkey.pem" % GIVEN["app"])
print(json.dumps({"enabled": output("systemctl", "is-enabled", unit).decode().strip(),
                  "timer": properties(unit, "ActiveState", "NextElapseUSecRealtime", "RandomizedDelayUSec"),
                  "result": properties(unit.replace(".timer", ".service"), "Result")["Result"], "key": mode(key),
                  "folder": mode(os.path.dirname(key))}))
'''

RENEW = r'''
app = GIVEN["app"]
unit = "acme-cert-renew@%s.service" % app
before = properties("nginx.service", "MainPID", "NRestarts", "ActiveEnterTimestampMonotonic")
open("/run/acme-cert-force-" + app, "w").close()
done = subprocess.run(["systemctl", "start", unit], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
log = output("journalctl", "--unit=" + unit, "--output=cat", "--no-pager", "--lines=15").decode()
print(json.dumps({"rc": done.returncode, "log": done.stdout.decode() + log,
                  "nginx_stayed": before == properties("nginx.service", "MainPID", "NRestarts", "ActiveEnterTimestampMonotonic"),
                  "force_left": os.path.exists("/run/acme-cert-force-" + app)}))
'''


# As on a host that goes down between the end of certbot and the reload.
INTERRUPTED = r'''
app = GIVEN["app"]
unit = "acme-cert-renew@%s.service" % app
folder = "/run/systemd/system/%s.d" % unit
os.makedirs(folder)
with open(folder + "/interrupted.conf", "w") as stream:
    stream.write("[Service]\nExecStart=\nExecStart=/usr/local/sbin/acme-cert-renew %i\n")
open("/run/acme-cert-force-" + app, "w").close()
try:
    done = [subprocess.run(["systemctl", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for words in
            (["daemon-reload"], ["start", unit], ["restart", "nginx"])]
finally:
    os.unlink(folder + "/interrupted.conf")
    os.rmdir(folder)
    output("systemctl", "daemon-reload")
told = subprocess.run(["systemctl", "start", unit], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
print(json.dumps({"rc": [one.returncode for one in done], "told": told.returncode,
                  "said": output("journalctl", "--unit=nginx", "--output=cat", "--no-pager", "--lines=5").decode()}))
'''


def served_serial(site: Any) -> str:
    """The serial number of the served certificate."""
    with site.server.outside.tls(site.domain) as connection:
        return connection.getpeercert()["serialNumber"]


def test_renewal_is_scheduled_at_a_random_moment(site: Any, remember: Callable[..., Any]) -> None:
    timer = remember(site, TIMER)
    assert timer["enabled"] == "enabled"
    assert timer["timer"]["ActiveState"] == "active"
    assert timer["timer"]["NextElapseUSecRealtime"]
    assert timer["timer"]["RandomizedDelayUSec"] not in ("", "0")
    assert timer["result"] == "success", "the last renewal failed"


def test_only_root_and_the_web_server_can_read_the_private_key(site: Any, remember: Callable[..., Any]) -> None:
    timer = remember(site, TIMER)
    assert timer["key"] == "root:ssl-cert 0640"


@pytest.mark.intrusive
def test_a_renewal_changes_the_served_certificate_without_a_failed_request(site: Any) -> None:
    before = served_serial(site)
    client = SteadyClient(site)
    client.start()
    try:
        renewal = site.ask(RENEW)
        deadline = time.monotonic() + 10
        while served_serial(site) == before and time.monotonic() < deadline:
            time.sleep(0.3)
        time.sleep(1)
    finally:
        client.stop()
    assert renewal["rc"] == 0, renewal["log"]
    assert served_serial(site) != before, "clients still get the old certificate"
    assert client.failures == []
    assert client.answers >= 10
    assert renewal["nginx_stayed"], "the web server was restarted"
    assert not renewal["force_left"], "the next run would force a renewal again"


@pytest.mark.intrusive
def test_a_host_that_goes_down_between_renewal_and_reload_serves_the_new_certificate(site: Any) -> None:
    before = served_serial(site)
    found = site.ask(INTERRUPTED)
    assert found["rc"] == [0, 0, 0], found["said"]
    assert found["told"] == 0, "the next renewal did not finish what was interrupted"
    assert served_serial(site) != before
