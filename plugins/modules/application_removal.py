#!/usr/bin/python
"""Remove an application from a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: application_removal
short_description: Remove an application from a host
version_added: "0.1.0"
description:
  - Takes the site out of nginx, stops the units, and removes files, releases, certificate, secrets and accounts of one
    application. What other applications use stays.
  - The directory of the application's data is kept under another name that only root can enter, unless O(data=delete).
  - A run that was interrupted is finished by the next one.
options:
  name:
    description: Name of the application.
    type: str
    required: true
  base:
    description: Directory of its releases. Default C(/srv/<name>).
    type: path
  data:
    description: V(keep) renames the directory of the data. V(delete) removes it, after it is archived where O(archive=true).
    type: str
    choices: [keep, delete]
    default: keep
  archive:
    description: Whether data is archived below C(/var/backups/bulwark) before it is deleted.
    type: bool
    default: true
  logs:
    description: Whether logs of the web server and the application's journal are kept.
    type: str
    choices: [keep, delete]
    default: keep
  revoke:
    description: Whether the CA revokes the certificate.
    type: bool
    default: false
  ca_bundle:
    description: Certificates that are trusted on a connection to the ACME server.
    type: path
    default: /etc/ssl/certs/ca-certificates.crt
attributes:
  check_mode:
    description: Lists what would be removed.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Remove the shop, keep its data and logs
  bulwark.flask.application_removal:
    name: shop
"""

RETURN = r"""
removed:
  description: What was removed, or would be.
  returned: success
  type: list
  elements: str
kept:
  description: What stays, and where it is now.
  returned: success
  type: list
  elements: str
"""

import glob
import grp
import os
import pwd
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import application_layout as layout
from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import clear_error
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.transaction import Store
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import complete, remembered
from ansible_collections.bulwark.flask.plugins.module_utils.host_part.disk_limit import DiskLimit
from ansible_collections.bulwark.flask.plugins.module_utils.names import APP_NAME
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import Releases

CERTBOT = "/opt/certbot/current/bin/certbot"
NGINX_TEST = "/usr/local/sbin/nginx-test-in-sandbox"


