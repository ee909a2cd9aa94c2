#!/opt/certbot/current/bin/python -I
"""Check what a CA checks before it issues a certificate: names, port 80, CAA records, the clock.

Owned by the role acme_cert, which runs it in the sandbox of certbot. It reads the request as JSON from standard input and
prints all problems as JSON. Names are resolved in DNS, not in /etc/hosts. CAs limit failed requests; this check is free.
"""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import json
import os
import secrets
import socket
import ssl
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Optional
from urllib.parse import urljoin, urlsplit

TIMEOUT, REDIRECTS_MAX, CLOCK_SECONDS = 10, 5, 300
CHALLENGES = "/.well-known/acme-challenge/"
WEBROOT = Path("/var/lib/acme-cert/webroot")
# Returns the records of a name and type; None for a name that does not exist.
Ask = Callable[[str, str], Optional[list[str]]]


class NoResponse(Exception):
    """DNS did not respond, or with a failure."""


def asker(servers: list[str]) -> Ask:
    """A DNS client for these name servers, or for those of the host."""
    import dns.exception
    import dns.resolver

    resolver = dns.resolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = servers

    def ask(name: str, kind: str) -> Optional[list[str]]:
        try:
            return [record.to_text() for record in resolver.resolve(f"{name}.", kind, lifetime=TIMEOUT)]
        except dns.resolver.NXDOMAIN:
            return None
        except dns.resolver.NoAnswer:
            return []
        except dns.exception.DNSException as error:
            raise NoResponse(str(error).partition(":")[0]) from error

    return ask


def own_address(kind: socket.AddressFamily, far: str) -> str:
    """The source address of outgoing connections; nothing is sent."""
    try:
        with socket.socket(kind, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 53))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def get(address: str, host: str, path: str) -> tuple[int, bytes]:
    """Status and body for a name at an address. Follows redirects as CAs do, without a check of certificates."""
    url, connection = f"http://{host}{path}", http.client.HTTPConnection(address, 80, timeout=TIMEOUT)
    for _unused in range(REDIRECTS_MAX):
        where = urlsplit(url)
        try:
            connection.request("GET", (where.path or "/") + (f"?{where.query}" if where.query else ""), headers={"Host": where.netloc})
            response = connection.getresponse()
            body = response.read(4096)
        finally:
            connection.close()
        if response.status not in (301, 302, 303, 307, 308) or not response.getheader("Location"):
            return response.status, body
        url = urljoin(url, response.getheader("Location") or "")
        where = urlsplit(url)
        connection = (http.client.HTTPSConnection(where.netloc, timeout=TIMEOUT, context=ssl._create_unverified_context())
                      if where.scheme == "https" else http.client.HTTPConnection(where.netloc, timeout=TIMEOUT))
    return 310, b""


def http_problems(domain: str, ask: Ask, token: str, own: list[str], fetch: Callable[[str, str, str], tuple[int, bytes]] = get) -> list[str]:
    """Problems with a name: each of its addresses must serve this host's challenge token."""
    here = f"this host ({', '.join(filter(None, own)) or 'no public address found'})"
    try:
        by_kind = {kind: ask(domain, kind) for kind in ("A", "AAAA")}
    except NoResponse as error:
        return [f"{domain}: DNS does not respond: {error}; check the domain's name servers and this host's /etc/resolv.conf"]
    if all(records is None for records in by_kind.values()):
        return [f"{domain} does not exist in DNS; add a record with the address of {here}"]
    addresses = [address for records in by_kind.values() for address in records or []]
    if not addresses:
        return [f"{domain} has no address in DNS; add a record with the address of {here}"]
    problems = []
    for address in addresses:
        try:
            status, body = fetch(address, domain, CHALLENGES + token)
        except (OSError, http.client.HTTPException) as error:
            problems.append(f"{domain}: port 80 of {address} does not respond: {error or type(error).__name__}; " + (
                "start nginx and open port 80 in the firewall" if address in own else f"point the record to {here} and open "
                "port 80 to the internet, or remove the record"))
            continue
        if (status, body) != (200, token.encode()):
            whose = "this host's own web server" if address in own else f"another web server, at {address},"
            problems.append(f"{domain}: {whose} responds to a challenge with {status}; " + (
                f"serve {CHALLENGES} from {WEBROOT}" if address in own else f"point the record to {here}, or proxy "
                f"{CHALLENGES} to it"))
    return problems


def is_address(name: str) -> bool:
    """Whether a name in a certificate is an IP address."""
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def address_problems(address: str, token: str, own: list[str], fetch: Callable[[str, str, str], tuple[int, bytes]] = get) -> list[str]:
    """Problems with an IP address: it must serve this host's challenge token."""
    right = f"use an address of this host ({', '.join(filter(None, own)) or 'none found'}) and open port 80 to the internet"
    try:
        status, body = fetch(address, f"[{address}]" if ":" in address else address, CHALLENGES + token)
    except (OSError, http.client.HTTPException) as error:
        return [f"{address}: port 80 does not respond: {error or type(error).__name__}; {right}"]
    return [] if (status, body) == (200, token.encode()) else [f"{address}: the response to a challenge is {status}; {right}"]


def closest_caa(domain: str, ask: Ask) -> tuple[str, list[str]]:
    """The CAA records that apply to a name: its own, or those of the nearest parent."""
    labels = domain.split(".")
    for n in range(len(labels)):
        name = ".".join(labels[n:])
        if records := ask(name, "CAA"):
            return name, records
    return "", []


