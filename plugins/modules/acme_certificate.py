#!/usr/bin/python
"""Keep a certificate at a stable path: a placeholder first, then one from an ACME CA."""

from __future__ import annotations

DOCUMENTATION = r"""
module: acme_certificate
short_description: Keep a certificate at a stable path, a placeholder first, then one from an ACME CA
version_added: "0.1.0"
description:
  - C(/etc/ssl/acme-cert/<name>) is a link to the certificate to serve. O(state=placeholder) makes a self-signed one
    where there is none. O(state=issued) requests one with certbot when the certificate is missing, has expired, or
    differs from O(domains) and O(settings). The web server is reloaded after it has validated its configuration.
  - O(state=revoked) serves a new certificate with a new key, then the CA revokes the old one.
  - The CA is not contacted when no certificate is due. A timer renews certificates.
  - certbot runs in the sandbox of the renewal unit, so a certificate that is issued can also be renewed.
  - Files of an interrupted certbot are moved to C(/var/lib/acme-cert/damaged/<name>).
  - Requires openssl; O(state=issued) and O(state=revoked) also require the role P(bulwark.flask.acme_cert#role).
options:
  _digest:
    description: A digest of the arguments, under which the host keeps them. The action plugin sets it.
    type: str
  name:
    description: Name of the certificate.
    type: str
    required: true
  domains:
    description: Domains and IP addresses in the certificate.
    type: list
    elements: str
    required: true
  state:
    description: Wanted state.
    type: str
    choices: [placeholder, issued, revoked]
    required: true
  settings:
    description:
      - Settings of the certificate by certbot's names, such as C(server) and C(key_type). Another value means a new
        certificate. C(server) is required unless O(state=placeholder).
    type: dict
    default: {}
  certbot:
    description: Path of certbot.
    type: path
    default: /opt/certbot/current/bin/certbot
  ca_bundle:
    description: CA certificates trusted for connections to the CA.
    type: path
    default: /etc/ssl/certs/ca-certificates.crt
  preflight:
    description: Fail before the request when the CA would refuse it, also in check mode.
    type: bool
    default: true
  revocation_reason:
    description: Reason for O(state=revoked) that the CA publishes.
    type: str
    choices: [unspecified, keycompromise, affiliationchanged, superseded, cessationofoperation]
    default: keycompromise
  resolvers:
    description: Addresses of name servers for O(preflight); empty for those of the host.
    type: list
    elements: str
    default: []
  substitute:
    description: With O(state=placeholder), name of a certificate to serve instead of a self-signed one.
    type: str
    default: ""
  dns_credentials:
    description: certbot's credentials file for RFC 2136; O(preflight) tries an update with it.
    type: path
attributes:
  check_mode:
    description: Predicts whether a certificate would be made, requested or served. Sends no request to the CA. O(preflight)
      runs if an earlier run has installed it.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Make a placeholder
  bulwark.flask.acme_certificate:
    name: shop
    domains: [shop.example.com]
    state: placeholder

- name: Request a certificate
  bulwark.flask.acme_certificate:
    name: shop
    domains: [shop.example.com, www.shop.example.com]
    state: issued
    settings: {server: "https://acme-v02.api.letsencrypt.org/directory", key_type: ecdsa}
"""

RETURN = r"""
reason:
  description: Reason for a request to the CA; empty without a request.
  type: str
  returned: success
problems:
  description: Problems that would make the CA refuse.
  type: list
  elements: str
  returned: when O(preflight) finds problems
"""

import json
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.certbot import (
    ALREADY_REVOKED,
    NAME,
    UNKNOWN_ACCOUNT,
    explain,
    options_for,
    subject_names,
)
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.due import reason
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.store import Certificate, is_whole, make_readable, serve_certificate
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import remembered
from ansible_collections.bulwark.flask.plugins.module_utils.names import is_address, is_domain

PREFLIGHT = Path("/usr/local/sbin/acme-cert-preflight")
LOG = "/var/log/acme-cert/letsencrypt.log"
UNIT = Path("/etc/systemd/system/acme-cert-renew@.service")
# The status of flock when another process keeps the lock.
LOCKED = 75


