"""The table of what an application has on a host names every file and directory that roles write for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils import application_layout as layout
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.store import Certificate
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.former import TREES
from ansible_collections.bulwark.flask.plugins.module_utils.inputs import engine
from ansible_collections.bulwark.flask.tests.unit.contracts.role_files import ROLES, text

# What belongs to a role's own directory is not in the way of others.
OWN = ("/etc/flask-logs/", "/etc/flask-secrets/", "/etc/nginx/maintenance/", "/etc/nginx/users/", "/etc/ssl/acme-cert/", "/var/lib/nginx/cache/",
       "/var/lib/pip-audit/")


@pytest.mark.parametrize("role", ROLES)
def test_every_path_with_the_name_of_the_application_is_in_the_table(role: str) -> None:
    known = {path.format(name="shop", base="/srv/shop") for path in (*layout.FILES, *layout.DIRECTORIES)}
    written = text(role, "tasks", "vars", "defaults").replace("{{ __pip_audit_units }}", "/etc/systemd/system")
    for path in re.findall(r'["\' ]((?:/(?:etc|var|srv)/)[^"\',}]*?\{\{ ' + role + r"_name \}\}[^\"',} \n]*)", written):
        dest = path.replace("{{ " + role + "_name }}", "shop")
        assert dest in known or dest.startswith(OWN) or any(dest.startswith(one + "/") for one in known), dest


@pytest.mark.parametrize("name", ["shop", "shop.rsa"])
def test_every_place_of_a_certificate_is_in_the_table(name: str) -> None:
    """Keys of a removed application would stay."""
    known = {path.format(name="shop", base="/srv/shop") for path in (*layout.FILES, *layout.BELOW_OURS)}
    places = {str(path) for path in vars(Certificate(name)).values() if isinstance(path, Path) and name in path.name}
    assert len(places) == 8 and places - known == ({"/var/lib/acme-cert/external/shop.rsa"} if name == "shop.rsa" else set()), "an own one has no pair"


def test_the_table_has_no_other_content() -> None:
    sources = "\n".join(text(role, "tasks", "vars", "defaults", "templates") for role in ROLES)
    for path in layout.FILES:
        stem = path.rpartition("/")[2].partition("{name}")[0]
        assert not stem or stem in sources, path


def test_an_application_cannot_have_a_name_that_a_role_uses() -> None:
    """Its account would have the rights of a group, or its state the directory of a role."""
    texts = "\n".join(text(role, "tasks", "vars", "defaults", "templates", "files") for role in ROLES)
    names = {name for line in re.findall(r"^(?:Group|SupplementaryGroups)=([a-z -]+)$", texts, re.MULTILINE) for name in line.split()}
    names |= set(re.findall(r"^[ug] ([a-z-]+) ", texts, re.MULTILINE))
    names |= {tree.removeprefix("/var/lib/") for tree in TREES if tree.startswith("/var/lib/")}
    names.add(layout.STATE.removeprefix("/var/lib/"))
    assert names >= {"ssl-cert", "proc", "adm", "www-data", "pip-audit", "acme-cert", "host-baseline", "file_set"}
    assert [name for name in sorted(names) if not engine.app_name("app", name)] == []
