"""What processes of this host reach: SSH by other sockets, SSH and link-local addresses from applications, files of the role."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

METADATA = "169.254.169.254"
# The first bytes of sshd, over a unix socket.
GREETING = """
import socket
with socket.socket(socket.AF_UNIX) as s:
    s.connect("/run/ssh-unix-local/socket")
    print(s.recv(4).decode())
"""


def as_account(server: Any, account: str, *words: str) -> Any:
    return server.host.run("runuser -u %s -- timeout 10 " + shlex.join(words), account)


def reaches(server: Any, account: str, address: str, port: int) -> bool:
    """Whether an account opens a connection."""
    return bool(as_account(server, account, "bash", "-c", f"</dev/tcp/{address}/{port}").rc == 0)


def test_no_local_process_reaches_sshd_past_the_firewall(server: Any) -> None:
    assert "SSH-" not in as_account(server, "nobody", "python3", "-c", GREETING).stdout
    # Not after systemd has made its units again, either.
    server.host.check_output("systemctl daemon-reload")
    server.host.run("systemctl start sshd-unix-local.socket sshd-vsock.socket")
    assert "SSH-" not in as_account(server, "nobody", "python3", "-c", GREETING).stdout
    assert server.host.check_output("systemctl list-units --no-legend 'sshd-*.socket'") == ""


def test_applications_and_builds_do_not_reach_ssh_of_this_host(server: Any) -> None:
    own = server.host.check_output("hostname -I").split()[0]
    for address in ("127.0.0.1", "::1", own):
        assert [reaches(server, account, address, 22) for account in ("notes", "notes-build", "nobody", "root")] == [False, False, True, True]
        assert reaches(server, "notes", address, 443) is (address != "::1" or server.host.file("/proc/net/if_inet6").exists)


@pytest.fixture
def metadata(server: Any) -> Any:
    """A service at the address of a cloud's metadata service: port 80 of nginx."""
    server.host.check_output("ip address add %s/32 dev lo", METADATA)
    yield server
    server.host.check_output("ip address delete %s/32 dev lo", METADATA)


def test_applications_and_builds_do_not_reach_link_local_addresses(metadata: Any) -> None:
    assert [reaches(metadata, account, METADATA, 80) for account in ("notes", "notes-build", "nobody", "root")] == [False, False, True, True]


def test_a_resolver_may_have_a_link_local_address(metadata: Any) -> None:
    metadata.host.check_output("systemd-run --quiet --unit=other-service --collect --service-type=exec python3 -c %s",
                               "import socket, time; s = socket.create_server(('169.254.169.254', 53)); time.sleep(60)")
    try:
        assert reaches(metadata, "notes", METADATA, 53)
    finally:
        metadata.host.check_output("systemctl stop other-service")


def test_the_rules_of_an_account_are_loaded_when_it_is_made(server: Any) -> None:
    server.host.check_output("userdel notes-build")
    try:
        server.host.check_output("host-access-firewall load")
        assert 'skuid "notes-build"' not in server.host.check_output("nft list chain inet host_access applications")
    finally:
        server.host.check_output("systemd-sysusers")
    for _ in range(50):
        if "notes-build" in server.host.check_output("nft list chain inet host_access applications"):
            break
        server.host.check_output("sleep 0.2")
    assert not reaches(server, "notes-build", "127.0.0.1", 22)


def test_only_root_reads_the_rules(server: Any) -> None:
    for path in ("/run/host-access-firewall.loaded", "/etc/host-access/firewall.nft"):
        assert server.host.file(path).size > 0
        assert as_account(server, "nobody", "cat", path).rc != 0


def test_logs_of_many_new_sites_are_added_and_while_fail2ban_starts(server: Any) -> None:
    for _ in range(3):
        server.host.check_output("systemctl stop fail2ban; systemctl start fail2ban; systemctl start host-access-logs.service")
    for number in range(12):
        server.host.check_output(f"mkdir /var/log/nginx/new-{number}; touch /var/log/nginx/new-{number}/access.log; sleep 0.5")
    server.host.check_output("rm -r /var/log/nginx/new-*; sleep 1")
    assert server.host.check_output("systemctl list-units --failed --no-legend 'host-access*' fail2ban.service") == ""
    server.host.check_output("timeout 60 sh -c 'until fail2ban-client ping; do sleep 0.2; done'")
