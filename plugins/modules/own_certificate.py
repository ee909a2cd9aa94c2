#!/usr/bin/python
"""Serve a provided or self-signed certificate at a stable path."""

from __future__ import annotations

DOCUMENTATION = r"""
module: own_certificate
short_description: Serve a provided or self-signed certificate at a stable path
version_added: "0.1.0"
description:
  - C(/etc/ssl/acme-cert/<name>) is a link to the certificate to serve. Certificate and key are written to a new
    directory before the link moves to it, so a complete certificate is served at every moment.
  - The web server is reloaded after it has validated its configuration. When it rejects it, the link moves back.
  - A self-signed certificate is valid for 825 days, is not a CA, and is renewed in the last third.
  - Requires the files of the role P(bulwark.flask.acme_cert#role), and openssl for a self-signed certificate.
  - After a success, the arguments stay on the host, without the certificate and its key.
options:
  _digest:
    description: A digest of the arguments. The action plugin sets it.
    type: str
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
    description: The certificate and its chain, as PEM; empty for a self-signed certificate.
    type: str
    default: ""
  private_key:
    description: Its private key, as PEM.
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
- name: Serve a purchased certificate
  bulwark.flask.own_certificate:
    name: shop
    domains: [shop.example.com]
    chain: "{{ lookup('ansible.builtin.file', 'shop.pem') }}"
    private_key: "{{ vault_shop_key }}"
  no_log: true
"""

RETURN = r"""
reason:
  description: Reason why the certificate is not served; contains no secret, for tasks with C(no_log).
  type: str
  returned: failure
"""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.certificates import own
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.certbot import NAME, subject_names
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.store import FILES, Certificate, directory, is_whole, serve_certificate
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import remembered

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


def self_signed(module: AnsibleModule, folder: Path) -> None:
    """Make a self-signed certificate in a directory."""
    domains = module.params["domains"]
    request = folder / "request"
    # A common name has 64 characters at most; clients read the list of names.
    request.write_text(REQUEST.format(name=domains[0][:64], names=subject_names(domains)), encoding="utf-8")
    module.run_command(["openssl", "req", "-x509", "-newkey", *KEYS[module.params["key_type"]], "-nodes", "-days", str(own.DAYS), "-config",
                        str(request), "-keyout", str(folder / FILES[1]), "-out", str(folder / FILES[0])], check_rc=True, umask=0o077)
    request.unlink()
    (folder / own.MADE_OF).write_text(own.wanted(module.params), encoding="utf-8")


def make(module: AnsibleModule, certificate: Certificate, given: list[bytes]) -> Path:
    """Write the certificate to its directory."""
    certificate.prepare()
    for path in (certificate.external.parent, certificate.external):
        directory(path, 0o711)
    with tempfile.TemporaryDirectory(dir=certificate.external.parent) as temporary:
        whole = Path(temporary, "whole")
        directory(whole, 0o700)
        for file, data in zip(FILES, given):
            fs.write_new(whole / file, data)
        if not given:
            self_signed(module, whole)
        # The files are on disk before the link moves, or a power cut could leave empty ones.
        module.run_command(["sync", *map(str, whole.iterdir()), str(whole)], check_rc=True)
        folder = own.place_of(certificate, ((whole / file).read_bytes() for file in FILES))
        # A directory of this name is incomplete, or it would be in use.
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
            "_digest": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    options = module.params
    certificate = Certificate(options["name"])
    wrong = certificate.foreign_directory() if NAME.fullmatch(options["name"]) else f"{options['name']!r} is not a valid name of a certificate"
    if wrong:
        module.fail_json(msg=wrong, reason=wrong)
    given = [options[text].strip().encode() + b"\n" for text in ("chain", "private_key")] if options["chain"] else []
    folder = own.place_of(certificate, given) if given else own.current_self_signed(module, certificate)
    due = folder is None or not is_whole(folder) or certificate.reload_is_due(folder)
    if not module.check_mode:
        if due:
            serve_certificate(module, certificate, folder if folder and is_whole(folder) else make(module, certificate, given))
        with suppress(OSError):  # a call that is not remembered is made by every run
            remembered.remember_call("own_certificate", options["name"], {
                "_digest": options["_digest"], "name": options["name"], "domains": options["domains"], "key_type": options["key_type"],
                "folder": str(folder) if given else ""})
    module.exit_json(changed=due)


if __name__ == "__main__":
    main()