def placeholder(module: AnsibleModule, certificate: Certificate) -> bool:
    """Serve the CA's certificate if there is one, otherwise a self-signed one."""
    if certificate.is_served():
        return False
    if module.check_mode:
        return True
    if is_whole(certificate.link):
        make_readable(Path(os.readlink(certificate.link)))
        return True
    certificate.prepare()
    if module.params["substitute"]:
        certificate.serve(certificate.link.with_name(module.params["substitute"]))
        return True
    if is_whole(certificate.live):
        make_readable(certificate.live)
        certificate.serve(certificate.live)
        return True
    with tempfile.TemporaryDirectory(dir=certificate.placeholder.parent) as folder:
        module.run_command(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "90",
             "-subj", "/CN=not issued yet", "-addext", f"subjectAltName={subject_names(module.params['domains'])}",
             "-keyout", f"{folder}/privkey.pem", "-out", f"{folder}/fullchain.pem"], check_rc=True, umask=0o077)
        certificate.take(Path(folder))
    return True


def sandbox(unit: str) -> list[str]:
    """The sandbox of the renewal unit, as options of systemd-run."""
    lines = unit.partition("[Service]")[2].splitlines()
    return [f"--property={line}" for line in lines if "=" in line and not re.match(r"#|Type=|Exec|Timeout", line)]


def confined(module: AnsibleModule, *command: str, data: Optional[str] = None) -> tuple[int, str, str]:
    """Run a command in the sandbox of the renewal unit."""
    return module.run_command(
        ["systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--property=RuntimeMaxSec=20min", *sandbox(UNIT.read_text(encoding="utf-8")),
         f"--setenv=REQUESTS_CA_BUNDLE={module.params['ca_bundle']}", *command], data=data)


def alone(module: AnsibleModule, certificate: Certificate, *command: str) -> tuple[int, str, str]:
    """Run certbot under the lock. Its hooks do not inherit the lock, because a program that a hook starts would keep it."""
    lock = certificate.state / "lock"
    rc, out, err = confined(module, "flock", "--close", "--wait", str(fs.WAIT_SECONDS), f"--conflict-exit-code={LOCKED}", str(lock), *command)
    if rc == LOCKED:
        raise fs.Locked(lock, fs.WAIT_SECONDS)
    return rc, out, err


def certbot(module: AnsibleModule, certificate: Certificate) -> tuple[int, str]:
    """Request the certificate with certbot."""
    options = module.params
    rc, out, err = alone(
        module, certificate, options["certbot"], "certonly",
        "--config", str(certificate.config / f"{certificate.name}.ini"), "--cert-name", certificate.name,
        "--force-renewal", "--renew-with-new-domains", *options_for(options["domains"]))
    return rc, f"{out}\n{err}"


def examine(module: AnsibleModule) -> None:
    """Run the preflight and fail on a problem, because failed requests count against the CA's rate limit."""
    options = module.params
    wanted = {"domains": options["domains"], "server": options["settings"]["server"], "ca_bundle": options["ca_bundle"],
              "profile": options["settings"].get("preferred_profile", ""), "resolvers": options["resolvers"],
              "challenge": "dns-01" if options["settings"].get("authenticator", "").startswith("dns-") else "http-01",
              # In check mode the file may not exist yet.
              "dns_credentials": options["dns_credentials"] if options["dns_credentials"] and Path(options["dns_credentials"]).exists() else ""}
    rc, out, err = confined(module, str(PREFLIGHT), data=json.dumps(wanted))
    if rc:
        module.fail_json(msg=f"The ACME preflight failed:\n{(out + err)[-2000:]}")
    if problems := json.loads(out):
        module.fail_json(problems=problems, msg="\n".join([
            f"{wanted['server']} was not asked for a certificate for {', '.join(wanted['domains'])}, because it would refuse:",
            *(f"  {n}. {problem}" for n, problem in enumerate(problems, 1)),
            "Nothing was changed; the site keeps its certificate. Run the same command again when this is corrected, or "
            "set acme_cert: {preflight: false} to request it nevertheless."]))


def issue(module: AnsibleModule, certificate: Certificate) -> None:
    """Request a certificate, with a new account if the CA does not know the old one."""
    options = module.params
    certificate.move_damaged_files()
    rc, output = certbot(module, certificate)
    if rc and re.search(UNKNOWN_ACCOUNT, output):
        certificate.move_unknown_accounts(options["settings"]["server"])
        rc, output = certbot(module, certificate)
    if rc or reason(module, certificate):
        here = [certificate.local_problem(domain) for domain in options["domains"]] if "/acme-challenge/" in output else []
        module.fail_json(rc=rc, msg="\n".join([
            f"No {options['settings'].get('key_type', '').upper()} certificate for {', '.join(options['domains'])} from {options['settings']['server']}. "
            f"{explain(output)}", *filter(None, here),
            f"The site keeps its certificate. The complete log is {LOG}. Run the same command again when the "
            "cause is corrected."]))
    # An earlier failed renewal no longer matters.
    module.run_command(["systemctl", "reset-failed", f"acme-cert-renew@{certificate.name}.service"])


