"""The example playbook of each role's README runs on a fresh host as it is printed, and changes nothing when it runs again.

What an example cannot have comes from here: the domain of the test host, the CA, values of a vault, and what belongs to the reader,
such as an application or a certificate.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from host.playbooks import Playbooks
from testhosts import README_ROLES, scenario

ROOT = Path(__file__).resolve().parents[3]
STATE = scenario().folder
ACME = {"acme_cert_email": "ops@example.test", "acme_cert_directory_url": "https://pebble:14000/dir",
        "acme_cert_ca_bundle": "/usr/local/share/acme-listener.pem"}
SHOP = {"path": f"{ROOT}/examples/shop"}


@dataclass(frozen=True)
class Reader:
    """What the reader of an example has: variables, and commands that made the host what it is."""

    variables: dict[str, Any] = field(default_factory=dict)
    has: str = "true"
    # What the host shows afterwards.
    result: str = "true"


READERS = {
    "acme_cert": Reader({**ACME, "acme_cert_domains": ["acme-cert.example.test"]},
                        result="openssl x509 -noout -ext subjectAltName -in /etc/ssl/acme-cert/wiki/fullchain.pem | grep -q acme-cert.example.test"),
    "alarm_channel": Reader(has="echo > /etc/systemd/system/postgresql.service '[Service]\nExecStart=/bin/sleep infinity'; systemctl start postgresql",
                            result="alarm-channel status"),
    "app_logging": Reader(result="test -e /etc/systemd/journald@worker.conf"),
    "app_release": Reader({"app_release_source": SHOP, "app_release_domains": ["app-release.example.test"]},
                          result="test -e /srv/shop/current/release/manifest.json"),
    "app_secrets": Reader({"vault_broker_password": "a-password"}, result="grep -q BROKER_PASSWORD /etc/flask-secrets/worker.env"),
    "gunicorn_app": Reader(result="systemctl cat gunicorn-shop@x.service"),
    "host_baseline": Reader(result="test -e /etc/sysctl.d/60-host-baseline.conf"),
    "nginx_server": Reader(has="mkdir -p /var/www/blog/logs", result="systemctl is-active nginx"),
    "nginx_site": Reader({"nginx_site_domains": ["nginx-site.example.test"]},
                         has="apt-get -qq update; apt-get -qq install --no-install-recommends nginx openssl >/dev/null; "
                             "mkdir -p /etc/ssl/shop; openssl req -x509 -newkey rsa:2048 -nodes "
                             "-subj /CN=x -keyout /etc/ssl/shop/privkey.pem -out /etc/ssl/shop/fullchain.pem 2>/dev/null",
                         result="nginx -t"),
    "pip_audit": Reader({"pip_audit_osv_url": "http://pebble:8000/clean/v1/query"},
                        has="apt-get -qq update; apt-get -qq install python3-venv >/dev/null; groupadd --system worker; python3 -m venv /srv/worker/venv; "
                            "chgrp -R worker /srv/worker/venv",
                        result="pip-audit-app worker"),
    # A store runs as long as a service needs it.
    "session_store": Reader(has="useradd --system blog; echo > /etc/systemd/system/blog.service '[Unit]\nUpholds=session-store@blog.service\n"
                                "After=session-store@blog.service\n[Service]\nExecStart=/bin/sleep infinity'",
                            result="systemctl start blog && session-store-cli blog ping"),
}


def example(role: str) -> str:
    """The playbook in a README."""
    text = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^```yaml\n(- hosts: web\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{role} has {len(found)} example playbooks"
    return str(found[0])


@pytest.fixture(scope="session")
def playbooks() -> Playbooks:
    """Runs playbooks on the hosts."""
    hosts = {name: {"ansible_host": (STATE / f"{name}.address").read_text(encoding="utf-8")} for name in (host.name for host in scenario().hosts)}
    inventory = STATE / "inventory.json"
    inventory.write_text(json.dumps({"web": {"hosts": hosts, "vars": {
        "ansible_user": "root", "ansible_ssh_private_key_file": str(STATE / "id_ed25519"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={STATE}/known_hosts"}}}), encoding="utf-8")
    return Playbooks([str(inventory)])


# Roles that need another one, and the file of which they say so.
NEEDS = {"acme_cert": ("bulwark.flask.nginx_server", "the role nginx_server installs nginx"),
         "app_release": ("bulwark.flask.gunicorn_app", "the role gunicorn_app writes it"),
         "nginx_site": ("", "the role nginx_server installs nginx")}


@pytest.mark.parametrize("role", NEEDS)
def test_a_role_that_needs_another_names_it(role: str, playbooks: Playbooks) -> None:
    other, words = NEEDS[role]
    plays = yaml.safe_load(example(role))
    plays[0]["roles"] = [one for one in plays[0]["roles"] if one["role"] != other]
    path = ROOT / "build" / "molecule" / "readme" / f"{role}-alone.yml"
    path.write_text(yaml.safe_dump(plays), encoding="utf-8")
    run = playbooks.run(str(path.relative_to(ROOT)), "--limit", role.replace("_", "-"), **READERS[role].variables)
    assert run.rc != 0 and "Nothing was changed, because:" in run.words and words in run.words, run.output


def test_every_role_has_an_example_that_is_run() -> None:
    # host_access says that it is run by playbooks/host.yml, which the scenario `access` does.
    roles = {path.name for path in (ROOT / "roles").iterdir()} - {"host_access"}
    assert set(READERS) == set(README_ROLES) == roles


@pytest.mark.parametrize("role", READERS)
def test_the_example_runs_as_printed_and_again_without_a_change(role: str, playbooks: Playbooks) -> None:
    reader, name = READERS[role], role.replace("_", "-")
    path = ROOT / "build" / "molecule" / "readme" / f"{role}.yml"
    path.write_text(example(role), encoding="utf-8")
    scenario().execute(name, reader.has)
    run = playbooks.good(str(path.relative_to(ROOT)), "--limit", name, **reader.variables)
    assert run.count("changed")[name] > 0
    run = playbooks.good(str(path.relative_to(ROOT)), "--limit", name, **reader.variables)
    assert run.count("changed")[name] == 0, run.output
    scenario().execute(name, reader.result)
