"""Check whether the SSH connection of a run could be opened again under a new configuration. No Ansible imports.

Three mistakes are refused: another port, a source address that is left out, key login turned off.
The rollback timer covers all others.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import time
from typing import Optional


@dataclasses.dataclass(frozen=True)
class Session:
    """The SSH connection of a run, as the host sees it."""

    user: str
    address: str
    client_port: int
    server_address: str
    port: int


def session_of(environment: dict[str, str]) -> Optional[Session]:
    """The session that a process with this environment belongs to."""
    parts = environment.get("SSH_CONNECTION", "").split()
    if len(parts) != 4 or not parts[1].isdigit() or not parts[3].isdigit():
        return None
    user = environment.get("SUDO_USER") or environment.get("LOGNAME") or environment.get("USER") or ""
    return Session(user, parts[0].split("%")[0], int(parts[1]), parts[2].split("%")[0], int(parts[3]))


def read_environment(pid: int, proc: str = "/proc") -> dict[str, str]:
    """The environment a process was started with."""
    try:
        with open(f"{proc}/{pid}/environ", "rb") as stream:
            items = stream.read().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(item.split("=", 1) for item in items if "=" in item)


def parent_of(pid: int, proc: str = "/proc") -> int:
    """The parent of a process; 0 when there is none."""
    try:
        with open(f"{proc}/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return int(stream.read().rsplit(")", 1)[1].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def own_session(pid: int, proc: str = "/proc") -> Optional[Session]:
    """The session of a process or of its nearest ancestor with one: sudo removes the variable from what it starts."""
    session = None
    while pid > 1 and session is None:
        session = session_of(read_environment(pid, proc))
        pid = parent_of(pid, proc)
    return session


def started(pid: int, proc: str = "/proc") -> float:
    """When a process started, in seconds since the epoch; 0 when there is none."""
    try:
        with open(f"{proc}/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            ticks = int(stream.read().rsplit(")", 1)[1].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def login_since(moment: float, proc: str = "/proc") -> Optional[Session]:
    """A session over SSH that was opened after a moment, None without one."""
    pids = [int(name) for name in os.listdir(proc) if name.isdigit()]
    sessions = (session_of(read_environment(pid, proc)) for pid in pids if started(pid, proc) > moment)
    # What a session has started earlier, such as a shell, knows its connection too.
    known = {(old.address, old.client_port) for pid in pids if started(pid, proc) <= moment and (old := session_of(read_environment(pid, proc)))}
    return next((session for session in sessions if session and (session.address, session.client_port) not in known), None)


def _in_network(address: str, network: str) -> bool:
    """Whether an address belongs to an address or network; a text that is neither contains nothing."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def problems(config: dict[str, list[str]], session: Session, allowed: Optional[list[int]], sources: list[str]) -> list[str]:
    """Reasons why this session could not be opened again.

    `config` is the output of `sshd -T`, parsed. `allowed` are the ports the firewall opens for SSH, None without a
    firewall; `sources` are the addresses and networks it admits, all when empty.
    """
    reasons, listening = [], [int(port) for port in config.get("port", []) if port.isdigit()]
    if session.port not in listening:
        reasons.append(f"sshd would no longer listen on port {session.port}, which this run uses: keep {session.port} in host_access_ssh_ports "
                       "beside the new port, set ansible_port in the inventory to the new one, then remove the old one")
    if allowed is not None and session.port not in allowed:
        reasons.append(f"the firewall would close port {session.port}, which this run uses")
    if allowed is not None and sources and not any(_in_network(session.address, source) for source in sources):
        reasons.append(f"host_access_ssh_from does not contain {session.address}, the address this run comes from (as the host sees it)")
    if config.get("pubkeyauthentication", ["yes"])[0] != "yes":
        reasons.append("PubkeyAuthentication no would switch key login off: remove it from host_access_ssh_settings")
    return reasons