def issued(module: AnsibleModule, certificate: Certificate) -> None:
    """Serve a certificate from the CA."""
    if certificate.foreign_directory():
        module.fail_json(msg=certificate.foreign_directory())
    why = reason(module, certificate)
    due = bool(why) or certificate.reload_is_due(certificate.live)
    # On a new host the preflight is not installed yet in check mode.
    if why and module.params["preflight"] and (PREFLIGHT.exists() and UNIT.exists() or not module.check_mode):
        examine(module)
    if due and not module.check_mode:
        if why:
            issue(module, certificate)
        serve_certificate(module, certificate)
    if not module.check_mode:
        with suppress(OSError):  # a call that is not remembered is made by every run
            remembered.remember_call("acme_certificate", certificate.name, module.params)
    module.exit_json(changed=due, reason=why)


def revoked(module: AnsibleModule, certificate: Certificate) -> None:
    """Serve a new certificate with a new key, then have the CA revoke the old one."""
    kept, why = certificate.kept(), f"revoked: {module.params['revocation_reason']}"
    if not kept:
        module.fail_json(msg=f"This host has no certificate {certificate.name} from a CA that could be revoked.")
    if module.params["preflight"]:
        examine(module)
    if module.check_mode:
        module.exit_json(changed=True, reason=why)
    certificate.mark_for_revocation()
    issue(module, certificate)
    serve_certificate(module, certificate)
    for old in certificate.marked_for_revocation():
        command = [module.params["certbot"], "revoke", "--cert-path", str(old), "--reason", module.params["revocation_reason"],
                   "--no-delete-after-revoke", "--non-interactive", "--server", kept["server"], "--account", kept["account"],
                   "--config-dir", str(certificate.config), "--work-dir", str(certificate.state / "work"),
                   "--logs-dir", "/var/log/acme-cert", "--max-log-backups", "0"]
        rc, out, err = alone(module, certificate, *command)
        if rc and not re.search(ALREADY_REVOKED, out + err):
            module.fail_json(msg=f"A new certificate is served, but the old one could not be revoked: {explain(out + err)}\n"
                                 f"To retry on the host: REQUESTS_CA_BUNDLE={module.params['ca_bundle']} {' '.join(command)}\n"
                                 "The next run of this playbook retries it, too.")
        old.unlink()
    module.exit_json(changed=True, reason=why)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "domains": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["placeholder", "issued", "revoked"], "required": True},
            "revocation_reason": {"type": "str", "choices": ["unspecified", "keycompromise", "affiliationchanged", "superseded",
                                                             "cessationofoperation"], "default": "keycompromise"},
            "settings": {"type": "dict", "default": {}},
            "certbot": {"type": "path", "default": "/opt/certbot/current/bin/certbot"},
            "ca_bundle": {"type": "path", "default": "/etc/ssl/certs/ca-certificates.crt"},
            "preflight": {"type": "bool", "default": True},
            "resolvers": {"type": "list", "elements": "str", "default": []},
            "substitute": {"type": "str", "default": ""},
            "dns_credentials": {"type": "path"},
            "_digest": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    name, domains = module.params["name"], module.params["domains"]
    if not NAME.fullmatch(name):
        module.fail_json(msg=f"{name!r} is not a valid name of a certificate; use letters, digits, dots, - and _")
    if not domains or [domain for domain in domains if not (is_address(domain) or is_domain(domain, wildcard=True))]:
        module.fail_json(msg=f"domains must be names such as shop.example.com, or IP addresses, not {domains}.")
    if module.params["state"] == "placeholder":
        module.exit_json(changed=placeholder(module, Certificate(name)), reason="")
    if not module.params["settings"].get("server"):
        module.fail_json(msg="settings.server must be the URL of the CA's ACME directory.")
    module.params["settings"] = {key: str(value) for key, value in module.params["settings"].items()}
    try:
        (issued if module.params["state"] == "issued" else revoked)(module, Certificate(name))
    except fs.Locked as error:
        module.fail_json(msg=f"The CA was not asked: another certbot runs. {error}")


if __name__ == "__main__":
    main()
