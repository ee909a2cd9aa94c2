"""Services that a firewall would close. No Ansible imports."""

from __future__ import annotations

import re

# Ports of the host's own requests for an address (DHCP of IPv4 and IPv6): responses arrive as established traffic.
DHCP_CLIENT = {68, 546}


def closed_services(listing: str, opened: dict[str, set[int]]) -> list[str]:
    """Services that listen on ports the firewall does not open.

    `listing` is the output of `ss -Hlntup`, `opened` the open ports by protocol (`tcp`, `udp`). Loopback does not count.
    """
    services = {}
    for protocol, _unused, _unused, _unused, local, _unused, *process in (line.split(None, 6) for line in listing.splitlines() if len(line.split()) > 5):
        address, _unused, port = local.rpartition(":")
        address = address.strip("[]").removeprefix("::ffff:")
        if address.startswith("127.") or address == "::1" or address.endswith("%lo") or int(port) in opened[protocol]:
            continue
        if protocol == "tcp" or int(port) not in DHCP_CLIENT:
            names = re.findall(r'"([^"]+)"', process[0]) if process else []
            if names or (protocol, int(port)) not in services:
                services[protocol, int(port)] = f"{protocol} {port}" + (f" ({names[0]})" if names else "")
    return [services[key] for key in sorted(services)]
