#!/opt/certbot/current/bin/python -I
"""What an authority would refuse, before it is asked: names, port 80, CAA records, the clock.

Owned by the role acme_cert, which runs it in the sandbox of certbot. It reads what is to be certified as JSON from its
standard input and prints every problem it finds, as the outside sees it: names are asked in DNS, not in /etc/hosts.
Authorities limit failures, a doctor does not.
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
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Optional
from urllib.parse import urljoin, urlsplit

TIMEOUT, REDIRECTS_MAX, CLOCK_SECONDS = 10, 5, 300
CHALLENGES = "/.well-known/acme-challenge/"
WEBROOT = Path("/var/lib/acme-cert/webroot")
# Records of a name; none for a name that does not exist.
Ask = Callable[[str, str], Optional[list[str]]]


class Unanswered(Exception):
    """DNS gave no answer, neither yes nor no."""


def asker(servers: list[str]) -> Ask:
    """Questions to DNS: to these servers, or to those of the host."""
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
            raise Unanswered(str(error).partition(":")[0]) from error

    return ask


def own_address(kind: socket.AddressFamily, far: str) -> str:
    """The address this host goes out from; nothing is sent."""
    try:
        with socket.socket(kind, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 53))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def get(address: str, host: str, path: str) -> tuple[int, bytes]:
    """Status and body for a name at an address, redirects followed as an authority does: whatever their certificates."""
    url, connection = f"http://{host}{path}", http.client.HTTPConnection(address, 80, timeout=TIMEOUT)
    for _ in range(REDIRECTS_MAX):
        where = urlsplit(url)
        try:
            connection.request("GET", (where.path or "/") + (f"?{where.query}" if where.query else ""), headers={"Host": where.netloc})
            answer = connection.getresponse()
            body = answer.read(4096)
        finally:
            connection.close()
        if answer.status not in (301, 302, 303, 307, 308) or not answer.getheader("Location"):
            return answer.status, body
        url = urljoin(url, answer.getheader("Location") or "")
        where = urlsplit(url)
        connection = (http.client.HTTPSConnection(where.netloc, timeout=TIMEOUT, context=ssl._create_unverified_context())
                      if where.scheme == "https" else http.client.HTTPConnection(where.netloc, timeout=TIMEOUT))
    return 310, b""


def leads_here(domain: str, ask: Ask, token: str, own: list[str], fetch: Callable[[str, str, str], tuple[int, bytes]] = get) -> list[str]:
    """Whether a name, at each address it has, comes to this host's answers to challenges."""
    here = f"this host ({', '.join(filter(None, own)) or 'it has no address to go out from'})"
    try:
        found = {kind: ask(domain, kind) for kind in ("A", "AAAA")}
    except Unanswered as error:
        return [f"{domain}: DNS does not answer: {error}; look at the name servers of the domain, and at /etc/resolv.conf here"]
    if all(answer is None for answer in found.values()):
        return [f"{domain} does not exist in DNS; add a record that leads to {here}"]
    addresses = [address for answer in found.values() for address in answer or []]
    if not addresses:
        return [f"{domain} has no address in DNS; add a record that leads to {here}"]
    problems = []
    for address in addresses:
        try:
            status, body = fetch(address, domain, CHALLENGES + token)
        except (OSError, http.client.HTTPException) as error:
            problems.append(f"{domain}: port 80 of {address} does not answer: {error or type(error).__name__}; " + (
                "nginx must run and the firewall let it through" if address in own else f"the record must lead to {here}, whose port 80 is "
                "open to the world; take away one that leads nowhere"))
            continue
        if (status, body) != (200, token.encode()):
            whose = "this host's own web server" if address in own else f"another web server, at {address},"
            problems.append(f"{domain}: {whose} answers a challenge with {status}; " + (
                f"it must serve {CHALLENGES} from {WEBROOT}" if address in own else f"the record must lead to {here}, or that one "
                f"must pass {CHALLENGES} on to it"))
    return problems


def is_address(name: str) -> bool:
    """Whether the certificate is for an address by this."""
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def answers_here(address: str, token: str, own: list[str], fetch: Callable[[str, str, str], tuple[int, bytes]] = get) -> list[str]:
    """Whether this host answers at an address that is to be certified."""
    right = f"it must be an address of this host ({', '.join(filter(None, own)) or 'it has none to go out from'}), whose port 80 is open to the world"
    try:
        status, body = fetch(address, f"[{address}]" if ":" in address else address, CHALLENGES + token)
    except (OSError, http.client.HTTPException) as error:
        return [f"{address}: port 80 does not answer: {error or type(error).__name__}; {right}"]
    return [] if (status, body) == (200, token.encode()) else [f"{address}: a challenge is answered with {status}; {right}"]


def closest_caa(domain: str, ask: Ask) -> tuple[str, list[str]]:
    """The CAA records that count for a name: its own, or else the nearest above."""
    labels = domain.split(".")
    for n in range(len(labels)):
        name = ".".join(labels[n:])
        if records := ask(name, "CAA"):
            return name, records
    return "", []


