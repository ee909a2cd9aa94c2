"""certbot's files, options and messages. No Ansible imports."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Optional

from ansible_collections.bulwark.flask.plugins.module_utils import clock
from ansible_collections.bulwark.flask.plugins.module_utils.names import is_address

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# The CA does not know the account: it was set up again, or has deleted it.
UNKNOWN_ACCOUNT = r"accountDoesNotExist|account that does not exist|Account \S+ not found"

# An earlier, interrupted run has revoked it already.
ALREADY_REVOKED = r"alreadyRevoked|already (been )?revoked|status other than revoked"

# Patterns of certbot's output and their meaning; the first match counts.
CAUSES = (
    (r"TXT record|Received response from server|Unable to determine base domain",
     "The name server of acme_cert_dns rejects the record: check the key's name, secret and algorithm, and its log."),
    (r"rateLimited|[Tt]oo many ",
     "The CA's rate limit is reached: wait until the time it names. Use acme_cert_staging until everything else works."),
    (r"externalAccountRequired|external account",
     "The CA requires external account binding: set acme_cert_eab_kid and acme_cert_eab_hmac_key to the CA's values."),
    (r"CERTIFICATE_VERIFY_FAILED",
     "The ACME server's own certificate is not trusted: acme_cert_ca_bundle must contain the CA that signed it."),
    (r"suitable TLS CA certificate bundle|invalid path",
     "The file acme_cert_ca_bundle does not exist, or is below /root, /home or /srv, which certbot cannot read."),
    (r"\bcaa\b|CAA record", "A CAA record of the domain forbids this CA: change it in DNS."),
    (r"Identifier: |Domain: ", "Each name must resolve to this host in DNS, and port 80 must be open to the internet."),
    (r"Name or service not known|NameResolutionError|Connection refused|Failed to establish|unreachable|[Tt]imed out"
     r"|Max retries|Connection reset|RemoteDisconnected|serverInternal|Service Unavailable|Bad Gateway",
     "The CA is down, or this host cannot reach it."),
)
NOISE = re.compile(r"Saving debug log|Ask for help|See the logfile|Some challenges have failed|- - -|Renewing an existing|"
                   r"Requesting a certificate|Account registered|Running as unit|An unexpected error occurred|"
                   r"Hint: The Certificate Authority failed to download")


def options_for(names: Iterable[str]) -> list[str]:
    """The names of a certificate, as options of certbot."""
    names = list(names)
    domains = [name for name in names if not is_address(name)]
    return [*(["--domains", ",".join(domains)] if domains else []),
            *(word for name in names if is_address(name) for word in ("--ip-address", name))]


def subject_names(names: Iterable[str]) -> str:
    """The names of a certificate, as openssl's subjectAltName."""
    return ",".join(f"{'IP' if is_address(name) else 'DNS'}:{name}" for name in names)


def names_in(extension: str) -> list[str]:
    """The names in openssl's output of a certificate's subjectAltName."""
    return [*re.findall(r"DNS:([^,\s]+)", extension),
            *(str(ipaddress.ip_address(address)) for address in re.findall(r"IP Address:([^,\s]+)", extension))]


def settings_of(renewal: str) -> dict[str, str]:
    """The settings in certbot's renewal file."""
    return dict(re.findall(r"^(\w+) = (.*?)\s*$", renewal, re.MULTILINE))


def reason_to_request(kept: Mapping[str, str], wanted: Mapping[str, str], names: Iterable[str], domains: Iterable[str],
                      expired: bool) -> Optional[str]:
    """Why the existing certificate has to be replaced; None if it has not."""
    if set(names) != set(domains):
        return "the certificate is for other names"
    if kept.get("server") != wanted["server"]:
        return "the certificate comes from another CA"
    if kept.get("authenticator") != wanted.get("authenticator", kept.get("authenticator")):
        return "the certificate uses another kind of challenge"
    if any(kept.get(key, "") != value for key, value in wanted.items() if key != "preferred_profile"):
        return "the certificate has another kind of key"
    if kept.get("preferred_profile", "") != wanted.get("preferred_profile", ""):
        return "the certificate has another profile"
    return "the certificate has expired" if expired else None


def explain(output: str) -> str:
    """The cause in one sentence, then the CA's own message."""
    cause = clock.behind(output) or next((meaning for pattern, meaning in CAUSES if re.search(pattern, output)), "")
    lines = [line.strip() for line in output.splitlines() if line.strip() and not NOISE.search(line)]
    return "\n".join([cause, *(f"  {line[:500]}" for line in lines[-16:])])
