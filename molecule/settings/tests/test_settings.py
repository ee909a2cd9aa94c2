"""A setting that is taken back leaves no trace: the same files, byte for byte, the same units, the same kernel settings."""

from __future__ import annotations

import re
from typing import Any

import pytest
from host.playbooks import Playbooks
from host.plugin import Server
from values import APART, HOST_ROLES, OMITTED, ROOT, given, specification, varied

ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
SITE_ROLES = [role for role in ROLES if role not in HOST_ROLES]

# What the roles have on a host, with contents. Certificates and releases are new ones each time.
STATE = r'''
import hashlib
STORE = "/var/lib/file_set"
PARTS = {os.path.basename(path)[:-5]: json.load(open(path)) for path in glob.glob(STORE + "/parts/*.json")}
PATHS = {path for part in PARTS.values() for path in part["files"]} | set(json.load(open(STORE + "/managed.json")))
for top in ("/etc/systemd/system", "/etc/nginx", "/etc/flask-secrets", "/etc/flask-logs", "/etc/gunicorn", "/etc/host-access", "/etc/ssh", "/etc/fail2ban",
            "/etc/alarm-channel", "/etc/pip-audit", "/etc/session-store", "/etc/sysusers.d", "/etc/tmpfiles.d", "/etc/cron.d", "/etc/logrotate.d",
            "/etc/sysctl.d", "/etc/modprobe.d", "/etc/security", "/etc/apt/apt.conf.d", "/usr/local"):
    for folder, folders, files in os.walk(top):
        PATHS |= {os.path.join(folder, name) for name in folders + files}

def entry(path):
    try:
        found = os.lstat(path)
    except OSError:
        return None
    content = ""
    if stat.S_ISLNK(found.st_mode):
        content = os.readlink(path)
    elif stat.S_ISREG(found.st_mode):
        content = hashlib.sha256(open(path, "rb").read()).hexdigest()[:16]
    return [mode(path), content]

def lines(*command):
    return sorted(output(*command).decode(errors="replace").splitlines())

names = sorted({name for part in PARTS.values() for name in part["units"]})
print(json.dumps({
    "paths": {path: entry(path) for path in sorted(PATHS) if "/instances/" not in path and entry(path)},
    "units": {name: [properties(name, "ActiveState")["ActiveState"], output("systemctl", "is-enabled", name).decode().strip()] for name in names},
    "parts": {name: part for name, part in PARTS.items()},
    "sshd": lines("sshd", "-T"), "ruleset": lines("nft", "--stateless", "--terse", "list", "table", "inet", "host_access"),
    "settings": lines("sh", "-c", "cat /etc/sysctl.d/60-host-baseline.conf | grep -v '^#' | cut -d= -f1 | xargs -n1 sysctl -n"),
    "accounts": lines("getent", "group", "shop", "shop-build", "adm", "pip-audit"),
}))
'''


def test_every_variable_is_varied_or_has_a_reason() -> None:
    values, unknown = varied(ROLES)
    assert unknown == [], "give each another value in OTHER, or a reason in OMITTED"
    known = {name for role in ROLES for name in specification(role)}
    assert set(OMITTED) | set(APART) <= known, "names that no role has"
    assert len(values) > 120


@pytest.fixture(scope="module")
def before(servers: list[Server]) -> dict[str, Any]:
    """The hosts with the defaults."""
    for server in servers:
        server.host.check_output("mkdir -p /var/lib/extra /var/lib/node-exporter")
    return {server.name: server.ask(STATE) for server in servers}


# What stays because a package stays, which may be in use by then; and what Python compiles.
OF_PACKAGES = re.compile(r".*/(audit-rules|auditd)\.service: |units: (audit-rules|auditd)\.service: |paths: /etc/logrotate\.d/rsyslog: |"
                         r"paths: /etc/nginx/modules-enabled/50-mod-http-brotli-\w+\.conf: |paths: .*/__pycache__/")


def differences(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Each difference in one line."""
    found = []
    for kind in was:
        old, new = (state[kind] if isinstance(state[kind], dict) else dict.fromkeys(state[kind], "") for state in (was, now))
        found += [f"{kind}: {name}: {old.get(name)} -> {new.get(name)}" for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return [line for line in found if not OF_PACKAGES.match(line)]


def taken_back(servers: list[Server], playbooks: Playbooks, before: dict[str, Any], name: str, values: dict[str, Any], least: int) -> None:
    """Set values in one run, go back in another, and compare."""
    playbooks.good(name, **given(values))
    changed = {server.name: differences(before[server.name], server.ask(STATE)) for server in servers}
    assert all(len(lines) >= least for lines in changed.values()), changed
    playbooks.good(name)
    left = {server.name: differences(before[server.name], server.ask(STATE)) for server in servers}
    assert not any(left.values()), "\n".join(f"{host}: {line}" for host, lines in left.items() for line in lines)


@pytest.mark.parametrize(("name", "roles"), [("host", list(HOST_ROLES)), ("site", SITE_ROLES)])
def test_other_values_are_taken_back(servers: list[Server], playbooks: Playbooks, before: dict[str, Any], name: str, roles: list[str]) -> None:
    taken_back(servers, playbooks, before, name, varied(roles)[0], least=10)


@pytest.mark.parametrize(("variable", "value"), APART.items())
def test_what_excludes_others_is_taken_back(servers: list[Server], playbooks: Playbooks, before: dict[str, Any], variable: str, value: Any) -> None:
    role = next(role for role in ROLES if variable.startswith(role))
    taken_back(servers, playbooks, before, "host" if role in HOST_ROLES else "site", {variable: value}, least=1)
