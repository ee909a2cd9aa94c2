"""Rules of `acme_cert`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import (
    CONTROL,
    INDEX_URL,
    INDEX_URL_HINT,
    Rule,
    file_here,
    matches,
    must,
)
from ansible_collections.bulwark.flask.plugins.module_utils.names import is_address, nearest

# https://letsencrypt.org/docs/rate-limits: names of one certificate.
MOST_NAMES = 100
TSIG = ("HMAC-MD5", "HMAC-SHA1", "HMAC-SHA224", "HMAC-SHA256", "HMAC-SHA384", "HMAC-SHA512")
RFC2136 = ("server", "port", "name", "secret", "algorithm", "sign_query")


def dns(where: str, value: Any) -> list[str]:
    """Settings of the DNS challenge. No message repeats a credential."""
    if not value:
        return []
    if not value.get("plugin"):
        return [f"{where}.plugin is missing; write rfc2136, or another plugin of certbot's"]
    plugin, given = value["plugin"], value.get("credentials") or {}
    problems = [] if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", plugin) else [
        f"{where}.plugin must be a name of certbot's such as rfc2136 or cloudflare, without dns- before it"]
    for key, held in given.items():
        at = f"{where}.credentials.{key}"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", str(key)):
            problems.append(f"{at}: a credential's name has lower-case letters, digits and _, without dns_{plugin}_ before it")
        elif not isinstance(held, (str, int)) or not str(held) or CONTROL.search(str(held)) or '"' in str(held):
            problems.append(f"{at} must be a text of one line without quotes in it")
    if plugin != "rfc2136" or problems:
        return problems
    problems += [f"{where}.credentials.{key} is unknown{nearest(key, RFC2136)}" for key in given if key not in RFC2136]
    problems += [f"{where}.credentials.{key} is missing" for key in ("server", "name", "secret") if key not in given]
    if "server" in given and not is_address(given["server"]):
        problems.append(f"{where}.credentials.server must be the name server's address, such as 192.0.2.53")
    if not re.fullmatch(r"[0-9]+", str(given.get("port", 53))) or not 1 <= int(given.get("port", 53)) <= 65535:
        problems.append(f"{where}.credentials.port must be a port, 1 to 65535")
    if given.get("algorithm", TSIG[0]) not in TSIG:
        problems.append(f"{where}.credentials.algorithm must be one of {', '.join(TSIG)}{nearest(given['algorithm'], TSIG)}")
    if "secret" in given and not re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", str(given["secret"])):
        problems.append(f"{where}.credentials.secret must be the key in base64, as tsig-keygen prints it")
    return problems


def agreement(at: Callable[[str], str], given: Mapping[str, Any]) -> list[str]:
    """Check settings of one certificate against each other. `at` returns the name of an option as the operator writes it."""
    problems, source, names = [], given.get("source") or "acme", given.get("domains")
    names = names if isinstance(names, list) else []
    wildcards = [name for name in names if str(name).startswith("*.")]
    if wildcards and names[0] == wildcards[0]:
        problems.append(f"{at('domains')}: the first is the canonical one, which links and mails have; write one before '{names[0]}'")
    if wildcards and source == "acme" and not given.get("dns"):
        problems.append(f"{at('domains')}: '{wildcards[0]}' is a wildcard, which needs a DNS challenge; add {at('dns')}, or list every name")
    addresses = [name for name in names if is_address(str(name))] if isinstance(names, list) else []
    if addresses and source == "acme" and given.get("dns"):
        problems.append(f"{at('domains')}: {addresses[0]} is an address, which a DNS challenge cannot validate; leave out {at('dns')}, or the address")
    asked = given.get("directory_url") or "letsencrypt.org"
    if addresses and source == "acme" and (given.get("staging") is True or "letsencrypt.org" in asked) and given.get("profile") != "shortlived":
        problems.append(f"{at('domains')}: {addresses[0]} is an address, which Let's Encrypt certifies for six days at most; "
                        f"write {at('profile')}: shortlived")
    if isinstance(names, list) and len(names) > MOST_NAMES and source == "acme" and "letsencrypt.org" in asked:
        problems.append(f"{at('domains')} has {len(names)} names, and a certificate of Let's Encrypt {MOST_NAMES} at most; use a wildcard, or two applications")
    if source != "acme" and given.get("dns"):
        problems.append(f"{at('dns')} goes with source: acme; leave it out")
    if given.get("rsa_certificate") is True and source != "acme":
        problems.append(f"{at('rsa_certificate')} goes with source: acme; leave it out")
    if given.get("rsa_certificate") is True and str(given.get("key_type", "")).startswith("rsa"):
        problems.append(f"{at('rsa_certificate')} is for an RSA key beside an ECDSA one; leave out that, or {at('key_type')}")
    if bool(given.get("eab_kid")) != bool(given.get("eab_hmac_key")):
        problems.append(f"{at('eab_kid')} and {at('eab_hmac_key')} belong together; give both or none")
    for option, what in (("provided_chain", "the certificate and those that signed it"), ("provided_key", "its private key")):
        if source == "provided" and not given.get(option):
            problems.append(f"{at(option)} is missing; with source: provided it is {what}, as PEM text or a file on the controller")
        elif source != "provided" and given.get(option):
            problems.append(f"{at(option)} goes with source: provided; write that too, or leave this out")
    return problems


RULES: dict[str, Rule] = {
    "directory_url": matches(r"https://[^\s/@]+/[^\s@]*", "must be the https:// address of an ACME directory"),
    "dns": dns,
    "email": matches(r"|[^@\s,;]+@[^@\s.,;]+(\.[^@\s.,;]+)+", "must be an e-mail address such as ops@example.com"),
    "index_url": matches(INDEX_URL, INDEX_URL_HINT),
    "preflight_resolvers": must("must be addresses of name servers, such as [1.1.1.1]", lambda value: all(map(is_address, value))),
    "requirements": must("must be a file on the controller, or empty", lambda value: not value or os.path.isfile(file_here(value))),
}
