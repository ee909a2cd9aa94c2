"""Every template of every role renders, whatever form a value is given in."""

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.distributions import DEBIAN
from ansible_collections.bulwark.flask.tests.unit import support
from ansible_collections.bulwark.flask.tests.unit.contracts import role_files

WRITTEN = {"int": [("7", 7)], "bool": [("true", True), ("no", False)]}


@pytest.mark.parametrize(("role", "template"), role_files.templates())
def test_a_template_renders_for_an_application_with_the_minimum_of_keys(role, template):
    least = {"name": "shop", "domains": ["shop.example.com"], "source": {"path": "/tmp"}, "wsgi": "shop:app"}
    for distribution in DEBIAN:
        facts = {**support.FACTS, "distribution_major_version": distribution}
        found = support.render(role, template, flask_app=least, ansible_facts=facts)
        assert "Ansible managed" in found
        assert role in found
        assert found.endswith("\n")
        assert not any(word in found for word in ("{{", "{%", "Undefined"))


@pytest.mark.parametrize("role", role_files.ROLES)
def test_a_number_or_boolean_may_come_from_the_command_line_as_text(role):
    names = [name for _, name in role_files.templates(role)]
    as_shipped = support.role_vars(role)
    for name, option in role_files.spec(role).items():
        for written, meant in WRITTEN.get(option["type"], ()):
            # A variable that does not depend on it has the same value in both cases.
            depending = support.dependents(role, name)
            values = as_shipped | support.role_vars(role, only=depending, **{name: meant})
            text_values = as_shipped | support.role_vars(role, only=depending, **{name: written})
            different = {key for key in values if text_values[key] != values[key]}
            assert not [key for key in different if key.startswith("__")], f"{name}: {written!r}"
            # A template that reads none of these renders the same text.
            affected = [template for template in names if role_files.mentions(role, template, {name, *different})]
            assert support.render_all(role, affected, text_values, **{name: written}) \
                == support.render_all(role, affected, values, **{name: meant}), f"{name}: {written!r}"
