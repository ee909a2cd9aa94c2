"""Rules of `host_access`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import (
    CONTROL,
    NETWORKS,
    PORTS,
    Rule,
    are_ports,
    between,
    each,
    is_whole,
)
from ansible_collections.bulwark.flask.plugins.module_utils.names import ACCOUNT


def ssh_ports(where: str, value: Any) -> list[str]:
    """Ports of sshd; at least one."""
    return [] if value and are_ports(value) else [f"{where} must be one or more ports, such as [22]"]


def ssh_settings(where: str, value: Mapping[str, Any]) -> list[str]:
    """Settings of sshd by name. sshd itself validates them."""
    problems = []
    for name, given in value.items():
        at = f"{where}.{name}"
        if not re.fullmatch(r"[A-Za-z0-9]+", str(name)):
            problems.append(f"{where}: every name is one of sshd_config(5), such as AllowTcpForwarding")
        elif str(name).lower() in ("port", "allowusers", "allowgroups", "match", "include"):
            instead = {"port": "host_access_ssh_ports", "allowusers": "host_access_ssh_users", "allowgroups": "host_access_ssh_groups"}
            problems.append(f"{at} has no place here; " + (f"write {instead[str(name).lower()]}" if str(name).lower() in instead
                                                           else "write a file of yours in /etc/ssh/sshd_config.d"))
        elif isinstance(given, bool):
            problems.append(f'{at} was read as true or false; put it in quotes: "yes" or "no"')
        elif not isinstance(given, (str, int)) or CONTROL.search(str(given)) or not str(given).strip():
            problems.append(f"{at} must be one line, as in sshd_config")
    return problems


def outgoing_ports(where: str, value: Mapping[str, Any]) -> list[str]:
    """Ports by account."""
    problems = []
    for account, ports in value.items():
        if not ACCOUNT.fullmatch(str(account)):
            problems.append(f"{where}: every name is an account's, such as shop")
        elif not isinstance(ports, list) or not all(re.fullmatch(r"\d+", str(port)) for port in ports) or not are_ports(ports):
            problems.append(f"{where}.{account} must be a list of ports, such as [443, 5432]")
    return problems


def agreement(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Ports of SSH and ports that are open to all."""
    ssh, open_to_all = (_numbers(given.get(name, defaults.get(name))) for name in ("host_access_ssh_ports", "host_access_tcp_ports"))
    return [f"host_access_tcp_ports has {port}, a port of SSH (host_access_ssh_ports); host_access_ssh_from would not hold for it: "
            "take it out" for port in sorted(ssh & open_to_all)]


def _numbers(value: Any) -> set[int]:
    return {int(port) for port in value if is_whole(port)} if isinstance(value, list) else set()


RULES: dict[str, Rule] = {
    "confirm_seconds": between(20, 600, "a number of seconds"),
    "never_ban": NETWORKS,
    "outgoing": outgoing_ports,
    "proxies": NETWORKS,
    "ssh_failures": between(5, 1000, "a number of connections"),
    "ssh_from": NETWORKS,
    "ssh_groups": each(r"[^\s\"#]+", "must be groups, such as sudo"),
    "ssh_ports": ssh_ports,
    "ssh_settings": ssh_settings,
    "ssh_users": each(r"[^\s\"#]+", "must be accounts, such as alice, or alice@192.0.2.0/24"),
    "tcp_ports": PORTS,
    "udp_ports": PORTS,
}
