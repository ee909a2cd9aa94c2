"""What certbot keeps and says, read for a person. No Ansible imports."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Optional

from ansible_collections.bulwark.flask.plugins.module_utils.names import is_address

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# An authority that was set up anew, or has forgotten us.
UNKNOWN_ACCOUNT = r"accountDoesNotExist|account that does not exist|Account \S+ not found"

# By an earlier run that was interrupted: what was wanted is so.
ALREADY_REVOKED = r"alreadyRevoked|already (been )?revoked|status other than revoked"

# What certbot says, and what it means; the first that is found counts.
CAUSES = (
    (r"TXT record|Received response from server|Unable to determine base domain",
     "The name server of acme_cert_dns does not take the record: look at the key's name, secret and algorithm, and at its log."),
    (r"rateLimited|[Tt]oo many ",
     "Its rate limit is reached: wait until the time it names. Try with acme_cert_staging until all else works."),
    (r"externalAccountRequired|external account",
     "It asks for external account binding: acme_cert_eab_kid and acme_cert_eab_hmac_key, as it gave them to you."),
    (r"CERTIFICATE_VERIFY_FAILED",
     "Its own certificate is not trusted: acme_cert_ca_bundle must hold the authority that signed it."),
    (r"suitable TLS CA certificate bundle|invalid path",
     "The file acme_cert_ca_bundle is not there, or is below /root, /home or /srv, which certbot cannot see."),
    (r"\bcaa\b|CAA record", "A CAA record of the domain forbids it to this authority; that is changed in DNS."),
    (r"Identifier: |Domain: ", "Each name must lead to this host in DNS, and port 80 must be open to the world."),
    (r"Name or service not known|NameResolutionError|Connection refused|Failed to establish|unreachable|[Tt]imed out"
     r"|Max retries|Connection reset|RemoteDisconnected|serverInternal|Service Unavailable|Bad Gateway",
     "It is down, or cannot be reached from this host."),
)
NOISE = re.compile(r"Saving debug log|Ask for help|See the logfile|Some challenges have failed|- - -|Renewing an existing|"
                   r"Requesting a certificate|Account registered|Running as unit|An unexpected error occurred|"
                   r"Hint: The Certificate Authority failed to download")


def options_for(names: Iterable[str]) -> list[str]:
    """What a certificate is for, as options of certbot."""
    names = list(names)
    domains = [name for name in names if not is_address(name)]
    return [*(["--domains", ",".join(domains)] if domains else []),
            *(word for name in names if is_address(name) for word in ("--ip-address", name))]


def subject_names(names: Iterable[str]) -> str:
    """The same as openssl writes it in an extension."""
    return ",".join(f"{'IP' if is_address(name) else 'DNS'}:{name}" for name in names)


def names_in(extension: str) -> list[str]:
    """The same from what openssl prints of a certificate."""
    return [*re.findall(r"DNS:([^,\s]+)", extension),
            *(str(ipaddress.ip_address(address)) for address in re.findall(r"IP Address:([^,\s]+)", extension))]


def settings_of(renewal: str) -> dict[str, str]:
    """The settings in a file certbot keeps below renewal/."""
    return dict(re.findall(r"^(\w+) = (.*?)\s*$", renewal, re.MULTILINE))


def reason_to_ask(kept: Mapping[str, str], wanted: Mapping[str, str], names: Iterable[str], domains: Iterable[str],
                  expired: bool) -> Optional[str]:
    """Why the authority has to be asked for a certificate in place of one there is, or None."""
    if set(names) != set(domains):
        return "the certificate is for other names"
    if kept.get("server") != wanted["server"]:
        return "the certificate comes from another authority"
    if kept.get("authenticator") != wanted.get("authenticator", kept.get("authenticator")):
        return "the names of the certificate are proven in another way"
    if any(kept.get(key, "") != value for key, value in wanted.items() if key != "preferred_profile"):
        return "the certificate has another kind of key"
    if kept.get("preferred_profile", "") != wanted.get("preferred_profile", ""):
        return "the certificate is of another profile"
    return "the certificate has expired" if expired else None


def explain(output: str) -> str:
    """What is wrong in one sentence, then the authority's own words."""
    cause = next((meaning for pattern, meaning in CAUSES if re.search(pattern, output)), "")
    lines = [line.strip() for line in output.splitlines() if line.strip() and not NOISE.search(line)]
    return "\n".join([cause, *(f"  {line[:500]}" for line in lines[-16:])])
