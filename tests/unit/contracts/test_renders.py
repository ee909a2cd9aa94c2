"""Every template of every role renders, whatever form a value is given in."""

import pytest
import role_files
import support

WRITTEN = {"int": [("7", 7)], "bool": [("true", True), ("no", False)]}


@pytest.mark.parametrize(("role", "template"), role_files.templates())
def test_a_template_renders_for_an_application_with_the_minimum_of_keys(role, template):
    least = {"name": "shop", "domains": ["shop.example.com"], "source": {"path": "/tmp"}, "wsgi": "shop:app"}
    for distribution in ("12", "13"):
        facts = {**support.FACTS, "distribution_major_version": distribution}
        found = support.render(role, template, flask_app=least, ansible_facts=facts)
        assert "Ansible managed" in found
        assert role in found
        assert found.endswith("\n")
        assert not any(word in found for word in ("{{", "{%", "Undefined"))


@pytest.mark.parametrize("role", role_files.ROLES)
def test_a_number_or_boolean_may_come_from_the_command_line_as_text(role):
    names, defaults = [name for _, name in role_files.templates(role)], role_files.defaults(role)
    as_shipped = support.render_all(role, names)
    for name, option in role_files.spec(role).items():
        for written, meant in WRITTEN.get(option["type"], ()):
            vars_, files = as_shipped if defaults.get(name) is meant else support.render_all(role, names, **{name: meant})
            text_vars, text_files = support.render_all(role, names, **{name: written})
            assert text_files == files, f"{name}: {written!r}"
            internals = {key: value for key, value in vars_.items() if key != name and key.startswith("__")}
            assert {key: text_vars[key] for key in internals} == internals, f"{name}: {written!r}"
