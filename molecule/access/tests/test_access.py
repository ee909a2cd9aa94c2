"""Open ports, bans and limits of the host, from outside and from a second address."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
PINNED = Path(__file__).resolve().parents[1] / "ssh-audit.txt"
# A second machine on the host's network, with its own addresses.
NEIGHBOUR = """
ip netns add neighbour
ip link add to-neighbour type veth peer name eth0 netns neighbour
ip addr add 192.0.2.1/24 dev to-neighbour; ip -6 addr add 2001:db8::1/64 dev to-neighbour nodad; ip link set to-neighbour up
ip -n neighbour addr add 192.0.2.2/24 dev eth0; ip -n neighbour -6 addr add 2001:db8::2/64 dev eth0 nodad
ip -n neighbour link set lo up; ip -n neighbour link set eth0 up
"""
# How many of a number of connections are opened within three seconds, and kept.
CONNECT = r'''
import select, time
waiting, opened, poll = {}, [], select.poll()
for n in range(GIVEN["count"]):
    s = socket.socket(socket.AF_INET6 if ":" in GIVEN["to"] else socket.AF_INET)
    s.setblocking(False)
    s.connect_ex((GIVEN["to"], GIVEN["port"]))
    waiting[s.fileno()] = s
    poll.register(s, select.POLLOUT)
end = time.monotonic() + 3
while waiting and time.monotonic() < end:
    for number, event in poll.poll(100):
        poll.unregister(number)
        s = waiting.pop(number)
        if s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            opened.append(s)
print(json.dumps(len(opened)), flush=True)
time.sleep(GIVEN["hold"])
'''
# A person who is logged in, and a service that calls itself sshd, write what sshd writes.
FORGED = """
for n in $(seq 12); do echo 'Invalid user admin from 203.0.113.7 port 40000'; done | logger --tag=sshd
systemd-run --quiet --wait --collect --property=SyslogIdentifier=sshd bash -c '
    printf sshd >/proc/self/comm; for n in {1..12}; do echo "Invalid user admin from 203.0.113.8 port 40000"; done; sleep 1'
"""
# Requests through one connection, as fast as they are answered.
FLOOD = r'''
import http.client, ssl
statuses = {}
context = ssl._create_unverified_context()
try:
    while sum(statuses.values()) < GIVEN["count"]:
        s = context.wrap_socket(socket.create_connection((GIVEN["to"], 443), timeout=5), server_hostname=GIVEN["name"])
        c = http.client.HTTPConnection(GIVEN["name"]); c.sock = s
        for _ in range(50):
            c.request("GET", "/")
            status = c.getresponse(); status.read(); statuses[status.status] = statuses.get(status.status, 0) + 1
        c.close()
except OSError as error:
    statuses["error"] = str(error)
print(json.dumps(statuses))
'''


def until(question: Callable[[], Any], seconds: float = 90) -> Any:
    """Ask until the answer is yes."""
    give_up = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < give_up, "it did not come about"
        time.sleep(0.5)
    return answer


class Neighbour:
    """Runs programs as the other machine."""

    def __init__(self, server: Any) -> None:
        self.server = server

    def run(self, *words: str) -> Any:
        """A command, as it would run there."""
        return self.server.host.run(" ".join(["ip netns exec neighbour", *["%s"] * len(words)]), *words)

    def program(self, program: str, **given: Any) -> Any:
        """A program's answer."""
        head = f"import json, socket\nGIVEN = json.loads({json.dumps(json.dumps(given))})\n"
        done = self.run("python3", "-c", head + program)
        assert done.rc == 0, done.stderr
        return json.loads(done.stdout)

    def connects(self, port: int, to: str = "192.0.2.1", count: int = 1, hold: float = 0) -> int:
        """How many connections to a port are opened."""
        return int(self.program(CONNECT, to=to, port=port, count=count, hold=hold))


@pytest.fixture(scope="session")
def neighbours() -> Iterator[dict[str, Neighbour]]:
    """One for each host, gone at the end."""
    neighbours: dict[str, Neighbour] = {}
    yield neighbours
    for neighbour in neighbours.values():
        neighbour.server.host.run("ip netns delete neighbour")


