"""The removal of everything knows the directories that roles, units and modules fill."""

from __future__ import annotations

import re

import pytest
import yaml
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.former import TREES
from ansible_collections.bulwark.flask.tests.unit.contracts.role_files import ROLES, text

# Directories of Debian, in which packages and others have files too.
SHARED = ("/etc/aide", "/etc/apt", "/etc/needrestart", "/etc/nginx/", "/etc/security", "/etc/sysctl.d", "/etc/modprobe.d",
          "/etc/systemd", "/etc/sysusers.d", "/etc/tmpfiles.d", "/var/log/nginx", "/var/www")


@pytest.mark.parametrize("role", ROLES)
def test_every_directory_of_a_role_is_known(role: str) -> None:
    written = text(role, "tasks", "vars", "defaults", "templates")
    # Variables with a path, as far as they are literal.
    values = dict(re.findall(r"^(\w+): [\"']?(/[\w./-]+)[\"']?$", written, re.MULTILINE))
    written = re.sub(r"\{\{ (\w+) \}\}", lambda name: values.get(name[1], name[0]), written)
    made = re.findall(r"dest: [\"']?(/[^\"',}\s]+)[\"']?,? *(?:\n *)?state: directory", written)
    made += re.findall(r"^d (/\S+)", written, re.MULTILINE)
    made += [f"/var/lib/{name}" for name in re.findall(r"^StateDirectory=(\S+)", written, re.MULTILINE)]
    for path in made:
        if "{{" not in path and "{%" not in path and "%" not in path:
            assert path.startswith(SHARED) or any(path == tree or path.startswith(f"{tree}/") for tree in TREES), path


@pytest.mark.parametrize("role", ROLES)
def test_what_a_part_requires_has_a_reason(role: str) -> None:
    for line in re.findall(r"^    requires: (\{[^{].*)$", text(role, "tasks"), re.MULTILINE):
        assert all(isinstance(reason, str) for reason in yaml.safe_load(line).values()), line