def caa(domain: str, ask: Ask, identities: list[str], challenge: str) -> list[str]:
    """Whether the domain lets this authority certify it."""
    wildcard, bare = domain.startswith("*."), domain.removeprefix("*.")
    try:
        name, records = closest_caa(bare, ask) if identities else ("", [])
    except Unanswered as error:
        return [f"{domain}: DNS does not answer whether a CAA record forbids it: {error}; authorities then refuse"]
    # flags tag "value"
    found = [(record.split(" ", 2)[1].lower(), record.split(" ", 2)[2].strip('"')) for record in records]
    wild = [value for tag, value in found if tag == "issuewild"] if wildcard else []
    values = wild or [value for tag, value in found if tag == "issue"]
    for value in values:
        who, _, parameters = value.partition(";")
        given = dict(part.strip().split("=", 1) for part in parameters.split(";") if "=" in part)
        if who.strip().lower() in identities and challenge in given.get("validationmethods", challenge).split(","):
            return []
    if not values:
        return []
    return [f"{domain}: the CAA record of {name} allows {' and '.join(repr(value) for value in values)} alone; "
            f"add: {name}. CAA 0 {'issuewild' if wild else 'issue'} \"{identities[0]}\""]


def credentials_of(path: str) -> dict[str, str]:
    """What certbot's file says of the name server and its key."""
    lines = Path(path).read_text(encoding="utf-8").splitlines() if path else []
    pairs = [line.split(" = ", 1) for line in lines if line.startswith("dns_rfc2136_")]
    return {key.removeprefix("dns_rfc2136_"): value.strip('"') for key, value in pairs}


def update(domain: str, credentials: dict[str, str]) -> list[str]:
    """Whether the name server takes a record for a name, with certbot's own client."""
    from certbot import errors
    from certbot_dns_rfc2136._internal import dns_rfc2136 as plugin

    server, name = credentials["server"], f"_acme-challenge.{domain.removeprefix('*.')}"
    text = f"doctor-{secrets.token_hex(16)}"
    try:
        client = plugin._RFC2136Client(
            server=server, port=int(credentials.get("port") or 53), key_name=credentials["name"], key_secret=credentials["secret"],
            key_algorithm=plugin.Authenticator.ALGORITHMS[(credentials.get("algorithm") or "HMAC-MD5").upper()],
            sign_query=(credentials.get("sign_query") or "").upper() == "TRUE")
        client.add_txt_record(name, text, 60)
        client.del_txt_record(name, text)
    except (errors.Error, OSError, ValueError) as error:
        return [f"{domain}: the name server {server} does not take {name}: {error}; look at the key's name, secret and algorithm, at what "
                "the server lets it update, and at its log"]
    return []


def clock(date: str, now: float, server: str) -> list[str]:
    """Whether this host's clock is right, as the authority sees it."""
    ahead = now - email.utils.parsedate_to_datetime(date).timestamp() if date else 0
    if abs(ahead) <= CLOCK_SECONDS:
        return []
    return [f"this host's clock is {abs(ahead) / 60:.0f} minutes {'ahead of' if ahead > 0 else 'behind'} that of {urlsplit(server).netloc}; "
            "set it: timedatectl set-ntp true"]


def directory(server: str, ca_bundle: str) -> tuple[dict, str, str]:
    """The authority's own description of itself and its time, or why there is none."""
    try:
        with urllib.request.urlopen(server, timeout=TIMEOUT, context=ssl.create_default_context(cafile=ca_bundle)) as answer:
            return json.load(answer).get("meta", {}), answer.headers.get("Date", ""), ""
    except (OSError, ValueError) as error:
        # A clock that is wrong enough makes every certificate look wrong; its own words are better than none.
        date = ""
        if isinstance(getattr(error, "reason", None), ssl.SSLError):
            try:
                # Nothing but the time is taken from it.
                with urllib.request.urlopen(server, timeout=TIMEOUT, context=ssl._create_unverified_context()) as answer:
                    date = answer.headers.get("Date", "")
            except OSError:
                pass
        return {}, date, f"{server} cannot be reached: {getattr(error, 'reason', error)}"


def examine(asked: dict, ask: Ask, own: list[str]) -> list[str]:
    """Everything that is wrong."""
    meta, date, unreachable = directory(asked["server"], asked["ca_bundle"])
    problems = clock(date, time.time(), asked["server"])
    if asked["profile"] and meta.get("profiles") and asked["profile"] not in meta["profiles"]:
        problems.append(f"the authority has no profile {asked['profile']}; it has {', '.join(meta['profiles'])}")
    identities = [name.lower() for name in meta.get("caaIdentities", [])]
    folder = WEBROOT / CHALLENGES.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder.parent, folder):
        path.chmod(0o755)
    token = f"doctor-{secrets.token_hex(16)}"
    path = folder / token
    path.write_text(token)
    os.chmod(path, 0o644)

    credentials = credentials_of(asked["dns_credentials"])

    def one(domain: str) -> Iterable[str]:
        if is_address(domain):
            # No name leads there, and no record of CAA is asked for.
            return answers_here(domain, token, own)
        if asked["challenge"] == "http-01":
            here = leads_here(domain, ask, token, own)
        else:
            here = update(domain, credentials) if credentials else []
        return here + caa(domain, ask, identities, asked["challenge"])

    try:
        with ThreadPoolExecutor(8) as pool:
            problems += [problem for found in pool.map(one, asked["domains"]) for problem in found]
    finally:
        path.unlink()
    # An authority that is down is no reason by itself to look no further: certbot says it better.
    return problems + [unreachable] if problems and unreachable else problems


if __name__ == "__main__":
    wanted = json.load(sys.stdin)
    addresses = [own_address(socket.AF_INET, "192.0.2.1"), own_address(socket.AF_INET6, "2001:db8::1")]
    json.dump(examine(wanted, asker(wanted["resolvers"]), addresses), sys.stdout)
