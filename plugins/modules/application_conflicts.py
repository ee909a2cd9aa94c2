#!/usr/bin/python
"""Find what a host has in the way of applications."""

from __future__ import annotations

DOCUMENTATION = r"""
module: application_conflicts
short_description: Find what a host has in the way of applications
version_added: "0.1.0"
description:
  - Fails when the host has accounts, groups, directories or files under the name of an application that this collection
    has not made, or when another server block of nginx has one of its domains. All of it is named, for all applications.
  - Without conflicts it changes nothing.
options:
  _key:
    description: A key of this run, for RV(unchanged_parts) and RV(up_to_date). The action plugin sets it; without it there are none.
    type: str
  _source_secrets:
    description: The secrets with which the sources of applications are asked for, by name of the application. The action plugin sets it.
    type: dict
  applications:
    description: The applications.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the application.
        type: str
        required: true
      domains:
        description: Its domains.
        type: list
        elements: str
        required: true
      base:
        description: Directory of its releases. Default C(/srv/<name>).
        type: path
      health_path:
        description: Path that is requested of an application that is up to date.
        type: str
        default: /
  complete:
    description: Whether these are all applications of the host. Others that it has are then named in a warning.
    type: bool
    default: false
  adopt:
    description:
      - Move aside what is under the names instead of failing, and take over the account. Directories get the suffix
        C(.before-<time>); files move below C(/var/backups/bulwark).
      - An account of a person, one with further groups, and a group of another program are never taken over.
    type: bool
    default: false
attributes:
  check_mode:
    description: Finds conflicts; with O(adopt) it names what would be taken over.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Find what is in the way of the shop
  bulwark.flask.application_conflicts:
    applications: [{name: shop, domains: [shop.example.com]}]
"""

RETURN = r"""
adopted:
  description: What was taken over, or would be in check mode.
  returned: success
  type: list
  elements: str
bases:
  description: Directories of the releases of the applications, by name.
  returned: success
  type: dict
unchanged_parts:
  description:
    - Parts of the host and of O(applications), and calls of M(bulwark.flask.generated_secrets) and M(bulwark.flask.acme_certificate), for which
      the module with the arguments of its last run would do nothing, by name. The value is a digest of the arguments with a key of this run.
  returned: success
  type: dict
certificates:
  description: Applications for which nginx can read a whole certificate at C(/etc/ssl/acme-cert/<name>), so that they need no placeholder.
  returned: success
  type: list
  elements: str
up_to_date:
  description:
    - Names of applications for which a complete run with the inputs of this one would do nothing, and which nginx serves. See
      M(bulwark.flask.complete_run).
    - The module returns digests of the inputs of their last complete runs, which the action plugin compares with those of this run.
  returned: success
  type: list
  elements: str
host_up_to_date:
  description: Whether the same holds for the roles that run once for the host.
  returned: success
  type: bool
change_mark:
  description: The value that the fact C(host_part_changed) has once a task of this run has changed a part of the host.
  returned: success
  type: str
moved:
  description: Where directories and files are now.
  returned: success
  type: list
  elements: str
"""

import os
import shutil
import time
from collections.abc import Container
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import application_conflicts as conflicts
from ansible_collections.bulwark.flask.plugins.module_utils import application_layout as layout
from ansible_collections.bulwark.flask.plugins.module_utils import fs, nginx_files
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.store import Certificate
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import clear_error
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.transaction import Store
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import accounts, claims, complete, look
from ansible_collections.bulwark.flask.plugins.module_utils.site_check import Site, Web, problems_now


def adopt(store: Store, name: str, things: list[conflicts.Conflict]) -> list[str]:
    """Move aside what is under a name, and record that the name is ours. Returns the new paths."""
    moved, stamp = [], time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for thing in things:
        if thing.kind == "directory":
            moved.append(f"{thing.name}.before-{stamp}")
            os.rename(thing.name, moved[-1])
        elif thing.kind == "file":
            # Not beside the others: nginx, cron and systemd read every name in their directories.
            moved.append(f"{layout.BACKUPS}/{name}-{stamp}{thing.name}")
            fs.make_private_directory(os.path.dirname(moved[-1]))
            shutil.move(thing.name, moved[-1])
    users = accounts.numbers("".join(f"u {thing.name} -\n" for thing in things if thing.kind == "account"))
    claims.write_record(os.path.join(store.folder, "parts"), f"app_release-{name}", users=users)
    return moved


def is_served(applications: list[dict[str, Any]], names: Container[str]) -> bool:
    """Whether nginx serves these applications as it is configured."""
    try:
        return not problems_now([Site(app["name"], app["domains"], app["health_path"]) for app in applications if app["name"] in names], Web())
    except OSError:
        return False


def find(module: AnsibleModule) -> None:
    """Find conflicts, adopt what is in the way, and exit with the result."""
    store = Store(layout.STATE)
    bases = {app["name"]: app["base"] or f"/srv/{app['name']}" for app in module.params["applications"]}
    domains = {app["name"]: [domain.lower() for domain in app["domains"]] for app in module.params["applications"]}
    parts = os.path.join(store.folder, "parts")
    ours = store.managed().union(*(record.get("files", []) for record in claims.records(parts)))
    things = {name: [] if layout.is_ours(name, ours, parts) else conflicts.unmanaged(name, base, ours) for name, base in bases.items()}
    taken = {name: items for name, items in things.items() if items and module.params["adopt"] and not any(thing.final for thing in items)}
    others = [name for name in layout.deployed(parts) if name not in domains]
    if others and module.params["complete"]:
        module.warn(f"Not in flask_apps, and still on this host: {', '.join(others)}. They stay as they are, served, renewed and audited. "
                    "To remove one: ansible-playbook playbooks/remove.yml -e app=NAME")
    problems = conflicts.refusal({name: items for name, items in things.items() if name not in taken})
    gone = {thing.name for items in taken.values() for thing in items}
    problems += conflicts.served_by_others(domains, [pair for pair in nginx_files.server_names() if pair[0] not in gone], ours)
    if problems:
        module.fail_json(msg="Nothing was changed, because:\n" + "\n".join(problems))
    moved: list[str] = []
    for name, items in taken.items():
        if not module.check_mode:
            with store.locked():
                moved += adopt(store, name, items)
    certificates = [one.name for one in map(Certificate, domains) if one.config.is_dir() and one.is_served()]
    key, unchanged, current = module.params["_key"], {}, {}
    if key and not taken:
        unchanged = look.unchanged(store.folder, key, module, domains, module.params["_source_secrets"])
        left = complete.up_to_date(store.folder, bases, key, unchanged)
        # A whole run reports what is wrong with a site.
        current = left if set(left) - {complete.HOST} <= set(certificates) and is_served(module.params["applications"], left) else {}
    module.exit_json(changed=bool(taken), certificates=certificates, unchanged_parts=unchanged, moved=moved, up_to_date=current, bases=bases,
                     adopted=[thing.text for items in taken.values() for thing in items])


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "applications": {"type": "list", "elements": "dict", "required": True, "options": {
                "name": {"type": "str", "required": True},
                "domains": {"type": "list", "elements": "str", "required": True},
                "base": {"type": "path"},
                "health_path": {"type": "str", "default": "/"},
            }},
            "complete": {"type": "bool", "default": False},
            "adopt": {"type": "bool", "default": False},
            "_key": {"type": "str", "no_log": True},
            "_source_secrets": {"type": "dict", "no_log": True},
        },
        supports_check_mode=True,
    )
    try:
        find(module)
    except OSError as error:
        module.fail_json(msg=clear_error(error, layout.STATE))


if __name__ == "__main__":
    main()
