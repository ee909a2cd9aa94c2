"""Services that the firewall would close are reported."""

from __future__ import annotations

from ansible_collections.bulwark.flask.plugins.module_utils.host_access import firewall

LISTING = """udp UNCONN 0 0 0.0.0.0:68 0.0.0.0:* users:(("dhclient",pid=9,fd=6))
udp UNCONN 0 0 [::]:5353 [::]:* users:(("avahi-daemon",pid=7,fd=13))
tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=1,fd=3))
tcp LISTEN 0 100 127.0.0.1:25 0.0.0.0:* users:(("master",pid=2,fd=13))
tcp LISTEN 0 100 [::1]:25 [::]:* users:(("master",pid=2,fd=14))
tcp LISTEN 0 100 127.0.0.53%lo:53 0.0.0.0:* users:(("systemd-resolve",pid=8,fd=14))
tcp LISTEN 0 511 *:8443 *:* users:(("node",pid=3,fd=18),("node",pid=4,fd=18))
tcp LISTEN 0 511 0.0.0.0:8443 0.0.0.0:*
tcp LISTEN 0 511 [::]:443 [::]:* users:(("nginx",pid=5,fd=6))
tcp LISTEN 0 128 192.0.2.1:5432 0.0.0.0:*
"""


def test_a_service_on_a_port_that_is_not_open_is_named() -> None:
    found = firewall.closed_services(LISTING, {"tcp": {22, 80, 443}, "udp": set()})
    assert found == ["tcp 5432", "tcp 8443 (node)", "udp 5353 (avahi-daemon)"]
    assert firewall.closed_services(LISTING, {"tcp": {22, 443, 5432, 8443}, "udp": {5353}}) == []