def caa(domain: str, ask: Ask, identities: list[str], challenge: str) -> list[str]:
    """Problems with CAA records: they must allow this CA."""
    wildcard, bare = domain.startswith("*."), domain.removeprefix("*.")
    try:
        name, records = closest_caa(bare, ask) if identities else ("", [])
    except NoResponse as error:
        return [f"{domain}: DNS does not respond to a CAA query: {error}; CAs refuse then"]
    # flags tag "value"
    entries = [(record.split(" ", 2)[1].lower(), record.split(" ", 2)[2].strip('"')) for record in records]
    wild = [value for tag, value in entries if tag == "issuewild"] if wildcard else []
    values = wild or [value for tag, value in entries if tag == "issue"]
    for value in values:
        who, _unused, parameters = value.partition(";")
        given = dict(part.strip().split("=", 1) for part in parameters.split(";") if "=" in part)
        if who.strip().lower() in identities and challenge in given.get("validationmethods", challenge).split(","):
            return []
    if not values:
        return []
    return [f"{domain}: the CAA record of {name} allows {' and '.join(repr(value) for value in values)} only; "
            f"add: {name}. CAA 0 {'issuewild' if wild else 'issue'} \"{identities[0]}\""]


def credentials_of(path: str) -> dict[str, str]:
    """Name server and key in certbot's credentials file."""
    lines = Path(path).read_text(encoding="utf-8").splitlines() if path else []
    pairs = [line.split(" = ", 1) for line in lines if line.startswith("dns_rfc2136_")]
    return {key.removeprefix("dns_rfc2136_"): value.strip('"') for key, value in pairs}


def update(domain: str, credentials: dict[str, str]) -> list[str]:
    """Problems with the name server: it must accept a record for the name. Uses certbot's own client."""
    from certbot import errors
    from certbot_dns_rfc2136._internal import dns_rfc2136 as plugin

    server, name = credentials["server"], f"_acme-challenge.{domain.removeprefix('*.')}"
    text = f"preflight-{secrets.token_hex(16)}"
    try:
        client = plugin._RFC2136Client(
            server=server, port=int(credentials.get("port") or 53), key_name=credentials["name"], key_secret=credentials["secret"],
            key_algorithm=plugin.Authenticator.ALGORITHMS[(credentials.get("algorithm") or "HMAC-MD5").upper()],
            sign_query=(credentials.get("sign_query") or "").upper() == "TRUE")
        client.add_txt_record(name, text, 60)
        client.del_txt_record(name, text)
    except (errors.Error, OSError, ValueError) as error:
        return [f"{domain}: the name server {server} rejects {name}: {error}; check the key's name, secret and algorithm, its "
                "update policy on the server, and the server's log"]
    return []


def clock(date: str, now: float, server: str) -> list[str]:
    """Problems with the clock: it must agree with the CA's."""
    ahead = now - email.utils.parsedate_to_datetime(date).timestamp() if date else 0
    if abs(ahead) <= CLOCK_SECONDS:
        return []
    return [f"this host's clock is {abs(ahead) / 60:.0f} minutes {'ahead of' if ahead > 0 else 'behind'} that of {urlsplit(server).netloc}; "
            "run: timedatectl set-ntp true"]


def directory(server: str, ca_bundle: str) -> tuple[dict, str, str]:
    """The CA's directory metadata, its date, and the error if it cannot be reached."""
    try:
        with urllib.request.urlopen(server, timeout=TIMEOUT, context=ssl.create_default_context(cafile=ca_bundle)) as response:
            return json.load(response).get("meta", {}), response.headers.get("Date", ""), ""
    except (OSError, ValueError) as error:
        # With a wrong clock every certificate is invalid, so the date is read without a check of the certificate.
        date = ""
        if isinstance(getattr(error, "reason", None), ssl.SSLError):
            try:
                # Only the date is used.
                with urllib.request.urlopen(server, timeout=TIMEOUT, context=ssl._create_unverified_context()) as response:
                    date = response.headers.get("Date", "")
            except OSError:
                pass
        return {}, date, f"{server} cannot be reached: {getattr(error, 'reason', error)}"


def examine(asked: dict, ask: Ask, own: list[str]) -> list[str]:
    """All problems with a request."""
    meta, date, unreachable = directory(asked["server"], asked["ca_bundle"])
    problems = clock(date, time.time(), asked["server"])
    if asked["profile"] and meta.get("profiles") and asked["profile"] not in meta["profiles"]:
        problems.append(f"the CA has no profile {asked['profile']}; choose one of {', '.join(meta['profiles'])}")
    identities = [name.lower() for name in meta.get("caaIdentities", [])]
    folder = WEBROOT / CHALLENGES.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder.parent, folder):
        path.chmod(0o755)
    token = f"preflight-{secrets.token_hex(16)}"
    path = folder / token
    path.write_text(token)
    os.chmod(path, 0o644)

    credentials = credentials_of(asked["dns_credentials"])

    def one(domain: str) -> Iterable[str]:
        if is_address(domain):
            # CAA records do not apply to addresses.
            return address_problems(domain, token, own)
        if asked["challenge"] == "http-01":
            here = http_problems(domain, ask, token, own)
        else:
            here = update(domain, credentials) if credentials else []
        return here + caa(domain, ask, identities, asked["challenge"])

    try:
        with ThreadPoolExecutor(8) as pool:
            problems += [problem for of_domain in pool.map(one, asked["domains"]) for problem in of_domain]
    finally:
        path.unlink()
    # Alone, an unreachable CA is left to certbot, which has the better message.
    return problems + [unreachable] if problems and unreachable else problems


if __name__ == "__main__":
    wanted = json.load(sys.stdin)
    addresses = [own_address(socket.AF_INET, "192.0.2.1"), own_address(socket.AF_INET6, "2001:db8::1")]
    json.dump(examine(wanted, asker(wanted["resolvers"]), addresses), sys.stdout)
