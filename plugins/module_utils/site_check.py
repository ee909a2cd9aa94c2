"""Whether nginx serves applications: each domain with the site's certificate, from an instance that responds. No Ansible imports."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.bulwark.flask.plugins.module_utils import nginx_files
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import claims, units
from ansible_collections.bulwark.flask.plugins.module_utils.names import is_address

TIMEOUT_SECONDS = 10
# Workers of the old configuration may accept a connection shortly after a reload.
SETTLE_SECONDS = 10
# Statuses with which nginx says that it has no response of the application.
UNREACHED = (502, 503, 504)
DOCUMENTATION_ADDRESSES = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


@dataclass(frozen=True)
class Site:
    """An application and how clients reach it. Domains with a wildcard are not requested."""

    name: str
    domains: list[str]
    health_path: str = "/"
    file: str = ""

    @property
    def path(self) -> str:
        """The file of its server blocks."""
        return self.file or f"/etc/nginx/sites-enabled/{self.name}.conf"


@dataclass(frozen=True)
class Response:
    """What a client received: the certificate as DER, the status of the health check, and that of plain HTTP."""

    certificate: bytes
    status: int
    plain: int


@dataclass
class Web:
    """The ports of the web server, and the addresses to connect to, by family."""

    https: int = 443
    http: int = 80
    addresses: dict[socket.AddressFamily, str] = field(default_factory=dict)

    def address(self, domain: str) -> str:
        """The address that clients of a domain connect to: not loopback, where another server block may listen."""
        family = socket.AF_INET6 if ":" in domain else socket.AF_INET
        if family not in self.addresses:
            self.addresses[family] = own_address(family)
        return self.addresses[family]


def own_address(family: socket.AddressFamily) -> str:
    """The address of this host on its default route, or loopback. Nothing is sent."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((DOCUMENTATION_ADDRESSES[family], 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"


def certificates(path: str) -> list[bytes]:
    """The certificates, as DER, of the files that a site's configuration names; without their chains."""
    chain = []
    with open(path, encoding="utf-8", errors="replace") as stream:
        words = [one.words for one in nginx_files.directives(stream.read()) if one.words[0] == "ssl_certificate" and len(one.words) == 2]
    for file in dict.fromkeys(word[1] for word in words):
        with open(file, encoding="ascii", errors="replace") as stream:
            end = "-----END CERTIFICATE-----"
            chain.append(ssl.PEM_cert_to_DER_cert(stream.read().partition(end)[0] + end))
    return chain


def _status(client: http.client.HTTPConnection, host: str, path: str) -> int:
    client.request("GET", path, headers={"Host": host, "User-Agent": "bulwark-health", "Connection": "close"})
    return client.getresponse().status


@contextmanager
def connection(web: Web, domain: str) -> Iterator[ssl.SSLSocket]:
    """A TLS connection to the web server, as clients of a domain open it. Raises OSError where nothing responds."""
    context = ssl.create_default_context()
    # The certificate is compared or shown: a new host has a self-signed one.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((web.address(domain), web.https), timeout=TIMEOUT_SECONDS) as raw:
        # Clients of an address send no server name.
        with context.wrap_socket(raw, server_hostname=None if is_address(domain) else domain) as tls:
            yield tls


def request(web: Web, domain: str, path: str) -> Response:
    """The responses for one domain. Raises OSError where nothing responds."""
    host = f"[{domain}]" if ":" in domain else domain
    try:
        with connection(web, domain) as tls:
            certificate = tls.getpeercert(binary_form=True) or b""
            encrypted = http.client.HTTPConnection(host)
            encrypted.sock = tls
            status = _status(encrypted, host, path)
        plain = http.client.HTTPConnection(web.address(domain), web.http, timeout=TIMEOUT_SECONDS)
        try:
            return Response(certificate, status, _status(plain, host, path))
        finally:
            plain.close()
    except http.client.HTTPException as error:
        raise OSError(f"no valid response ({type(error).__name__})") from error


def problems_of(site: Site, web: Web) -> Iterator[str]:
    """A line for each domain of an application that is not served as its configuration says."""
    if not os.path.exists(site.path):
        yield f"{site.name}: {site.path} does not exist, so nginx does not serve the application. Run playbooks/site.yml without --tags."
        return
    own = certificates(site.path)
    for position, domain in enumerate(domain for domain in site.domains if "*" not in domain):
        try:
            response = request(web, domain, site.health_path)
        except OSError as error:
            yield f"{site.name}: {domain} gives no response on {web.address(domain)}: {error}. See: journalctl --unit=nginx"
            continue
        if response.certificate not in own:
            yield (f"{site.name}: {domain} is served with another certificate than {site.path} names. Another server block has this name "
                   "or listens on this address (nginx -T shows all), or nginx could not load its configuration (journalctl --unit=nginx).")
        elif position == 0 and response.status in UNREACHED:
            yield (f"{site.name}: https://{domain}{site.health_path} has status {response.status}: nginx gets no response of the application. "
                   f"See: journalctl --namespace={site.name}")
        elif 200 <= response.plain < 300:
            yield f"{site.name}: http://{domain}{site.health_path} has status {response.plain}: it is not redirected to HTTPS."


def not_loaded() -> list[str]:
    """A line when files of this collection changed after nginx's workers started."""
    shown = subprocess.run(["systemctl", "show", "--property=MainPID", "--value", "nginx.service"], capture_output=True, text=True, check=False)
    own = [path for path in nginx_files.files() if claims.is_own(Path(path).read_bytes())]
    files = sorted(units.not_loaded(int(shown.stdout.strip() or 0), own))
    return [f"nginx has not loaded {', '.join(files)}, changed after its workers started. See: journalctl --unit=nginx"] if files else []


def not_valid() -> list[str]:
    """A line when nginx would not start with the configuration on disk, also for a file of others."""
    # nginx -t creates the logs; other accounts must not read them.
    done = subprocess.run(["/bin/sh", "-c", "umask 027 && exec nginx -t -q"], capture_output=True, text=True, errors="replace", check=False)
    return [f"nginx would not start with the configuration on disk:\n{done.stderr.strip()}"] if done.returncode else []


def _served_otherwise(sites: list[Site], web: Web) -> list[str]:
    return [line for site in sites for line in problems_of(site, web)] + not_loaded()


def problems_now(sites: list[Site], web: Web) -> list[str]:
    """What is not served as configured."""
    return _served_otherwise(sites, web) or not_valid()


def problems(sites: list[Site], web: Web) -> list[str]:
    """What is not served as configured, after at most `SETTLE_SECONDS`."""
    end = time.monotonic() + SETTLE_SECONDS
    while True:
        messages = _served_otherwise(sites, web)
        if not messages or time.monotonic() > end:
            return not_valid() + messages
        time.sleep(0.2)
