#!/usr/bin/python
"""A certificate that no authority is asked for, at the stable path."""

from __future__ import annotations

DOCUMENTATION = r"""
module: own_certificate
short_description: Serve a certificate of the operator's own, or a self-signed one, from the stable path
version_added: "0.1.0"
description:
  - C(/etc/ssl/acme-cert/<name>) is a link to the certificate to serve. Certificate and key are written beside
    what is served, and the link moves from one to the other, so that there is never a moment without.
  - The web server is reloaded after it has accepted its configuration; where it does not, the link goes back.
  - A self-signed one is for 825 days, no authority for others, and made anew in the last third of them.
  - Needs what the role P(bulwark.flask.acme_cert#role) installs, and openssl for a self-signed one.
options:
  name:
    description: Name of the certificate.
    type: str
    required: true
  domains:
    description: Names in a self-signed certificate.
    type: list
    elements: str
    required: true
  chain:
    description: The certificate and those that signed it, as PEM; empty for a self-signed one.
    type: str
    default: ""
  private_key:
    description: Its key, as PEM. It is written for root alone.
    type: str
    default: ""
  key_type:
    description: Kind of key of a self-signed certificate.
    type: str
    choices: [ecdsa-p256, ecdsa-p384, rsa-2048, rsa-4096]
    default: ecdsa-p256
attributes:
  check_mode:
    description: Predicts whether another certificate would be served.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Serve the certificate we bought
  bulwark.flask.own_certificate:
    name: shop
    domains: [shop.example.com]
    chain: "{{ lookup('ansible.builtin.file', 'shop.pem') }}"
    private_key: "{{ vault_shop_key }}"
  no_log: true
"""

RETURN = r"""
reason:
  description: Why it is not served, without a secret, for a task that has C(no_log).
  type: str
  returned: failure
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.certbot import NAME, subject_names
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.store import FILES, Certificate, directory, have_served, is_whole

# The longest that every client accepts of a certificate it was told to trust, and when there is a new one.
DAYS = 825
RENEW_SECONDS = DAYS // 3 * 86400
MADE_OF = "made-of.json"
KEYS = {"ecdsa-p256": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
        "ecdsa-p384": ["ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"], "rsa-2048": ["rsa:2048"], "rsa-4096": ["rsa:4096"]}
REQUEST = """[req]
prompt = no
distinguished_name = subject
x509_extensions = extensions
[subject]
CN = {name}
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = {names}
"""


def wanted(options: dict) -> str:
    """What a self-signed certificate is made of: one that is made of anything else is replaced."""
    return json.dumps({"domains": options["domains"], "key_type": options["key_type"]}, sort_keys=True)


def good_one(module: AnsibleModule, certificate: Certificate) -> Optional[Path]:
    """The self-signed certificate there is, if it is what is wanted and has life left."""
    for folder in certificate.elsewhere.iterdir() if certificate.elsewhere.is_dir() else ():
        made = folder / MADE_OF
        if is_whole(folder) and made.is_file() and made.read_text(encoding="utf-8") == wanted(module.params):
            if module.run_command(["openssl", "x509", "-noout", "-checkend", str(RENEW_SECONDS), "-in", str(folder / FILES[0])])[0] == 0:
                return folder
    return None


def self_signed(module: AnsibleModule, made: Path) -> None:
    """A new self-signed certificate in a directory."""
    domains = module.params["domains"]
    request = made / "request"
    # A common name has 64 characters at most; what counts is the list.
    request.write_text(REQUEST.format(name=domains[0][:64], names=subject_names(domains)), encoding="utf-8")
    module.run_command(["openssl", "req", "-x509", "-newkey", *KEYS[module.params["key_type"]], "-nodes", "-days", str(DAYS), "-config",
                        str(request), "-keyout", str(made / FILES[1]), "-out", str(made / FILES[0])], check_rc=True, umask=0o077)
    request.unlink()
    (made / MADE_OF).write_text(wanted(module.params), encoding="utf-8")


def place_of(certificate: Certificate, contents: Iterable[bytes]) -> Path:
    """A directory named after what is in it."""
    return certificate.elsewhere / hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]


def make(module: AnsibleModule, certificate: Certificate, given: list[bytes]) -> Path:
    """A directory that has the certificate as a whole."""
    certificate.prepare()
    for path in (certificate.elsewhere.parent, certificate.elsewhere):
        directory(path, 0o711)
    with tempfile.TemporaryDirectory(dir=certificate.elsewhere.parent) as made:
        whole = Path(made, "whole")
        directory(whole, 0o700)
        for file, data in zip(FILES, given):
            fs.write_new(whole / file, data)
        if not given:
            self_signed(module, whole)
        # The files are on disk before the link moves to them, or a power cut would leave empty ones.
        module.run_command(["sync", *map(str, whole.iterdir()), str(whole)], check_rc=True)
        folder = place_of(certificate, ((whole / file).read_bytes() for file in FILES))
        # One of the same name is not whole, or it would be in use.
        if folder.exists():
            shutil.rmtree(folder)
        whole.rename(folder)
    fs.sync_directory(folder.parent)
    return folder


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "domains": {"type": "list", "elements": "str", "required": True},
            "chain": {"type": "str", "default": ""},
            "private_key": {"type": "str", "default": "", "no_log": True},
            "key_type": {"type": "str", "choices": list(KEYS), "default": "ecdsa-p256"},
        },
        supports_check_mode=True,
    )
    options = module.params
    certificate = Certificate(options["name"])
    wrong = certificate.put_by_hand() if NAME.fullmatch(options["name"]) else f"{options['name']!r} cannot be the name of a certificate"
    if wrong:
        module.fail_json(msg=wrong, reason=wrong)
    given = [options[text].strip().encode() + b"\n" for text in ("chain", "private_key")] if options["chain"] else []
    folder = place_of(certificate, given) if given else good_one(module, certificate)
    if folder and is_whole(folder) and not certificate.reload_is_due(folder):
        module.exit_json(changed=False)
    if not module.check_mode:
        have_served(module, certificate, folder if folder and is_whole(folder) else make(module, certificate, given))
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
