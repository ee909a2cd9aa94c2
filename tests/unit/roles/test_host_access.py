"""host_access: configurations of sshd, the firewall and fail2ban."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.tests.unit import support

OLD = {**support.FACTS, "distribution_major_version": "12"}


def settings(**given: object) -> dict[str, str]:
    lines = [line for line in support.render("host_access", "sshd.conf.j2", **given).splitlines() if line and line[0] != "#"]
    return dict(line.split(" ", 1) for line in lines)


def rules(**given: object) -> list[str]:
    return [line.strip() for line in support.render("host_access", "firewall.nft.j2", **given).splitlines()]


def jails(**given: object) -> list[str]:
    return support.render("host_access", "jail.conf.j2", **given).splitlines()


def test_only_keys_allow_a_login() -> None:
    found = settings()
    assert found["PasswordAuthentication"] == found["KbdInteractiveAuthentication"] == "no"
    assert found["PermitRootLogin"] == "prohibit-password"
    assert found["Port"] == "22"
    assert "AllowUsers" not in found
    assert "AllowGroups" not in found


def test_key_exchange_has_the_methods_of_the_release() -> None:
    new, old = settings()["KexAlgorithms"].split(","), settings(ansible_facts=OLD)["KexAlgorithms"].split(",")
    assert new[0] == "mlkem768x25519-sha256"
    assert old[0] == "sntrup761x25519-sha512@openssh.com"
    assert not set(old) - set(new)
    assert not any("diffie" in name or "nistp" in name for name in new)


def test_an_operators_settings_win() -> None:
    found = settings(host_access_ssh_settings={"AllowTcpForwarding": "local", "Banner": "/etc/issue.net"}, host_access_ssh_users=["alice", "bob"],
                     host_access_ssh_groups=["sudo"])
    assert found["AllowTcpForwarding"] == "local"
    assert found["Banner"] == "/etc/issue.net"
    assert found["AllowUsers"] == "alice bob"
    assert found["AllowGroups"] == "sudo"


def test_the_operators_network_is_not_penalized_where_penalties_are() -> None:
    given = {"host_access_ssh_from": ["192.0.2.0/24", "2001:db8::/32"]}
    assert settings(**given)["PerSourcePenaltyExemptList"] == "192.0.2.0/24,2001:db8::/32"
    assert settings()["PerSourcePenalties"] == "yes"
    assert "PerSourcePenaltyExemptList" not in settings()
    assert not [name for name in settings(**given, ansible_facts=OLD) if name.startswith("PerSourcePenalt")]


def test_connections_to_other_ports_are_dropped() -> None:
    found = rules(host_access_ssh_ports=[22, 2222], host_access_tcp_ports=[80, 443, 8443], host_access_udp_ports=[443])
    assert "type filter hook input priority filter; policy drop;" in found
    assert "tcp dport { 22, 2222 } jump ssh" in found
    assert "tcp dport { 80, 443, 8443 } jump web" in found
    assert "udp dport { 443 } accept" in found
    assert not any("flush ruleset" in line for line in found)
    assert not any("hook output" in line for line in found)


def test_with_a_list_ssh_is_open_to_it_only() -> None:
    def chain(**given: object) -> list[str]:
        found = rules(**given)
        start = found.index("chain ssh {")
        return [line for line in found[start:found.index("}", start)] if line.endswith("accept")]

    assert chain() == ["accept"]
    assert chain(host_access_ssh_from=["192.0.2.0/24"]) == ["ip saddr @ssh_from4 accept", "ip6 saddr @ssh_from6 accept"]
    sets = [line for line in rules(host_access_ssh_from=["192.0.2.0/24", "2001:db8::/32"]) if line.startswith("set ssh_from")]
    assert "elements = { 192.0.2.0/24 }" in sets[0]
    assert "elements = { 2001:db8::/32 }" in sets[1]


def test_outgoing_connections_are_denied_by_account() -> None:
    found = rules(host_access_outgoing_denied=True, host_access_outgoing={"shop": [443, 5432]}, flask_apps={"shop": {}})
    assert "type filter hook output priority filter; policy drop;" in found
    assert 'meta skuid "shop" tcp dport { 443, 5432 } accept' in found
    assert 'meta skuid "shop-build" tcp dport { 22, 80, 443 } accept' in found
    assert 'meta skuid "_apt" tcp dport { 80, 443 } accept' in found
    assert "meta skuid 61184-65519 tcp dport { 6514 } accept" in found
    found = rules(host_access_outgoing_denied=True, flask_apps={"shop": {"app_logging": {"ship_port": 7514}}, "api": {}})
    assert "meta skuid 61184-65519 tcp dport { 6514, 7514 } accept" in found


def test_applications_and_builds_reach_neither_ssh_nor_link_local_addresses() -> None:
    apps = {"shop": {}, "panel": {"gunicorn_app": {"management_access": True}}}
    found = rules(host_access_ssh_ports=[22, 2222], flask_apps=apps)
    assert [line for line in found if line.endswith("jump confined")] == [
        f'meta skuid "{account}" jump confined' for account in ("shop", "shop-build", "panel-build")]
    start = found.index("chain confined {")
    assert found[start + 1:found.index("}", start)] == [
        "oif lo tcp dport { 22, 2222 } reject with tcp reset", "meta l4proto { tcp, udp } th dport 53 return",
        "ip daddr 169.254.0.0/16 reject", "ip6 daddr { fe80::/10, fd00:ec2::254 } reject"]


def test_exempt_addresses_are_not_banned() -> None:
    found = jails(host_access_ssh_from=["192.0.2.0/24"], host_access_proxies=["198.51.100.0/24"], host_access_never_ban=["203.0.113.9"])
    assert "ignoreip = 127.0.0.0/8 ::1 192.0.2.0/24 198.51.100.0/24 203.0.113.9" in found
    assert "backend = systemd" in found


def test_failed_logins_are_counted_from_lines_of_sshd() -> None:
    found = jails(host_access_ssh_failures=7)
    assert "journalmatch = _SYSTEMD_UNIT=ssh.service _COMM=sshd + _SYSTEMD_UNIT=ssh.service _COMM=sshd-session" in found
    assert "maxretry = 7" in found
    assert not any("[nginx-limits]" in line for line in jails(host_access_tcp_ports=[]))


LINE = ('{"time":"2026-11-25T13:00:00.123+00:00","level":"warning","source":"nginx","application":"shop","request_id":"a","message":"GET %s 429",'
        '"client":"192.0.2.7","method":"GET","path":"%s","status":"429","rate_limit":"%s","connection_limit":"%s","referer":"","agent":"%s"}')
FORGED = r'\",\"client\":\"203.0.113.9\",\"rate_limit\":\"REJECTED\"'


@pytest.mark.parametrize(("line", "client"), [
    (LINE % ("/", "/", "REJECTED", "PASSED", "x"), "192.0.2.7"),
    (LINE % ("/", "/", "PASSED", "REJECTED", "x"), "192.0.2.7"),
    (LINE % (FORGED, FORGED, "REJECTED", "PASSED", FORGED), "192.0.2.7"),
    (LINE % (FORGED, FORGED, "PASSED", "PASSED", FORGED), None),
    (LINE % ("/", "/", "PASSED", "PASSED", "x"), None),
], ids=["rate", "connections", "forged and refused", "forged", "served"])
def test_a_refused_request_is_known_by_its_line_and_by_nothing_a_client_wrote(line: str, client: str | None) -> None:
    text = support.render("host_access", "nginx-limits.conf.j2")
    pattern = re.search(r"^failregex = (.*)$", text, re.MULTILINE)[1].replace("<ADDR>", r"(?P<client>[\da-fA-F:.]+)")
    found = re.match(pattern, line)
    assert (found and found["client"]) == client


@pytest.mark.parametrize(("firewall", "bans"), [(True, True), (False, True), (True, False), (False, False)])
def test_features_that_are_turned_off_are_removed(firewall: bool, bans: bool) -> None:
    found = support.role_vars("host_access", host_access_firewall=firewall, host_access_bans=bans)
    gone = {entry["dest"] for entry in found["__host_access_files"] if entry.get("state") == "absent"}
    assert ("/etc/host-access/firewall.nft" in gone) == (not firewall)
    assert ("/etc/fail2ban/jail.d/zz-host-access.conf" in gone) == (not bans)
    assert ("fail2ban" in found["__host_access_packages"]) == bans
    words = [command[0] for command in found["__host_access_validate"]]
    assert ("fail2ban-client" in words) == bans


def test_the_loader_leaves_out_accounts_that_are_not_there(tmp_path: Path) -> None:
    script = support.render("host_access", "host-access-firewall.sh.j2", __host_access_directory=str(tmp_path))
    (tmp_path / "firewall.nft").write_text("\n".join(
        rules(host_access_outgoing_denied=True, host_access_outgoing={"root": [1], "no-such-account": [2]})))
    (tmp_path / "nft").write_text("#!/bin/sh\ncat\n")
    (tmp_path / "nft").chmod(0o755)
    (tmp_path / "script").write_text(script)
    done = subprocess.run(["sh", str(tmp_path / "script"), "test"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True,
                          check=True)
    assert done.stdout.startswith("table inet host_access {}\ndelete table inet host_access\n")
    assert 'meta skuid "root" tcp dport { 1 }' in done.stdout
    assert "no-such-account" not in done.stdout
