#!/usr/bin/python
"""Report the state of the applications of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: application_status
short_description: Report the state of the applications of a host
version_added: "0.1.0"
description:
  - For each application the live release and the others, its unit, the served certificate, the last
    audit, maintenance, and what was done last. Reads and changes nothing.
options:
  applications:
    description: The applications.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      domain:
        description: The domain whose certificate is checked.
        type: str
        required: true
      base:
        description: Directory of releases and instances. Default C(/srv/<name>).
        type: path
      unit:
        description: Name of the unit template without C(@). Default C(gunicorn-<name>).
        type: str
      subdirectory:
        description: Directory below the source that holds the application.
        type: str
        default: ""
      shared:
        description: Paths below the application's directory that are kept in its state directory.
        type: list
        elements: str
        default: []
  complete:
    description: Whether applications that the host has besides these are reported too.
    type: bool
    default: false
  history:
    description: Number of the last deploys, rollbacks and restarts that are reported.
    type: int
    default: 5
attributes:
  check_mode:
    description: Never changes anything.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Gather the state of the shop
  bulwark.flask.application_status:
    applications: [{name: shop, domain: shop.example.com}]
  register: found
"""

RETURN = r"""
applications:
  description:
    - One mapping per application, with C(name), C(listed), C(release), C(instance), C(manifest), C(previous), C(unit),
      C(certificate), C(audit), C(preflight), C(maintenance), C(deploying), C(sandbox) and C(history). Missing values are null.
    - C(sandbox) lists the errors of the live instance that its sandbox or its limits cause, each with the line that allows it.
  returned: always
  type: list
  elements: dict
"""

import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import application_layout as layout
from ansible_collections.bulwark.flask.plugins.module_utils import nginx_files
from ansible_collections.bulwark.flask.plugins.module_utils.release import history as release_record
from ansible_collections.bulwark.flask.plugins.module_utils.release import symptoms
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate import log_excerpt
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.instances import Instances
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import Releases
from ansible_collections.bulwark.flask.plugins.module_utils.release.shared import RECORD, Shared
from ansible_collections.bulwark.flask.plugins.module_utils.site_check import Web, connection


def properties(unit: str) -> dict[str, str]:
    """The properties of a unit."""
    names = "ActiveState,SubState,NRestarts,ActiveEnterTimestamp,MemoryCurrent"
    text = subprocess.run(["systemctl", "show", "-p", names, unit], capture_output=True, text=True, check=False).stdout
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def certificate(domain: str) -> dict[str, str] | None:
    """The certificate that nginx serves, read from a connection: the file can be newer."""
    try:
        with connection(Web(), domain) as tls:
            served = tls.getpeercert(binary_form=True)
    except OSError:
        return None
    argv = ["openssl", "x509", "-inform", "der", "-noout", "-enddate", "-issuer", "-dateopt", "iso_8601"]
    done = subprocess.run(argv, input=served, capture_output=True, check=False)
    lines = dict(line.split("=", 1) for line in done.stdout.decode(errors="replace").splitlines() if "=" in line)
    return {"until": lines["notAfter"].strip(), "issuer": lines["issuer"].strip()} if "notAfter" in lines else None


def audit(name: str) -> dict[str, Any] | None:
    """The last audit's result."""
    report = release_record.read(Path("/var/lib/pip-audit") / name / "report.json")
    return {key: report.get(key) for key in ("state", "time", "release", "reason")} if report else None


def sandbox(name: str, unit: str, shared: Shared, subdirectory: str) -> list[str]:
    """What the sandbox denied to a unit, as far as its log shows it."""
    argv = ["journalctl", f"--namespace={name}", f"--unit={unit}", "--priority=warning", "--lines=1000", "--output=cat", "--quiet", "--no-pager"]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    texts = [log_excerpt.text_of(line) for line in done.stdout.splitlines()]
    line = shared.line("\n".join(texts), subdirectory)
    return [*([f"writes below its release (a release is read-only): {line}"] if line else []), *symptoms.advice(texts)]


def status(app: dict[str, Any], count: int) -> dict[str, Any]:
    """One application."""
    base = Path(app["base"] or f"/srv/{app['name']}")
    releases, instances, record = Releases(base), Instances(base, 0), release_record.Record(base)
    instance = instances.live()
    live = instances.release_of(instance) if instance else None
    manifests = {str(manifest["release"]): manifest for manifest in releases.manifests()}
    unit = f"{app['unit'] or 'gunicorn-' + app['name']}@{instance}.service"
    running = properties(unit) if instance else {}
    preflight = release_record.read(base / "releases" / str(live) / "preflight.json")
    shared = Shared(app["name"], app["shared"], detected=release_record.read(base / RECORD).get("found", []))
    return {
        "name": app["name"], "listed": app.get("listed", True), "release": live, "instance": instance,
        "manifest": {key: manifests.get(str(live), {}).get(key) for key in ("commit", "source", "built_at", "built_by", "python")},
        "previous": [{"release": name, "state": record.state(name) or None} for name in manifests if name != live],
        "unit": {"name": unit, "state": running.get("ActiveState"), "since": running.get("ActiveEnterTimestamp"),
                 "restarts": int(running.get("NRestarts") or 0)} if instance else None,
        "certificate": certificate(app["domain"]), "audit": audit(app["name"]),
        "preflight": {key: preflight.get(key) for key in ("blocking", "warnings", "waived")} if preflight else None,
        "maintenance": Path(f"/etc/nginx/maintenance/{app['name']}.on").exists(),
        "deploying": releases.lock.is_held(), "sandbox": sandbox(app["name"], unit, shared, app["subdirectory"]) if instance else [],
        "history": record.history()[-count:],
    }


def unlisted(names: set[str]) -> list[dict[str, Any]]:
    """The other applications of this host, with the first name that nginx serves them by."""
    applications: list[dict[str, Any]] = []
    for name in (name for name in layout.deployed() if name not in names):
        served = [domain for _unused, domain in nginx_files.server_names(f"/etc/nginx/sites-enabled/{name}.conf")]
        applications.append({"name": name, "domain": served[0] if served else name, "base": None, "unit": None, "listed": False,
                             "subdirectory": "", "shared": []})
    return applications


def main() -> None:
    """Run the module."""
    entry = {"name": {"type": "str", "required": True}, "domain": {"type": "str", "required": True},
             "base": {"type": "path"}, "unit": {"type": "str"}, "subdirectory": {"type": "str", "default": ""},
             "shared": {"type": "list", "elements": "str", "default": []}}
    module = AnsibleModule(
        argument_spec={
            "applications": {"type": "list", "elements": "dict", "required": True, "options": entry},
            "complete": {"type": "bool", "default": False},
            "history": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    applications = module.params["applications"]
    if module.params["complete"]:
        applications += unlisted({app["name"] for app in applications})
    rows = [status(app, module.params["history"]) for app in applications]
    module.exit_json(changed=False, applications=rows)


if __name__ == "__main__":
    main()
