"""The certificates that the web server presents: a renewed one takes effect when it is loaded."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from collections.abc import Iterator

from alarm_channel import TIMEOUT, journal

WEB_SERVER = ("127.0.0.1", 443)
# In the subject of the placeholder certificate.
PLACEHOLDER = "not issued yet"


def served_certificate(domain: str, ciphers: str = "") -> bytes:
    """The certificate that the web server presents for a name, trusted or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
    # For an IP address no server name is sent; the certificate depends on the address family.
    server = ("::1", WEB_SERVER[1]) if ":" in domain else WEB_SERVER
    with socket.create_connection(server, timeout=5) as plain, context.wrap_socket(plain, server_hostname=domain) as connection:
        return connection.getpeercert(binary_form=True) or b""


def served_certificates(domain: str) -> dict[str, bytes]:
    """The certificate of a name, and the RSA certificate for clients without ECDSA, if there is one."""
    certificates = {domain: served_certificate(domain)}
    try:
        rsa = served_certificate(domain, "aRSA")
    except ssl.SSLError:
        return certificates
    return certificates if rsa in certificates.values() else certificates | {f"{domain}/rsa": rsa}


def dates(certificate: bytes) -> tuple[float, float, bool]:
    """Begin, end, and whether it is the placeholder certificate."""
    done = subprocess.run(["/usr/bin/openssl", "x509", "-inform", "DER", "-noout", "-dates", "-subject"],
                          input=certificate, capture_output=True, timeout=TIMEOUT, check=True)
    fields = dict(line.split("=", 1) for line in done.stdout.decode(errors="replace").splitlines() if "=" in line)
    begin, end = (ssl.cert_time_to_seconds(fields[name]) for name in ("notBefore", "notAfter"))
    return begin, end, PLACEHOLDER in fields["subject"]


def lifetime_alerts(name: str, begin: float, end: float, is_placeholder: bool, limits: dict) -> Iterator[tuple]:
    """Alerts about the remaining lifetime of a certificate."""
    left = max(0, end - time.time()) * 100 / max(1, end - begin)
    text = (f"{name}: the served certificate has {left:.0f} % of its lifetime left, until {journal.utc(end)}; "
            "of an ACME CA: see journalctl -u 'acme-cert-renew@*'; external or self-signed: run certificates.yml")
    if left < limits["critical_percent"]:
        yield f"certificate/{name}", "critical", text if left else f"{name}: the served certificate expired at {journal.utc(end)}"
    elif left < limits["warning_percent"]:
        yield f"certificate/{name}", "warning", text
    elif is_placeholder:
        yield f"certificate/{name}", "warning", f"{name}: the placeholder certificate is served; the CA has not issued one"


def look_at(config: dict, state: dict, measured: list) -> Iterator[tuple]:
    """The served certificates, not those on disk: a renewed certificate takes effect when it is loaded."""
    for domain in dict.fromkeys(domain for domains in config["sites"].values() for domain in domains):
        try:
            served = {name: dates(certificate) for name, certificate in served_certificates(domain).items()}
        except (OSError, subprocess.SubprocessError) as error:
            yield f"certificate/{domain}", "critical", f"{domain}: the web server presents no certificate: {error}"
            continue
        for name, (begin, end, is_placeholder) in served.items():
            labels = {"domain": domain} if name == domain else {"domain": domain, "key": "rsa"}
            measured += [("certificate_not_before_seconds", labels, begin), ("certificate_not_after_seconds", labels, end)]
            yield from lifetime_alerts(name, begin, end, is_placeholder, config["certificate"])
