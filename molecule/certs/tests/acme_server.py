"""A CA with a test name server, and a directory with additional metadata."""

from __future__ import annotations

from pathlib import Path

from testhosts import PEBBLE, scenario

ROOT = Path(__file__).resolve().parents[3]

# Everything below example.test leads to its host; what a test needs beside that is written here.
ZONE = """$TTL 1
@ SOA ns.example.test. ops.example.test. 1 60 60 60 1
@ NS ns
ns A {pebble}
elsewhere A {pebble}
"""
# A CAA record is looked for up to the top.
ABOVE = """$TTL 1
@ SOA ns.test. ops.example.test. 1 60 60 60 1
@ NS ns
ns A {pebble}
"""
OF_A_HOST = """{host} A {address}
www.{host} A {address}
notes.{host} A {address}
elsewhere.{host} A {pebble}
silent.{host} A {unused}
empty.{host} TXT "no address"
forbidden.{host} A {address}
forbidden.{host} CAA 0 issue "letsencrypt.org"
fronted.{host} A {pebble}
allowed.{host} A {address}
allowed.{host} CAA 0 issue "ca.example.test; validationmethods=http-01"
"""
NAMED = """include "/etc/bind/certs.key";
options {{ directory "/var/cache/bind"; recursion no; dnssec-validation no; listen-on {{ any; }}; listen-on-v6 {{ none; }}; }};
zone "test" {{ type primary; file "/var/lib/bind/test"; }};
zone "example.test" {{ type primary; file "/var/lib/bind/example.test"; update-policy {{ grant certs. subdomain example.test. TXT; }}; }};
"""
START = """
command -v named >/dev/null || {{ apt-get update -qq; apt-get install -qq -y --no-install-recommends bind9 bind9-utils; }} >/dev/null 2>&1
rm -f /var/lib/bind/*.jnl
[ -e /etc/bind/certs.key ] || tsig-keygen -a hmac-sha256 certs. > /etc/bind/certs.key
chown bind /etc/bind/certs.key
cat > /etc/bind/named.conf <<'END'
{named}END
cat > /var/lib/bind/example.test <<'END'
{zone}END
cat > /var/lib/bind/test <<'END'
{above}END
chown bind /var/lib/bind/example.test /var/lib/bind/test
cat > /etc/pebble/asks-dns.json <<'END'
{pebble}END
if [ -e /tmp/certs.pids ]; then
  kill $(cat /tmp/certs.pids) 2>/dev/null || :
  # What is left of one that has ended has no command line.
  for pid in $(cat /tmp/certs.pids); do while grep -q . /proc/$pid/cmdline 2>/dev/null; do sleep 0.1; done; done
fi
named -u bind -f & echo $! > /tmp/certs.pids
PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 pebble -dnsserver 127.0.0.1:53 -config /etc/pebble/asks-dns.json >/tmp/asks-dns.log 2>&1 &
echo $! >> /tmp/certs.pids
python3 /tmp/front.py >/tmp/front.log 2>&1 & echo $! >> /tmp/certs.pids
for n in $(seq 150); do
  curl -sk -o /dev/null https://localhost:14002/dir && curl -sk -o /dev/null https://localhost:14003/dir && exit
  sleep 0.2
done
cat /tmp/front.log /tmp/asks-dns.log >&2; exit 1
"""
FRONT = '''
import http.server, json, ssl, threading, time, email.utils, urllib.request

class Directory(http.server.BaseHTTPRequestHandler):
    """The directory of the CA, with the name that CAA records must have; below /late its clock is an hour behind."""
    late = False

    def do_GET(self):
        self.late = self.path.startswith("/late/")
        context = ssl._create_unverified_context()
        found = json.load(urllib.request.urlopen("https://pebble:14002/dir", context=context))
        found["meta"]["caaIdentities"] = ["ca.example.test"]
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(time.time() - (3600 if self.late else 0), usegmt=True)

class OtherServer(http.server.BaseHTTPRequestHandler):
    """Another web server; for some names it redirects challenges to the host."""
    def do_GET(self):
        if not self.headers["Host"].startswith("fronted."):
            return self.send_error(404)
        self.send_response(302)
        self.send_header("Location", "http://" + self.headers["Host"].removeprefix("fronted.") + self.path)
        self.end_headers()

secure = http.server.ThreadingHTTPServer(("0.0.0.0", 14003), Directory)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/etc/pebble/cert.pem", "/etc/pebble/key.pem")
secure.socket = context.wrap_socket(secure.socket, server_side=True)
threading.Thread(target=secure.serve_forever).start()
http.server.ThreadingHTTPServer(("0.0.0.0", 80), OtherServer).serve_forever()
'''


class AcmeServer:
    """The servers in the container of the ACME servers, on ports of their own."""

    def __init__(self, hosts: list[str]) -> None:
        self.hosts = scenario()
        self.address = self.hosts.address("pebble")
        zone = ZONE.format(pebble=self.address)
        for host in hosts:
            zone += OF_A_HOST.format(host=host, address=self.hosts.address(host), pebble=self.address,
                                     unused=self.address.rpartition(".")[0] + ".250")
        self.hosts.execute("pebble", "cat > /tmp/front.py", FRONT.encode())
        pebble = PEBBLE.replace("$key", "none") % {"port": 14002, "management": 15002, "bound": "false"}
        above = ABOVE.format(pebble=self.address)
        self.hosts.execute("pebble", START.format(named=NAMED.format(), zone=zone, above=above, pebble=pebble))
        (self.hosts.folder / "ca-dns.pem").write_text(self.hosts.execute("pebble", "curl -sk https://localhost:15002/roots/0") + "\n")

    def tsig_secret(self) -> str:
        """The key that updates are signed with."""
        return self.hosts.execute("pebble", "sed -n 's/.*secret \"\\(.*\\)\".*/\\1/p' /etc/bind/certs.key")

    def orders(self) -> int:
        """The number of orders."""
        return int(self.hosts.execute("pebble", "grep -c 'order-plz' /tmp/asks-dns.log || :"))
