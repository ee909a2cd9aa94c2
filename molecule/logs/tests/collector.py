"""A syslog collector beside the ACME server: rsyslog over TLS, with valid and invalid certificates.

Run as a program it prepares the collector and writes its CA certificate to build/molecule/<scenario>/collector.pem.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from testhosts import podman, scenario

ROOT = Path(__file__).resolve().parents[3]

PREPARE = r"""
mkdir -p /etc/collector /var/collector
cd /etc/collector
if [ -e ready ]; then exit 0; fi
apt-get update -qq >/dev/null 2>&1
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rsyslog-openssl iproute2 >/dev/null 2>&1
for ca in ca other; do
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=$ca" -keyout $ca.key -out $ca.pem 2>/dev/null
done
certificate() { # NAME AUTHORITY SUBJECT DAYS
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$3" -keyout "$1.key" -out "$1.csr" 2>/dev/null
    echo "subjectAltName=DNS:$3" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days "$4" -extfile "$1.ext" -out "$1.pem" 2>/dev/null
}
cat >good.conf <<CONF
global(workDirectory="/var/collector" maxMessageSize="64k" defaultNetstreamDriver="ossl"
       defaultNetstreamDriverCAFile="/etc/collector/ca.pem"
       defaultNetstreamDriverCertFile="/etc/collector/good.pem" defaultNetstreamDriverKeyFile="/etc/collector/good.key")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" port="6514")
template(name="line" type="string" string="%hostname% %app-name% %msg%\n")
action(type="omfile" file="/var/collector/lines" template="line")
CONF
certificate good ca pebble 30
certificate untrusted other pebble 30
certificate misnamed ca elsewhere.example 30
certificate expired ca pebble 0
touch ready
"""
# A server without TLS: accepts connections, sends nothing, stores the input.
LISTENER = r"""
import socket, threading
def keep(connection):
    with open("/var/collector/heard", "ab", buffering=0) as heard:
        while part := connection.recv(65536):
            heard.write(part)
server = socket.create_server(("", 6514))
while True:
    threading.Thread(target=keep, args=(server.accept()[0],), daemon=True).start()
"""
# A server that speaks TLS with a certificate and stores what it gets. It is no rsyslog, whose own state after connections that
# clients end would be part of the test.
TLS_LISTENER = r"""
import socket, ssl, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/etc/collector/NAME.pem", "/etc/collector/NAME.key")
def keep(connection):
    connection.settimeout(30)
    try:
        with context.wrap_socket(connection, server_side=True) as encrypted, open("/var/collector/heard", "ab", buffering=0) as heard:
            while part := encrypted.recv(65536):
                heard.write(part)
    except OSError:
        pass
server = socket.create_server(("", 6514))
while True:
    threading.Thread(target=keep, args=(server.accept()[0],), daemon=True).start()
"""
# The process that listens on the port, in its network namespace.
LISTENING = r"""
listening() { ss -Hltnp "sport = :6514" | grep -o "pid=[0-9]*" | cut -d= -f2 | sort -u; }
"""


class Collector:
    """One collector for all hosts."""

    def __init__(self) -> None:
        self.hosts = scenario()

    def run(self, script: str) -> str:
        """In its container."""
        return self.hosts.execute("pebble", script)

    def prepare(self) -> None:
        """Certificates and configurations; the CA certificate for the hosts."""
        self.run(PREPARE)
        (self.hosts.folder / "collector.pem").write_text(self.run("cat /etc/collector/ca.pem") + "\n", encoding="utf-8")

    def stop(self) -> None:
        """Stop the listener; wait until its process and connections have ended."""
        self.run(LISTENING + """
                 pids=$(listening)
                 for pid in $pids; do kill "$pid" || [ ! -d "/proc/$pid" ]; done
                 for _ in $(seq 300); do
                     left=$(listening)
                     for pid in $pids; do [ ! -d "/proc/$pid" ] || left=$pid; done
                     [ -n "$left" ] || exit 0
                     sleep 0.1
                 done
                 echo "process $left does not go" >&2
                 exit 1""")

    def _instead(self, command: str) -> None:
        self.stop()
        podman("exec", "--detach", self.hosts.container("pebble"), "sh", "-c", f"echo $$ >/var/collector/pid; exec {command}")
        # Only this process listens on the port; otherwise the test would use another one.
        self.run(LISTENING + """
                 for _ in $(seq 300); do
                     [ -z "$(listening)" ] || [ "$(listening)" != "$(cat /var/collector/pid)" ] || exit 0
                     sleep 0.1
                 done
                 echo "$(listening) listens, not $(cat /var/collector/pid)" >&2
                 exit 1""")

    def start(self) -> None:
        """The right one, in the place of what listened."""
        self._instead("rsyslogd -n -iNONE -f /etc/collector/good.conf")

    def listen(self, certificate: str = "") -> None:
        """Another one, with a certificate or without TLS."""
        self.run("rm -f /var/collector/heard")
        self._instead(f"python3 -c '{TLS_LISTENER.replace('NAME', certificate) if certificate else LISTENER}'")

    def heard(self) -> bytes:
        """What the other one has heard."""
        return bytes.fromhex(self.run("if [ -e /var/collector/heard ]; then od -An -v -tx1 /var/collector/heard; fi"))

    def greeted(self) -> bool:
        """Whether a sender has completed a handshake with the other one, which speaks TLS."""
        return self.run("ls /var/collector/heard 2>/dev/null || :") != ""

    def forget(self) -> None:
        """What was heard so far does not count."""
        self.run("rm -f /var/collector/heard")

    def until_heard(self, again: Callable[[], object], seconds: float = 90) -> None:
        """Repeat what makes a sender send, until something came without TLS."""
        end = time.monotonic() + seconds
        while not self.heard() and time.monotonic() < end:
            again()
            time.sleep(0.5)

    def lines(self, containing: str = "") -> list[str]:
        """The received lines, in order."""
        return [line for line in self.run("cat /var/collector/lines 2>/dev/null || :").splitlines() if containing in line]

    def wait(self, containing: str, count: int, seconds: float = 90) -> list[str]:
        """Until so many different lines with this word are there."""
        end = time.monotonic() + seconds
        while len(set(found := self.lines(containing))) < count and time.monotonic() < end:
            time.sleep(1)
        return found


if __name__ == "__main__":
    collector = Collector()
    collector.prepare()
    collector.start()
