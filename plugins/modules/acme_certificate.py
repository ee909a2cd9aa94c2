#!/usr/bin/python
"""A certificate at a stable path: self-signed first, the authority's as soon as there is one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: acme_certificate
short_description: Keep a certificate at a stable path, self-signed first, the authority's afterwards
version_added: "0.1.0"
description:
  - C(/etc/ssl/acme-cert/<name>) is a link to the certificate to serve. With O(state=bootstrap) a
    self-signed one is made where there is none. With O(state=issued) certbot asks the authority when
    the certificate is missing, has expired, or is not what O(domains) and O(settings) say; the web
    server is reloaded after it has accepted its configuration.
  - With O(state=revoked) a new certificate with a new key is served first, then the authority revokes the old one.
  - The authority is not contacted when nothing is due; renewal is the timer's business.
  - certbot runs in the sandbox of the unit that renews, so what is issued today can be renewed later.
  - What an interrupted certbot left is moved to C(/var/lib/acme-cert/damaged).
  - Needs openssl; for the others also what the role P(bulwark.flask.acme_cert#role) installs.
options:
  name:
    description: Name of the certificate.
    type: str
    required: true
  domains:
    description: Names in the certificate, and addresses.
    type: list
    elements: str
    required: true
  state:
    description: What is asked for.
    type: str
    choices: [bootstrap, issued, revoked]
    required: true
  settings:
    description:
      - What the certificate is made with, in certbot's words, such as C(server) and C(key_type); another
        value than that of the certificate there is means a new one. C(server) is needed for all but O(state=bootstrap).
    type: dict
    default: {}
  certbot:
    description: The certbot to run.
    type: path
    default: /opt/certbot/current/bin/certbot
  ca_bundle:
    description: Certificates trusted when talking to the authority.
    type: path
    default: /etc/ssl/certs/ca-certificates.crt
  preflight:
    description: Find out before the authority is asked whether it would refuse, and stop there, in check mode too.
    type: bool
    default: true
  revocation_reason:
    description: What the authority is told for O(state=revoked).
    type: str
    choices: [unspecified, keycompromise, affiliationchanged, superseded, cessationofoperation]
    default: keycompromise
  resolvers:
    description: Addresses of name servers that know what the outside sees; empty for those of the host.
    type: list
    elements: str
    default: []
  stand_in:
    description: With O(state=bootstrap), the name of a certificate that is served in place of a self-signed one.
    type: str
    default: ""
  dns_credentials:
    description: File with certbot's credentials for RFC 2136, with which O(preflight) tries an update.
    type: path
attributes:
  check_mode:
    description: Predicts whether a certificate would be made, asked for, or taken into use. The authority is not asked
      for anything; O(preflight) looks where it has been installed by an earlier run.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Have some certificate before there is a real one
  bulwark.flask.acme_certificate:
    name: shop
    domains: [shop.example.com]
    state: bootstrap

- name: Have a certificate
  bulwark.flask.acme_certificate:
    name: shop
    domains: [shop.example.com, www.shop.example.com]
    state: issued
    settings: {server: "https://acme-v02.api.letsencrypt.org/directory", key_type: ecdsa}
"""

RETURN = r"""
reason:
  description: Why the authority was or would be asked; empty when it was not.
  type: str
  returned: success
problems:
  description: What the authority would refuse.
  type: list
  elements: str
  returned: when O(preflight) found something
"""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.certbot import (
    ALREADY_REVOKED,
    NAME,
    UNKNOWN_ACCOUNT,
    explain,
    names_in,
    options_for,
    reason_to_ask,
    subject_names,
)
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.store import Certificate, have_served, is_open, is_whole, let_in
from ansible_collections.bulwark.flask.plugins.module_utils.names import is_address, is_domain

DOCTOR = Path("/usr/local/sbin/acme-cert-doctor")
LOG = "/var/log/acme-cert/letsencrypt.log"
UNIT = Path("/etc/systemd/system/acme-cert-renew@.service")


