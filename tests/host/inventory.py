"""The hosts and applications of an inventory, fully templated and without secrets.

Ansible itself renders the few values the suite needs, on the controller and without connecting;
an application's environment is never among them.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# One JSON text per host. `default` guards every variable an inventory may leave out; a role's variable
# set for the whole host takes precedence, as in the roles.
QUESTION = """
{%- set apps = [] -%}
{%- for app in flask_apps | default({}) | bulwark.flask.app_entries(flask_app_defaults | default({})) -%}
{%- set _ = apps.append({
  'name': app.name, 'domains': app.domains, 'static': app.static | default({}), 'path': (app.source | default({})).path | default(''),
  'release': {'keep_releases': app_release_keep_releases | default(app.app_release.keep_releases) | default(5)},
  'body_max_mb': app.body_max_mb | default(16),
  'hsts_seconds': nginx_site_hsts_seconds | default(app.nginx_site.hsts_seconds) | default(63072000),
  'redirect_port': nginx_site_redirect_port | default(app.nginx_site.redirect_port) | default(443),
  'health_path': app.health_path | default('/'),
  'tls_profile': 'modern' if 'modern' in [nginx_server_tls_profile | default(''), nginx_site_tls_profile | default(app.nginx_site.tls_profile) | default('')]
    else 'intermediate',
  'rate_per_second': nginx_site_rate_per_second | default(app.nginx_site.rate_per_second) | default(20),
  'rate_burst': nginx_site_rate_burst | default(app.nginx_site.rate_burst) | default(100),
  'connections_per_client': nginx_site_connections_per_client | default(app.nginx_site.connections_per_client) | default(100),
  'writable_paths': gunicorn_app_writable_paths | default(app.gunicorn_app.writable_paths) | default([]),
  'session_store': app.session_store | default(false),
  'profile': gunicorn_app_profile | default(app.gunicorn_app.profile) | default('default')}) -%}
{%- endfor -%}
{{ {
  'apps': apps,
  'nginx_unprivileged': nginx_server_unprivileged | default(true),
  'connection': ansible_connection | default('ssh'),
  'address': ansible_host | default(inventory_hostname),
  'port': ansible_port | default(none),
  'user': ansible_user | default(none),
  'key': ansible_ssh_private_key_file | default(none),
  'ssh_args': [ansible_ssh_common_args | default(''), ansible_ssh_extra_args | default('')] | join(' ') | trim,
  'host_key_checking': lookup('ansible.builtin.config', 'HOST_KEY_CHECKING')} | to_json }}
"""


@dataclass(frozen=True)
class App:
    """One application of one host, as the inventory describes it."""

    name: str
    domains: list[str]
    static: dict[str, str]
    path: str
    body_max_mb: int
    hsts_seconds: int
    redirect_port: int
    rate_per_second: int
    rate_burst: int
    connections_per_client: int
    health_path: str
    tls_profile: str
    writable_paths: list[str]
    profile: str
    session_store: bool
    release: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """The domains without wildcards."""
        return [domain for domain in self.domains if not domain.startswith("*")]

    @property
    def domain(self) -> str:
        """The canonical domain."""
        return self.domains[0]

    @property
    def example(self) -> str:
        """Its name in examples/, when it comes from there."""
        path = Path(self.path).resolve()
        return path.name if path.parent == ROOT / "examples" else ""


@dataclass(frozen=True)
class Target:
    """One host of the inventory: how to reach it and what it serves."""

    name: str
    connection: str
    address: str
    port: int | None
    user: str | None
    key: str | None
    ssh_args: str
    host_key_checking: bool
    nginx_unprivileged: bool
    apps: list[App] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The host as testinfra addresses it: a native connection, without an Ansible process per check."""
        if self.connection.endswith("podman") or self.connection.endswith("docker"):
            return f"{self.connection.rsplit('.', 1)[-1]}://{self.address}"
        if self.connection.endswith("local"):
            return "local://"
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"ssh://{user}{self.address}{port}"

    @property
    def ssh_options(self) -> dict[str, str]:
        """How testinfra's ssh is called."""
        if not self.url.startswith("ssh://"):
            return {}
        args = self.ssh_args
        if not self.host_key_checking:
            args += " -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        found = {"ssh_extra_args": args.strip(), "controlpersist": "120"}
        if self.key:
            found["ssh_identity_file"] = self.key
        return {key: value for key, value in found.items() if value}


def read(inventory: str) -> list[Target]:
    """Every host of the inventory, or of several joined by colons, that serves an application."""
    collections = ROOT / ".ansible" / "collections"
    paths = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "")
    environment = os.environ | {
        "ANSIBLE_COLLECTIONS_PATH": f"{collections}:{paths}" if paths else str(collections),
        "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    }
    command = ["ansible", "all", *[f"--inventory={path}" for path in inventory.split(":")], "--one-line",
               "--module-name", "ansible.builtin.debug", "--args", json.dumps({"msg": QUESTION})]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    targets = []
    for line in done.stdout.splitlines():
        name, separator, answer = line.partition(" | SUCCESS => ")
        if separator:
            variables = json.loads(answer)["msg"]
            variables = json.loads(variables) if isinstance(variables, str) else variables
            apps = [App(**app) for app in variables.pop("apps")]
            targets.append(Target(name=name, apps=apps, **variables))
    if done.returncode or not targets:
        raise RuntimeError(f"no host could be read from {inventory}:\n{done.stdout}\n{done.stderr}")
    return [target for target in targets if target.apps]