@pytest.fixture
def neighbour(server: Any, neighbours: dict[str, Neighbour]) -> Neighbour:
    """The other machine."""
    if server.name not in neighbours:
        for line in NEIGHBOUR.strip().splitlines():
            server.host.run_expect([0], line)
        neighbours[server.name] = Neighbour(server)
        until(lambda: neighbours[server.name].run("ping", "-c1", "-W1", "192.0.2.1").rc == 0 if server.host.exists("ping") else True)
    return neighbours[server.name]


@pytest.fixture(scope="session")
def ssh_audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The grader, pinned: a folder of pure Python."""
    folder = tmp_path_factory.mktemp("ssh-audit")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--target",
                    str(folder), "--requirement", str(PINNED)], check=True)
    return folder


def wait_for_bans(server: Any) -> None:
    """Wait until fail2ban has read what sshd has logged so far: lines are read in order, and this one is ignored with a line of its own."""
    def ignored() -> str:
        return str(server.host.run("grep -c 'Ignore 127.0.0.1' /var/log/fail2ban.log").stdout)

    before = ignored()
    # An account that does not exist is logged in every case; how a closed connection is logged depends on when it is closed.
    server.host.run_expect([0], "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null no-such-account@127.0.0.1; test $? = 255")
    until(lambda: ignored() != before)


@pytest.fixture
def unbanned(server: Any) -> Iterator[None]:
    """The test measures sshd and the firewall, so bans are turned off."""
    server.host.run_expect([0], "fail2ban-client set sshd addignoreip 192.0.2.2")
    yield
    # Remove the penalties of sshd, also for this host.
    server.host.run_expect([0], "systemctl restart ssh")
    wait_for_bans(server)
    server.host.run_expect([0], "fail2ban-client set sshd delignoreip 192.0.2.2")


@pytest.mark.usefixtures("unbanned")
def test_the_firewall_lets_few_connections_through_to_ssh_at_once(neighbour: Neighbour) -> None:
    assert 10 <= neighbour.connects(22, count=60) <= 40


@pytest.mark.usefixtures("unbanned")
def test_ssh_audit_finds_no_fault(client: Any, neighbour: Neighbour, ssh_audit: Path) -> None:
    packed = subprocess.run(["tar", "-cz", "ssh_audit"], cwd=ssh_audit, capture_output=True, check=True).stdout
    client.ssh("mkdir -p /root/grader && tar -xzC /root/grader", stdin=packed)
    done = neighbour.run("env", "PYTHONPATH=/root/grader", "python3", "-m", "ssh_audit.ssh_audit", "--json", "192.0.2.1")
    found = json.loads(done.stdout)
    notes = {(kind, item["algorithm"]): item["notes"] for kind in ("kex", "key", "enc", "mac") for item in found[kind] if item.get("notes")}
    assert not {key: note for key, note in notes.items() if note.get("fail")}
    assert {name for (_, name), note in notes.items() if note.get("warn")} == {"curve25519-sha256", "curve25519-sha256@libssh.org"}
    # Connections were throttled, too: that it found otherwise would be a note.
    assert not [note for note in found["additional_notes"] if "throttl" in note]
    assert not found["cves"]


def test_a_client_of_today_agrees_on_a_key_no_quantum_computer_opens(server: Any, client: Any) -> None:
    talk = client.ssh("true", options=("-v",)).stderr
    assert re.search("kex: algorithm: (sntrup761x25519-sha512|mlkem768x25519-sha256)", talk), talk
    offered = client.read("sshd -T | grep ^kexalgorithms")
    newer = server.host.system_info.release.startswith("13")
    assert ("mlkem768x25519-sha256" in offered) == newer


def test_password_login_is_not_offered(client: Any) -> None:
    refused = client.ssh("true", options=("-o", "PreferredAuthentications=password,keyboard-interactive", "-o", "IdentitiesOnly=yes",
                                          "-o", "PubkeyAuthentication=no"))
    assert refused.returncode == 255
    assert "Permission denied (publickey)" in refused.stderr


@pytest.mark.usefixtures("unbanned")
def test_an_agent_has_three_tries(client: Any, tmp_path: Path) -> None:
    strange = [tmp_path / f"key{number}" for number in range(3)]
    for path in strange:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)

    def after(tries: int) -> subprocess.CompletedProcess[str]:
        """The good key, after so many others."""
        return client.ssh("true", options=("-o", "IdentitiesOnly=yes", *[word for path in strange[:tries] for word in ("-i", str(path))]))
    assert after(2).returncode == 0
    assert "Too many authentication failures" in after(3).stderr


def test_a_third_session_gets_a_connection_of_its_own(client: Any, tmp_path: Path) -> None:
    shared = ("-o", "ControlMaster=auto", "-o", f"ControlPath={tmp_path}/shared")
    # An option that comes first wins over those that ask for no sharing.
    words = client.words("echo $SSH_CONNECTION; read x")
    sessions, ports = [], []
    try:
        for _ in range(3):
            sessions.append(subprocess.Popen([words[0], *shared, *words[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             stderr=subprocess.DEVNULL, text=True))
            ports.append(sessions[-1].stdout.readline())
        assert ports[0] == ports[1] != ports[2] and ports[2]
    finally:
        for session in reversed(sessions):
            session.kill()
            session.wait()


def test_a_dead_connection_is_noticed_inside_it(client: Any) -> None:
    # Others may be older than these settings.
    found = client.read("set -- $SSH_CONNECTION; ss -Htno state established \"dport = :$2\"; sshd -T | grep -i '^clientalive'")
    assert ":22 " in found
    # TCP keepalive can be spoofed.
    assert "keepalive" not in found, found
    assert {"clientaliveinterval 90", "clientalivecountmax 2"} <= set(found.splitlines())


@pytest.mark.parametrize("to", ["192.0.2.1", "2001:db8::1"])
def test_only_open_ports_accept_connections(server: Any, neighbour: Neighbour, to: str) -> None:
    server.host.run_expect([0], "systemd-run --quiet --unit=other-service --collect python3 -c %s",
                           "import http.server, socket; http.server.HTTPServer.address_family = socket.AF_INET6; "
                           "http.server.HTTPServer(('::', 5432), http.server.SimpleHTTPRequestHandler).serve_forever()")
    until(lambda: server.host.run("ss -Hltn 'sport = :5432'").stdout)
    try:
        assert server.host.run("timeout 5 bash -c '</dev/tcp/127.0.0.1/5432'").rc == 0
        assert [neighbour.connects(port, to) for port in (22, 80, 443, 5432)] == [1, 1, 1, 0]
    finally:
        server.host.run("systemctl stop other-service")


def test_one_address_cannot_take_all_connections(server: Any, neighbour: Neighbour) -> None:
    words = "import json, socket\nGIVEN = " + repr({"to": "192.0.2.1", "port": 443, "count": 600, "hold": 8}) + "\n" + CONNECT
    server.host.run_expect([0], "systemd-run --quiet --unit=greedy --collect --property=StandardOutput=truncate:/run/greedy "
                                "ip netns exec neighbour python3 -c %s", words)
    kept = until(lambda: server.host.run("cat /run/greedy").stdout.strip())
    assert server.outside.https(server.target.apps[0].domain, "/").status == 200
    assert int(kept) == 500
    # An address of IPv6 is its whole network.
    assert neighbour.connects(443, "2001:db8::1", count=600) == 500


@pytest.mark.parametrize("user", ["root", "no-such-account"])
def test_guesses_at_ssh_are_banned_and_log_lines_of_other_processes_are_ignored(server: Any, neighbour: Neighbour, user: str) -> None:
    def banned() -> bool:
        neighbour.run("sh", "-c", f"ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o ConnectTimeout=3 {user}@192.0.2.1; exit 1")
        return "192.0.2.2" in server.host.check_output("fail2ban-client get sshd banip")

    server.host.run_expect([0], FORGED)
    # sshd itself refuses the address for longer after each guess.
    until(banned, 300)
    assert "203.0.113." not in server.host.check_output("fail2ban-client get sshd banip")
    assert neighbour.connects(22) == 0
    assert neighbour.connects(443) == 1
    server.host.run_expect([0], "fail2ban-client set sshd unbanip 192.0.2.2")
    # And what the server itself holds against the address is forgotten.
    server.host.run_expect([0], "systemctl restart ssh")
    until(lambda: neighbour.connects(22) == 1)


def test_a_flood_of_requests_is_banned_and_a_busy_client_is_not(server: Any, neighbour: Neighbour) -> None:
    site = server.target.apps[0]
    until(lambda: f"/{site.name}/" in server.host.check_output("fail2ban-client get nginx-limits logpath"))
    statuses = neighbour.program(FLOOD, to="192.0.2.1", name=site.domain, count=200)
    assert statuses.get("200")
    assert "error" not in statuses
    flood = neighbour.program(FLOOD, to="192.0.2.1", name=site.domain, count=2000)
    assert flood.get("429")
    until(lambda: "192.0.2.2" in server.host.check_output("fail2ban-client get nginx-limits banip"))
    assert neighbour.connects(443) == 0
    assert neighbour.connects(22) == 1
    assert server.outside.https(site.domain, "/").status == 200
    server.host.run_expect([0], "fail2ban-client set nginx-limits unbanip 192.0.2.2")
    until(lambda: neighbour.connects(443) == 1)


def test_the_firewall_is_loaded_at_boot_and_after_nftables_service(server: Any) -> None:
    assert "host-access-firewall.service" in server.host.check_output("systemctl list-dependencies --plain sysinit.target")
    for verb in ("start", "restart", "reload", "stop"):
        server.host.run_expect([0], "systemctl %s nftables", verb)
        assert server.host.run("host-access-firewall check").rc == 0, verb
    # Its tables are gone with the others.
    server.host.run_expect([0], "systemctl restart fail2ban")


def test_tables_of_others_survive_a_change_and_lost_rules_come_back(hosts: Any) -> None:
    hosts.read("nft add table inet other; nft flush chain inet host_access web")
    assert set(hosts.read("host-access-firewall check; echo $?").values()) == {"1\n"}
    hosts.plays(changes=True)
    assert set(hosts.read("host-access-firewall check; echo $?").values()) == {"0\n"}
    assert set(hosts.read("nft delete table inet other; echo $?").values()) == {"0\n"}


def reaches(hosts: Any, account: str, port: int) -> list[bool]:
    """Whether an account of each host opens a connection to another machine."""
    command = f"runuser -u {account} -- timeout 10 bash -c '</dev/tcp/pebble/{port}' 2>/dev/null; echo $?"
    return [text == "0\n" for text in hosts.read(shlex.join(["sh", "-c", command])).values()]


def test_outgoing_connections_can_be_denied_by_account(hosts: Any) -> None:
    assert all([*reaches(hosts, "notes", 14000), *reaches(hosts, "notes", 8000)])
    hosts.plays(host_access_outgoing_denied=True, host_access_outgoing={"notes": [14000], "gone-account": [443]})
    try:
        assert all(reaches(hosts, "notes", 14000))
        assert not any([*reaches(hosts, "notes", 8000), *reaches(hosts, "root", 14000)])
        assert set(hosts.read("apt-get update -qq >&2; echo $?").values()) == {"0\n"}
        for client in hosts.clients.values():
            assert client.server.outside.https(client.server.target.apps[0].domain, "/").status == 200
    finally:
        hosts.plays()
    assert all(reaches(hosts, "notes", 8000))


def test_parts_that_are_switched_off_are_gone_and_come_back(hosts: Any) -> None:
    off = {"host_access_firewall": False, "host_access_bans": False}
    hosts.plays(**off, changes=True)
    try:
        hosts.plays(**off, changes=False)
        assert set(hosts.read("nft list table inet host_access >/dev/null 2>&1; echo $?").values()) == {"1\n"}
        assert set(hosts.read("ls /etc/systemd/system/host-access* /etc/fail2ban/jail.d/zz-host-access.conf 2>/dev/null").values()) == {""}
    finally:
        hosts.plays()
    assert set(hosts.read("host-access-firewall check; echo $?; fail2ban-client ping").values()) == {"0\nServer replied: pong\n"}