def bootstrap(module: AnsibleModule, certificate: Certificate) -> bool:
    """Have something to serve: the authority's certificate, or else a self-signed one."""
    there = is_whole(certificate.link)
    # What somebody put there by hand is left alone.
    if there and (is_open(certificate.link) or certificate.put_by_hand()):
        return False
    if module.check_mode:
        return True
    if there:
        let_in(Path(os.readlink(certificate.link)))
        return True
    certificate.prepare()
    if module.params["stand_in"]:
        certificate.serve(certificate.link.with_name(module.params["stand_in"]))
        return True
    if is_whole(certificate.live):
        let_in(certificate.live)
        certificate.serve(certificate.live)
        return True
    with tempfile.TemporaryDirectory(dir=certificate.own.parent) as made:
        module.run_command(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "90",
             "-subj", "/CN=not issued yet", "-addext", f"subjectAltName={subject_names(module.params['domains'])}",
             "-keyout", f"{made}/privkey.pem", "-out", f"{made}/fullchain.pem"], check_rc=True, umask=0o077)
        certificate.take(Path(made))
    return True


def reason(module: AnsibleModule, certificate: Certificate) -> str:
    """Why the authority has to be asked; empty when it need not be."""
    kept = certificate.kept()
    if not kept:
        return "there is no certificate yet"
    if not certificate.has_account():
        return "the account of the certificate is gone"
    rc, out, _ = module.run_command(["openssl", "x509", "-noout", "-ext", "subjectAltName", "-checkend", "0",
                                     "-in", str(certificate.live / "fullchain.pem")])
    return reason_to_ask(kept, module.params["settings"], names_in(out), module.params["domains"], expired=rc != 0) or ""


def sandbox(unit: str) -> list[str]:
    """The confinement of the unit that renews, as options of systemd-run."""
    lines = unit.partition("[Service]")[2].splitlines()
    return [f"--property={line}" for line in lines if "=" in line and not re.match(r"#|Type=|Exec|Timeout", line)]


def confined(module: AnsibleModule, *command: str, data: Optional[str] = None) -> tuple[int, str, str]:
    """Run a command the way the unit that renews would."""
    return module.run_command(
        ["systemd-run", "--quiet", "--collect", "--wait", "--pipe", *sandbox(UNIT.read_text(encoding="utf-8")),
         f"--setenv=REQUESTS_CA_BUNDLE={module.params['ca_bundle']}", *command], data=data)


def certbot(module: AnsibleModule, certificate: Certificate) -> tuple[int, str]:
    """Have certbot ask for the certificate."""
    options = module.params
    rc, out, err = confined(
        module, "flock", "--wait", "300", str(certificate.state / "lock"), options["certbot"], "certonly",
        "--config", str(certificate.config / f"{certificate.name}.ini"), "--cert-name", certificate.name,
        "--force-renewal", "--renew-with-new-domains", *options_for(options["domains"]))
    return rc, f"{out}\n{err}"


def examine(module: AnsibleModule) -> None:
    """Stop where the authority would refuse: it counts what it refuses, and then refuses for hours."""
    options = module.params
    wanted = {"domains": options["domains"], "server": options["settings"]["server"], "ca_bundle": options["ca_bundle"],
              "profile": options["settings"].get("preferred_profile", ""), "resolvers": options["resolvers"],
              "challenge": "dns-01" if options["settings"].get("authenticator", "").startswith("dns-") else "http-01",
              # In check mode an earlier run may have written it, or not yet.
              "dns_credentials": options["dns_credentials"] if options["dns_credentials"] and Path(options["dns_credentials"]).exists() else ""}
    rc, out, err = confined(module, str(DOCTOR), data=json.dumps(wanted))
    if rc:
        module.fail_json(msg=f"What the authority would refuse could not be found out:\n{(out + err)[-2000:]}")
    if problems := json.loads(out):
        module.fail_json(problems=problems, msg="\n".join([
            f"{wanted['server']} was not asked for a certificate for {', '.join(wanted['domains'])}, as it would refuse:",
            *(f"  {n}. {problem}" for n, problem in enumerate(problems, 1)),
            "Nothing was changed; the site goes on with the certificate it has. Run the same command again when this is mended, or "
            "with acme_cert: {preflight: false} when you know better."]))


def issue(module: AnsibleModule, certificate: Certificate) -> None:
    """Ask the authority."""
    options = module.params
    certificate.put_damage_aside()
    rc, said = certbot(module, certificate)
    if rc and re.search(UNKNOWN_ACCOUNT, said):
        certificate.put_account_aside(options["settings"]["server"])
        rc, said = certbot(module, certificate)
    if rc or reason(module, certificate):
        here = [certificate.local_answer(domain) for domain in options["domains"]] if "/acme-challenge/" in said else []
        module.fail_json(rc=rc, msg="\n".join([
            f"No {options['settings'].get('key_type', '').upper()} certificate for {', '.join(options['domains'])} from {options['settings']['server']}. "
            f"{explain(said)}", *filter(None, here),
            f"The site goes on with the certificate it has. The whole log is {LOG}. Run the same command again when the "
            "cause is mended."]))
    # A renewal that failed before is no longer a matter of concern.
    module.run_command(["systemctl", "reset-failed", f"acme-cert-renew@{certificate.name}.service"])


