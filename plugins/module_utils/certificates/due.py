"""Whether a certificate from a CA is due."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.certificates.certbot import names_in, reason_to_request
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.store import Certificate


def reason(module: Any, certificate: Certificate) -> str:
    """Reason to request a certificate; empty when none is due."""
    kept = certificate.kept()
    if not kept:
        return "there is no certificate yet"
    if not certificate.has_account():
        return "the ACME account of the certificate is missing"
    rc, out, _unused = module.run_command(["openssl", "x509", "-noout", "-ext", "subjectAltName", "-checkend", "0",
                                           "-in", str(certificate.live / "fullchain.pem")])
    return reason_to_request(kept, module.params["settings"], names_in(out), module.params["domains"], expired=rc != 0) or ""


def is_as_left(module: Any) -> bool:
    """Whether a run of the module acme_certificate with the same arguments would request and serve nothing."""
    certificate = Certificate(module.params["name"])
    return not (certificate.foreign_directory() or reason(module, certificate) or certificate.reload_is_due(certificate.live))
