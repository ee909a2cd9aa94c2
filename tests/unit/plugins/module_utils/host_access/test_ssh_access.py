"""What closes an operator's way in is known before anything changes."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.host_access import ssh_access
from ansible_collections.bulwark.flask.plugins.module_utils.host_access.ssh_access import Account, Key, Session

ME = Session("alice", "192.0.2.7", 40000, "198.51.100.1", 22, "publickey")
ROOT = Session("root", "192.0.2.7", 40000, "198.51.100.1", 22, "publickey")
ALICE = Account(["alice", "sudo"], "/home/alice", 1000)
SUPER = Account(["root"], "/root", 0)
GOOD = {"port": ["22"], "pubkeyauthentication": ["yes"], "passwordauthentication": ["no"], "permitrootlogin": ["without-password"],
        "authorizedkeysfile": [".ssh/authorized_keys /etc/keys/%u"], "authorizedkeyscommand": ["none"], "trustedusercakeys": ["none"],
        "pubkeyacceptedalgorithms": ["ssh-ed25519,rsa-sha2-512,rsa-sha2-256"], "requiredrsasize": ["2048"]}
KEY = {"SHA256:mine": Key("ssh-ed25519")}


@pytest.mark.parametrize(("more", "closed"), [
    ({}, ""),
    ({"allowusers": ["alice"]}, ""),
    ({"allowusers": ["bob", "ali*"]}, ""),
    ({"allowusers": ["alice@192.0.2.0/24"]}, ""),
    ({"allowusers": ["alice@192.0.2.*"]}, ""),
    ({"allowusers": ["bob"]}, "AllowUsers"),
    ({"allowusers": ["alice@203.0.113.0/24"]}, "AllowUsers"),
    ({"allowusers": ["!alice", "*"]}, "AllowUsers"),
    ({"allowusers": ["[a]lice"]}, "AllowUsers"),
    ({"denyusers": ["alice"]}, "DenyUsers"),
    ({"denyusers": ["bob"]}, ""),
    ({"allowgroups": ["sudo"]}, ""),
    ({"allowgroups": ["wheel"]}, "AllowGroups"),
    ({"denygroups": ["sudo"]}, "DenyGroups"),
    ({"permitrootlogin": ["no"]}, ""),
])
def test_an_account_that_would_be_refused_is_named(more: dict[str, list[str]], closed: str) -> None:
    found = ssh_access.account_problems(GOOD | more, ME, ALICE)
    assert len(found) == bool(closed)
    assert not closed or closed in found[0]


@pytest.mark.parametrize(("value", "closed"), [("no", True), ("forced-commands-only", True), ("without-password", False), ("yes", False)])
def test_root_is_told_when_root_may_not_come_back(value: str, closed: bool) -> None:
    assert bool(ssh_access.account_problems(GOOD | {"permitrootlogin": [value]}, ROOT, SUPER)) == closed


def test_a_password_is_refused_when_only_keys_will_do() -> None:
    by_password = dataclasses.replace(ME, method="password")
    assert "ssh-copy-id" in ssh_access.method_problems(GOOD, by_password, [], KEY)[0]
    assert not ssh_access.method_problems(GOOD | {"passwordauthentication": ["yes"]}, by_password, [], {})


def test_who_has_no_key_is_told_where_it_belongs() -> None:
    paths = ssh_access.authorized_key_files(GOOD, ME, ALICE)
    assert paths == ["/home/alice/.ssh/authorized_keys", "/etc/keys/alice"]
    assert "a key of alice is not in /home/alice/.ssh/authorized_keys" in ssh_access.method_problems(GOOD, ME, paths, {})[0]
    assert not ssh_access.method_problems(GOOD, ME, paths, KEY)
    assert not ssh_access.method_problems(GOOD | {"trustedusercakeys": ["/etc/ssh/ca.pub"]}, ME, paths, {})
    assert ssh_access.method_problems(GOOD | {"pubkeyauthentication": ["no"]}, ME, paths, KEY)


@pytest.mark.parametrize(("key", "more", "closed"), [
    ("SHA256:mine", {}, ""),
    ("SHA256:theirs", {}, "your key SHA256:theirs is not in"),
    ("SHA256:theirs", {"authorizedkeyscommand": ["/usr/bin/keys"]}, ""),
    ("SHA256:mine", {"pubkeyacceptedalgorithms": ["rsa-sha2-512"]}, "PubkeyAcceptedAlgorithms would not have ssh-ed25519"),
    ("SHA256:rsa", {}, ""),
    ("SHA256:rsa", {"requiredrsasize": ["4096"]}, "has 3072 bits, and 4096 will be required"),
    ("SHA256:rsa", {"pubkeyacceptedalgorithms": ["ssh-ed25519"]}, "would not have rsa-sha2-512 or"),
])
def test_the_very_key_that_was_used_has_to_serve_again(key: str, more: dict[str, list[str]], closed: str) -> None:
    found = ssh_access.method_problems(GOOD | more, dataclasses.replace(ME, key=key), ["/keys"], {**KEY, "SHA256:rsa": Key("ssh-rsa", 3072)})
    assert bool(found) == bool(closed)
    assert closed in " ".join(found)


@pytest.mark.parametrize(("kind", "bits", "size"), [("ed25519", "256", 0), ("rsa", "1024", 1024), ("ecdsa", "256", 0)])
def test_keys_are_known_by_the_fingerprints_of_the_log(tmp_path: Path, kind: str, bits: str, size: int) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", str(tmp_path / "key")], check=True)
    told = subprocess.run(["ssh-keygen", "-l", "-f", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True).stdout.split()
    keys = tmp_path / "authorized_keys"
    keys.write_text('# nobody\n\nssh-ed25519 AAAA=broken me\nfrom="192.0.2.0/24",restrict ' + (tmp_path / "key.pub").read_text())
    assert not ssh_access.keys_in([str(tmp_path / "none")])
    found = ssh_access.keys_in([str(tmp_path / "none"), str(keys)])
    assert found[told[1]].bits == size
    assert (tmp_path / "key.pub").read_text().split()[0] == found[told[1]].kind


@pytest.mark.parametrize(("ports", "allowed", "sources", "closed"), [
    (["22"], [22], [], ""),
    (["2222", "22"], [22, 2222], [], ""),
    (["2222"], [2222], [], "no longer listen on port 22"),
    (["22"], [2222], [], "firewall would not let port 22"),
    (["22"], None, ["203.0.113.0/24"], ""),
    (["22"], [22], ["203.0.113.0/24", "2001:db8::/32"], "does not have 192.0.2.7"),
    (["22"], [22], ["192.0.2.0/24"], ""),
    (["22"], [22], ["192.0.2.7"], ""),
])
def test_a_port_or_source_that_would_be_closed_is_named(ports: list[str], allowed: list[int] | None, sources: list[str],
                                                       closed: str) -> None:
    found = " ".join(ssh_access.network_problems(GOOD | {"port": ports}, ME, allowed, sources))
    assert closed in found
    assert bool(found) == bool(closed)


def test_the_session_is_found_behind_sudo(tmp_path: Path) -> None:
    def process(pid: int, parent: int, **environment: str) -> None:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a (b) c) S {parent} 1 1")
        (tmp_path / str(pid) / "environ").write_text("\0".join(f"{key}={value}" for key, value in environment.items()) + "\0")

    process(10, 1)
    process(20, 10, USER="alice", LOGNAME="alice", SSH_CONNECTION="192.0.2.7 40000 198.51.100.1 22")
    process(30, 20, USER="root", SUDO_USER="alice")
    assert ssh_access.own_session(30, str(tmp_path)) == Session("alice", "192.0.2.7", 40000, "198.51.100.1", 22)
    assert ssh_access.own_session(10, str(tmp_path)) is None


def test_the_log_says_how_a_session_was_opened() -> None:
    log = ("Accepted password for alice from 192.0.2.7 port 39999 ssh2\nAccepted publickey for alice from 192.0.2.7 port 40000 "
           "ssh2: ED25519 SHA256:x\nAccepted password for alice from 192.0.2.7 port 400001 ssh2")
    unknown = dataclasses.replace(ME, method="")
    assert ssh_access.with_login(unknown, log) == dataclasses.replace(ME, key="SHA256:x")
    assert ssh_access.with_login(unknown, log.replace("ED25519", "ED25519-CERT")) == ME
    assert ssh_access.with_login(unknown, log.replace("publickey", "keyboard-interactive/pam")).method == "keyboard-interactive"
    assert ssh_access.with_login(unknown, log.replace("192.0.2.7", "192.0.2.8")) == unknown


def test_a_file_that_came_first_is_noticed() -> None:
    ours = ssh_access.parse("port 22\npasswordauthentication no\nmaxauthtries 4\nport 2222")
    whole = ssh_access.parse("port 2222\nport 22\nport 443\npasswordauthentication yes\nmaxauthtries 4")
    found = ssh_access.overruled(ours, whole, ["Port", "PasswordAuthentication", "MaxAuthTries"])
    assert len(found) == 1
    assert "PasswordAuthentication would be yes instead of no" in found[0]


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


def test_what_others_reach_and_would_not_any_more_is_named() -> None:
    assert ssh_access.closed(LISTING, {"tcp": {22, 80, 443}, "udp": set()}) == ["tcp 5432", "tcp 8443 (node)", "udp 5353 (avahi-daemon)"]
    assert ssh_access.closed(LISTING, {"tcp": {22, 443, 5432, 8443}, "udp": {5353}}) == []
