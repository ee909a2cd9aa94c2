"""A variable with an old name is refused with the new name."""

from __future__ import annotations

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.inputs import engine
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.renamed import PATH_SETTINGS, RENAMED
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.roles import nginx_site
from ansible_collections.bulwark.flask.plugins.plugin_utils.role_files import specs
from ansible_collections.bulwark.flask.tests.unit.plugins.action.inputs_checked import GOOD, check

EVERY = [(role, old, new) for role, names in RENAMED.items() for old, new in names.items()]


@pytest.mark.parametrize(("role", "old", "new"), EVERY)
def test_an_old_name_is_refused_in_an_entry_and_as_a_variable(role: str, old: str, new: str) -> None:
    known = specs()
    assert f"{role}_{new}" in known[role] and f"{role}_{old}" not in known[role]
    assert engine.section("flask_apps.shop", role, {old: 1}, known) == [f"flask_apps.shop.{role}.{old} is unknown; it is now called {new}"]
    assert engine.host_variables({f"{role}_{old}": 1}, known, {}) == [f"{role}_{old} is unknown; it is now called {role}_{new}"]


@pytest.mark.parametrize(("old", "new"), PATH_SETTINGS.items())
def test_an_old_name_of_a_paths_setting_is_refused(old: str, new: str) -> None:
    assert new.split(",")[0] in nginx_site.PATH_SETTINGS
    assert nginx_site.paths("paths", {"/x": {old: True}}) == [f"paths./x.{old} is unknown; it is now called {new}"]


def test_a_single_role_and_the_command_line_report_the_new_name_of_a_variable(tmp_path) -> None:
    good, text = check(tmp_path, {"flask_apps": {"shop": {**GOOD, "app_release": {"keep": 3}}}, "app_release_revive": True})
    assert not good
    for part in ("flask_apps.shop.app_release.keep is unknown; it is now called keep_releases",
                 "app_release_revive is unknown; it is now called app_release_force"):
        assert part in text, part
    alone = [{"hosts": "all", "gather_facts": False, "tasks": [{"bulwark.flask.check_inputs": {"role": "acme_cert"}}]}]
    good, text = check(tmp_path, {"acme_cert_name": "shop", "acme_cert_domains": ["shop.example.com"], "acme_cert_email": "ops@example.com",
                                  "acme_cert_rsa_too": True}, alone)
    assert not good and "acme_cert_rsa_too is unknown; it is now called acme_cert_rsa_certificate" in text