def issued(module: AnsibleModule, certificate: Certificate) -> None:
    """Have the authority's certificate served."""
    if certificate.put_by_hand():
        module.fail_json(msg=certificate.put_by_hand())
    why = reason(module, certificate)
    due = bool(why) or certificate.reload_is_due(certificate.live)
    # On a new host the doctor is not there yet in check mode.
    if why and module.params["preflight"] and (DOCTOR.exists() and UNIT.exists() or not module.check_mode):
        examine(module)
    if due and not module.check_mode:
        if why:
            issue(module, certificate)
        have_served(module, certificate)
    module.exit_json(changed=due, reason=why)


def revoked(module: AnsibleModule, certificate: Certificate) -> None:
    """Serve another certificate with another key, then have the authority revoke the one before."""
    kept, why = certificate.kept(), f"revoked: {module.params['revocation_reason']}"
    if not kept:
        module.fail_json(msg=f"There is no authority's certificate {certificate.name} on this host that could be revoked.")
    if module.params["preflight"]:
        examine(module)
    if module.check_mode:
        module.exit_json(changed=True, reason=why)
    certificate.doom()
    issue(module, certificate)
    have_served(module, certificate)
    for old in certificate.doomed():
        command = [module.params["certbot"], "revoke", "--cert-path", str(old), "--reason", module.params["revocation_reason"],
                   "--no-delete-after-revoke", "--non-interactive", "--server", kept["server"], "--account", kept["account"],
                   "--config-dir", str(certificate.config), "--work-dir", str(certificate.state / "work"),
                   "--logs-dir", "/var/log/acme-cert", "--max-log-backups", "0"]
        rc, out, err = confined(module, "flock", "--wait", "300", str(certificate.state / "lock"), *command)
        if rc and not re.search(ALREADY_REVOKED, out + err):
            module.fail_json(msg=f"A new certificate is served, but the old one could not be revoked: {explain(out + err)}\n"
                                 f"Try that alone, on the host: REQUESTS_CA_BUNDLE={module.params['ca_bundle']} {' '.join(command)}\n"
                                 "The next run of this playbook tries it again, too.")
        old.unlink()
    module.exit_json(changed=True, reason=why)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "domains": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["bootstrap", "issued", "revoked"], "required": True},
            "revocation_reason": {"type": "str", "choices": ["unspecified", "keycompromise", "affiliationchanged", "superseded",
                                                             "cessationofoperation"], "default": "keycompromise"},
            "settings": {"type": "dict", "default": {}},
            "certbot": {"type": "path", "default": "/opt/certbot/current/bin/certbot"},
            "ca_bundle": {"type": "path", "default": "/etc/ssl/certs/ca-certificates.crt"},
            "preflight": {"type": "bool", "default": True},
            "resolvers": {"type": "list", "elements": "str", "default": []},
            "stand_in": {"type": "str", "default": ""},
            "dns_credentials": {"type": "path"},
        },
        supports_check_mode=True,
    )
    name, domains = module.params["name"], module.params["domains"]
    if not NAME.fullmatch(name):
        module.fail_json(msg=f"{name!r} cannot be the name of a certificate: letters, digits, dots, - and _ can.")
    if not domains or [domain for domain in domains if not (is_address(domain) or is_domain(domain, wildcard=True))]:
        module.fail_json(msg=f"The names in a certificate must be domains such as shop.example.com, or addresses, not {domains}.")
    if module.params["state"] == "bootstrap":
        module.exit_json(changed=bootstrap(module, Certificate(name)), reason="")
    if not module.params["settings"].get("server"):
        module.fail_json(msg="settings.server must be the URL of the authority's ACME directory.")
    module.params["settings"] = {key: str(value) for key, value in module.params["settings"].items()}
    (issued if module.params["state"] == "issued" else revoked)(module, Certificate(name))


if __name__ == "__main__":
    main()
