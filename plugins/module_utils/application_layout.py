"""What an application has on a host, by its name. No Ansible imports.

A contract test compares the tables with the files of the roles.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.bulwark.flask.plugins.module_utils.host_part import claims

STATE = "/var/lib/file_set"
UNITS = "/etc/systemd/system"
# Where adopt.yml and remove.yml keep what they move or archive.
BACKUPS = "/var/backups/bulwark"
ACCOUNTS = ("{name}", "{name}-build")
DIRECTORIES = {
    "{base}": "releases",
    "/var/lib/{name}": "data of the application",
    "/var/cache/{name}-build": "cache of builds",
    "/var/log/nginx/{name}": "logs of the web server",
}
FILES = (
    "/etc/sysusers.d/flask-{name}.conf", "/etc/tmpfiles.d/flask-{name}.conf", "/etc/tmpfiles.d/flask-logs-{name}.conf",
    f"{UNITS}/gunicorn-{{name}}@.service", f"{UNITS}/gunicorn-{{name}}@.socket", "/etc/gunicorn/{name}.conf.py",
    "/etc/gunicorn/{name}.settings.json", "/etc/systemd/journald@{name}.conf", "/etc/logrotate.d/nginx-{name}",
    "/etc/nginx/sites-enabled/{name}.conf", "/etc/pip-audit/{name}.json", "/etc/cron.d/pip-audit-{name}",
    f"{UNITS}/pip-audit-{{name}}@.service", f"{UNITS}/pip-audit-{{name}}.socket", "/etc/sysusers.d/pip-audit-{name}.conf",
    "/etc/tmpfiles.d/pip-audit-{name}.conf", "/etc/acme-cert/{name}.ini", "/etc/acme-cert/{name}.rsa.ini", "/etc/acme-cert/{name}.dns.ini",
    "/etc/alarm-channel/sites/{name}.json",
)
# Parts that make an application's accounts and directories: a record of one says that the name is ours.
ROLES = ("app_release", "gunicorn_app")
# Below directories of ours: nothing of others can be there.
BELOW_OURS = (
    "/etc/flask-secrets/{name}.env", "/etc/flask-secrets/{name}.generated.env", "/var/lib/session-stores/{name}",
    "/etc/flask-secrets/{name}.credentials", "/etc/flask-secrets/{name}.files", "/etc/flask-logs/{name}.conf",
    "/etc/nginx/maintenance/{name}.html", "/etc/nginx/maintenance/{name}.on", "/etc/nginx/users/{name}", "/var/lib/nginx/cache/{name}",
    "/etc/ssl/acme-cert/{name}", "/etc/ssl/acme-cert/{name}.rsa", "/etc/acme-cert/live/{name}", "/etc/acme-cert/live/{name}.rsa",
    "/etc/acme-cert/archive/{name}", "/etc/acme-cert/archive/{name}.rsa", "/etc/acme-cert/renewal/{name}.conf",
    "/etc/acme-cert/renewal/{name}.rsa.conf", "/var/lib/acme-cert/served-{name}", "/var/lib/acme-cert/served-{name}.rsa",
    "/var/lib/acme-cert/placeholder/{name}", "/var/lib/acme-cert/placeholder/{name}.rsa", "/var/lib/acme-cert/external/{name}",
    "/var/lib/acme-cert/to-revoke/{name}", "/var/lib/acme-cert/to-revoke/{name}.rsa",
    "/var/lib/acme-cert/damaged/{name}", "/var/lib/acme-cert/damaged/{name}.rsa",
    "/var/lib/systemd/timers/stamp-acme-cert-renew@{name}.timer", "/var/lib/pip-audit/{name}",
    f"{UNITS}/gunicorn-{{name}}@.service.d", f"{UNITS}/acme-cert-renew@{{name}}.service.d",
    f"{UNITS}/acme-cert-renew@{{name}}.rsa.service.d", f"{UNITS}/flask-logs-{{name}}.service",
    f"{UNITS}/systemd-journald@{{name}}.socket.d",
)
# Units of an application, as patterns of systemctl.
RUNNING = (
    "gunicorn-{name}@*", "session-store@{name}.service", "pip-audit-{name}.socket", "pip-audit-{name}@*", "acme-cert-renew@{name}.timer",
    "acme-cert-renew@{name}.service", "acme-cert-renew@{name}.rsa.service", "flask-logs-{name}.service", "systemd-journald@{name}.socket",
    "systemd-journald-varlink@{name}.socket", "systemd-journald@{name}.service", "systemd-journald-sync@{name}.service",
)
PARTS = ("app_release", "app_secrets", "app_logging", "gunicorn_app", "pip_audit", "nginx_site", "acme_cert")


def is_ours(name: str, managed: Iterable[str], parts: str = f"{STATE}/parts", root: str = "") -> bool:
    """Whether an earlier run has made this application: by its records, or by the file of its accounts."""
    if any(os.path.exists(f"{parts}/{role}-{name}.json") for role in ROLES):
        return True
    accounts = f"/etc/sysusers.d/flask-{name}.conf"
    return accounts in managed or os.path.isfile(root + accounts) and claims.is_own(Path(root + accounts).read_bytes())


def deployed(parts: str = f"{STATE}/parts") -> list[str]:
    """The applications that this host has, by their records."""
    prefix, suffix = "app_release-", ".json"
    names = os.listdir(parts) if os.path.isdir(parts) else []
    return sorted(name[len(prefix):-len(suffix)] for name in names if name.startswith(prefix) and name.endswith(suffix))