def remove(path: str) -> None:
    """Remove a file, a link or a directory with all below it. A link is never followed."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        fs.unlink(path)


class Removal:
    """One application."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params, self.name = module, module.params, module.params["name"]
        self.store = Store(layout.STATE)
        self.stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.base = self.params["base"] or f"/srv/{self.name}"
        self.data = f"/var/lib/{self.name}"
        self.logs = [f"/var/log/nginx/{self.name}", *glob.glob(f"/var/log/journal/*.{glob.escape(self.name)}")]
        patterns = (*layout.FILES, *layout.BELOW_OURS, *layout.DIRECTORIES)
        self.own_paths = {pattern.format(name=self.name, base=self.base) for pattern in patterns} - {self.data, *self.logs}
        self.paths = sorted(path for path in self.own_paths if os.path.lexists(path))
        self.paths += [link for pattern in layout.RUNNING
                       for link in glob.glob(f"{layout.UNITS}/*.wants/{pattern.format(name=glob.escape(self.name))}")]
        self.accounts = named_accounts(self.name)
        self.records = [path for part in layout.PARTS
                        if os.path.exists(path := f"{layout.STATE}/parts/{part}-{self.name}.json")]
        self.units = self.loaded_units()
        self.disk_limit = DiskLimit.of_record(self.name, self.data, fs.read_json(f"{layout.STATE}/parts/app_release-{self.name}.json") or {})

    def run(self, *command: str, environment: dict[str, str] | None = None) -> str:
        """Run a command; a failure ends the module with its own words."""
        status, out, err = self.module.run_command(list(command), environ_update={"LC_ALL": "C.UTF-8", **(environment or {})})
        if status:
            self.module.fail_json(msg=f"`{' '.join(command)}` failed with status {status}: {err or out}")
        return str(out)

    def loaded_units(self) -> list[str]:
        """Units of the application that run or have failed."""
        patterns = [pattern.format(name=self.name) for pattern in layout.RUNNING]
        text = self.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "--", *patterns)
        return [line.split()[0] for line in text.splitlines() if line.split()]

    def plan(self) -> tuple[list[str], list[str]]:
        """What is removed and what is kept, in words."""
        removed = [*(f"unit {unit}" for unit in self.units), *self.paths, *(f"account {account}" for account in self.accounts)]
        removed += [f"the limit of the disk space of {self.name}"] * bool(self.disk_limit.remove(check=True))
        kept = []
        if os.path.isdir(self.data):
            removed += [self.data] * (self.params["data"] == "delete")
            kept += [f"{self.data}, renamed to {self.data}.removed-<time>"] * (self.params["data"] == "keep")
            if self.params["data"] == "delete" and self.params["archive"]:
                kept.append(f"an archive of {self.data}: {layout.BACKUPS}/{self.name}-<time>.tar.gz")
        logs = [path for path in self.logs if os.path.isdir(path)]
        (removed if self.params["logs"] == "delete" else kept).extend(logs)
        return removed, kept

    def take_out_of_nginx(self) -> None:
        """Remove the server blocks and reload nginx; when its configuration is not valid without them, put them back."""
        site = f"/etc/nginx/sites-enabled/{self.name}.conf"
        aside = fs.temporary_name(site)
        # A run that was killed may have left the second name, and nginx with the old configuration.
        if not os.path.lexists(site) and not os.path.lexists(aside):
            return
        if os.path.lexists(site):
            os.rename(site, aside)
        test = [NGINX_TEST] if os.path.exists(NGINX_TEST) else ["nginx", "-t", "-q"]
        status, out, err = self.module.run_command(test)
        if status:
            os.rename(aside, site)
            self.module.fail_json(msg=f"Nothing was removed: nginx rejects its configuration without {site}:\n{err or out}")
        self.run("systemctl", "try-reload-or-restart", "nginx.service")
        fs.unlink(aside)

    def revoke(self) -> None:
        """Ask the CA to revoke the certificates."""
        for lineage in (self.name, f"{self.name}.rsa"):
            if os.path.exists(f"/etc/acme-cert/renewal/{lineage}.conf"):
                self.run(CERTBOT, "revoke", "--non-interactive", "--config-dir", "/etc/acme-cert", "--work-dir", "/var/lib/acme-cert/work",
                         "--logs-dir", "/var/log/acme-cert", "--cert-name", lineage, "--reason", "cessationofoperation",
                         "--no-delete-after-revoke", environment={"REQUESTS_CA_BUNDLE": self.params["ca_bundle"]})

    def keep_or_delete_data(self) -> None:
        """The data of the application. Its account goes, and the next one with that number must not get the data."""
        if not os.path.isdir(self.data) or os.path.islink(self.data):
            return
        if self.params["data"] == "keep":
            kept = f"{self.data}.removed-{self.stamp}"
            os.rename(self.data, kept)
            os.chown(kept, 0, 0)
            os.chmod(kept, 0o700)
            return
        if self.params["archive"]:
            fs.make_private_directory(layout.BACKUPS)
            path = f"{layout.BACKUPS}/{self.name}-{self.stamp}.tar.gz"
            temporary = fs.temporary_name(path)
            try:
                with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
                    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
                        tar.add(self.data)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(temporary, path)
            except OSError:
                fs.unlink(temporary)  # of a full disk
                raise
        shutil.rmtree(self.data)

    @contextmanager
    def no_deploy(self) -> Iterator[None]:
        """Keep deploys of this application out, or fail while one runs."""
        with ExitStack() as stack:
            if os.path.isdir(self.base):
                stack.enter_context(Releases(Path(self.base)).lock.hold(self.name, "the removal"))
            yield

    def execute(self) -> None:
        """Remove it: first from the clients' view, the records last."""
        if self.params["revoke"]:
            self.revoke()
        self.take_out_of_nginx()
        fs.unlink(f"/etc/cron.d/pip-audit-{self.name}")
        if self.units:
            self.run("systemctl", "stop", "--", *self.units)
        self.disk_limit.remove(check=False)
        self.keep_or_delete_data()
        for path in self.paths:
            remove(path)
        for path in self.logs if self.params["logs"] == "delete" else []:
            remove(path)
        self.run("systemctl", "daemon-reload")
        if self.units:
            self.module.run_command(["systemctl", "reset-failed", "--", *self.units])
        for account in self.accounts:
            self.run("userdel", account)
            # A group that the audit's account is in stays behind.
            if account in {group.gr_name for group in grp.getgrall()}:
                self.run("groupdel", account)
        with self.store.locked():
            # Logs that stay are still ours: the application can be deployed again under its name.
            left = {path for path in self.store.managed() if not path.startswith(tuple(f"{gone}/" for gone in self.own_paths))} - self.own_paths
            self.store.note_managed(left | {path for path in self.logs if os.path.isdir(path)}, final=True)
            self.remember_accounts()
            for path in self.records:
                fs.unlink(path)
            remembered.forget(layout.STATE, self.name)
            complete.forget(layout.STATE, self.name)

    def remember_accounts(self) -> None:
        """Record accounts that applications share, such as pip-audit, which stay."""
        path = f"{layout.STATE}/parts/accounts.json"
        users = dict((fs.read_json(path) or {}).get("users", {}))
        for record in self.records:
            users.update((fs.read_json(record) or {}).get("users", {}))
        fs.write_json(path, {"users": {user: number for user, number in users.items() if user not in self.accounts}})


def named_accounts(name: str) -> list[str]:
    """Service accounts of the application that exist."""
    accounts = []
    for pattern in layout.ACCOUNTS:
        try:
            user = pwd.getpwnam(pattern.format(name=name))
        except KeyError:
            continue
        if user.pw_uid < 1000:
            accounts.append(user.pw_name)
    return accounts


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "base": {"type": "path"},
            "data": {"type": "str", "choices": ["keep", "delete"], "default": "keep"},
            "archive": {"type": "bool", "default": True},
            "logs": {"type": "str", "choices": ["keep", "delete"], "default": "keep"},
            "revoke": {"type": "bool", "default": False},
            "ca_bundle": {"type": "path", "default": "/etc/ssl/certs/ca-certificates.crt"},
        },
        supports_check_mode=True,
    )
    if not APP_NAME.fullmatch(module.params["name"]):
        module.fail_json(msg="name must be the name of an application: a letter, then at most 24 letters, digits, - and _")
    try:
        removal = Removal(module)
        if not layout.is_ours(removal.name, removal.store.managed()):
            module.exit_json(changed=False, removed=[], kept=[])
        removed, kept = removal.plan()
        if not module.check_mode:
            with removal.no_deploy():
                removal.execute()
    except ReleaseError as error:
        module.fail_json(msg=f"Nothing was removed. {error}")
    except OSError as error:
        module.fail_json(msg=f"{clear_error(error, module.params['name'])}. The next run goes on from here.")
    module.exit_json(changed=True, removed=removed, kept=kept)


if __name__ == "__main__":
    main()
