"""A certificate without a CA, provided or self-signed: the one that is wanted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.bulwark.flask.plugins.module_utils.certificates.store import FILES, Certificate, is_whole

# The longest validity that all clients accept, and the remaining time at which a new certificate is made.
DAYS = 825
RENEW_SECONDS = DAYS // 3 * 86400
MADE_OF = "made-of.json"


def wanted(options: Mapping[str, Any]) -> str:
    """The settings of a self-signed certificate; one with other settings is replaced."""
    return json.dumps({"domains": options["domains"], "key_type": options["key_type"]}, sort_keys=True)


def current_self_signed(module: Any, certificate: Certificate) -> Optional[Path]:
    """The existing self-signed certificate, if it has the wanted settings and is not due for renewal."""
    for folder in certificate.external.iterdir() if certificate.external.is_dir() else ():
        settings = folder / MADE_OF
        if is_whole(folder) and settings.is_file() and settings.read_text(encoding="utf-8") == wanted(module.params):
            if module.run_command(["openssl", "x509", "-noout", "-checkend", str(RENEW_SECONDS), "-in", str(folder / FILES[0])])[0] == 0:
                return folder
    return None


def place_of(certificate: Certificate, contents: Iterable[bytes]) -> Path:
    """The directory of a certificate, named after its contents."""
    return certificate.external / hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]


def is_as_left(module: Any) -> bool:
    """Whether a run of the module own_certificate with the same arguments would serve nothing else. `folder` is the place of a provided one."""
    certificate = Certificate(module.params["name"])
    if certificate.foreign_directory():
        return False
    folder = Path(module.params["folder"]) if module.params["folder"] else current_self_signed(module, certificate)
    return folder is not None and is_whole(folder) and not certificate.reload_is_due(folder)
