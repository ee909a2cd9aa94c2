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
    the certificate is missing, is for other names or comes from another directory, and the web server
    is reloaded after it has accepted the configuration.
  - The authority is not contacted when nothing is due; renewal is the timer's business.
options:
  name:
    description: Name of the certificate.
    type: str
    required: true
  domains:
    description: Names in the certificate.
    type: list
    elements: str
    required: true
  state:
    description: What is asked for.
    type: str
    choices: [bootstrap, issued]
    required: true
  certbot:
    description: The certbot to run.
    type: path
    default: /opt/certbot/current/bin/certbot
  directory_url:
    description: The authority's ACME directory.
    type: str
  ca_bundle:
    description: Certificates trusted when talking to the authority.
    type: path
    default: /etc/ssl/certs/ca-certificates.crt
attributes:
  check_mode:
    description: Predicts whether a certificate would be made or asked for.
    support: full
author:
  - The bulwark.flask authors
"""

EXAMPLES = r"""
- name: Have a certificate
  bulwark.flask.acme_certificate:
    name: shop
    domains: [shop.example.com]
    state: issued
    directory_url: https://acme-v02.api.letsencrypt.org/directory
"""

RETURN = r"""
reason:
  description: Why the authority was or would be asked.
  type: str
  returned: when changed
"""

import os
import re
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

SERVED = Path("/etc/ssl/acme-cert")
CONFIG = Path("/etc/acme-cert")
STATE = Path("/var/lib/acme-cert")
LOG = "/var/log/acme-cert/letsencrypt.log"


def link_to(name, target):
    """Point the served certificate at a directory, atomically. Returns whether it was elsewhere."""
    link = SERVED / name
    if link.is_symlink() and os.readlink(link) == str(target):
        return False
    SERVED.mkdir(parents=True, exist_ok=True)
    temporary = SERVED / f".{name}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
    return True


def names_in(module, certificate):
    """Names a certificate is for."""
    _, out, _ = module.run_command(["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", str(certificate)])
    return set(re.findall(r"DNS:([^,\s]+)", out))


def bootstrap(module):
    """Make a self-signed certificate where there is none."""
    name, domains = module.params["name"], module.params["domains"]
    if (SERVED / name / "fullchain.pem").exists():
        return False
    if module.check_mode:
        return True
    folder = STATE / "bootstrap" / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    module.run_command(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
         "-subj", "/CN=not issued yet", "-addext", "subjectAltName=" + ",".join(f"DNS:{d}" for d in domains),
         "-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")], check_rc=True)
    link_to(name, folder)
    return True


def reason_to_ask(module):
    """Why the authority has to be asked, or None."""
    name = module.params["name"]
    certificate = CONFIG / "live" / name / "fullchain.pem"
    renewal = CONFIG / "renewal" / f"{name}.conf"
    if not certificate.exists() or not renewal.exists():
        return "there is no certificate yet"
    if names_in(module, certificate) != set(module.params["domains"]):
        return "the certificate is for other names"
    server = re.search(r"^server = (.*)$", renewal.read_text(), re.MULTILINE)
    if not server or server.group(1).strip() != module.params["directory_url"]:
        return "the certificate comes from another authority"
    if module.run_command(["openssl", "x509", "-noout", "-checkend", "0", "-in", str(certificate)])[0]:
        return "the certificate has expired"
    return None


def words_of_the_authority(text):
    """The lines of certbot's output that say what is wrong."""
    keep = [line.strip() for line in text.splitlines()
            if line.strip() and not re.match(r"Saving debug log|Ask for help|See the logfile|Some challenges|- -", line.strip())]
    return "\n".join(keep[-12:])


def issue(module):
    """Ask the authority."""
    name, domains = module.params["name"], module.params["domains"]
    rc, out, err = module.run_command(
        [module.params["certbot"], "certonly", "--config", str(CONFIG / f"{name}.ini"), "--cert-name", name,
         "--force-renewal", "--renew-with-new-domains", *[part for d in domains for part in ("-d", d)]],
        environ_update={"REQUESTS_CA_BUNDLE": module.params["ca_bundle"], "LC_ALL": "C.UTF-8"})
    if rc:
        module.fail_json(msg=f"The authority at {module.params['directory_url']} gave no certificate for "
                             f"{', '.join(domains)}:\n{words_of_the_authority(out + err)}\n"
                             f"The site goes on with the certificate it has. The whole log is {LOG}. Check that each name "
                             "leads to this host and that port 80 is open, then run the same command again.")


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "domains": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["bootstrap", "issued"], "required": True},
            "certbot": {"type": "path", "default": "/opt/certbot/current/bin/certbot"},
            "directory_url": {"type": "str"},
            "ca_bundle": {"type": "path", "default": "/etc/ssl/certs/ca-certificates.crt"},
        },
        required_if=[("state", "issued", ["directory_url"])],
        supports_check_mode=True,
    )
    if module.params["state"] == "bootstrap":
        module.exit_json(changed=bootstrap(module))
    reason = reason_to_ask(module)
    if module.check_mode:
        module.exit_json(changed=bool(reason), reason=reason)
    if reason:
        issue(module)
    linked = link_to(module.params["name"], CONFIG / "live" / module.params["name"])
    rc, out, err = module.run_command(["/usr/local/sbin/acme-cert-reload", module.params["name"]])
    if rc:
        module.fail_json(msg=f"The certificate is there, but the web server refuses it:\n{(err or out)[-2000:]}")
    module.exit_json(changed=bool(reason) or linked, reason=reason)


if __name__ == "__main__":
    main()
