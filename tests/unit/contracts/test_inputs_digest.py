"""The digest of the inputs has everything from which the roles of site.yml make what a host gets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import complete, look, remembered
from ansible_collections.bulwark.flask.plugins.plugin_utils import inputs_digest
from ansible_collections.bulwark.flask.tests.unit import support
from ansible_collections.bulwark.flask.tests.unit.contracts import role_files
from jinja2 import Environment, meta, nodes

# Those of host.yml are in no record.
ROLES = [role for role in role_files.ROLES if not role.startswith("host_")]
# Keys of tasks whose values are expressions without braces.
EXPRESSIONS = ("when", "failed_when", "changed_when", "until", "that")
# Functions of templates, and what a run, not the host, decides.
GIVEN = {"lookup", "undef", "omit", "range", "namespace", "ansible_check_mode", "item"}


class Every(dict[str, Any]):
    """Filters, or tests, of all names: only variables are of interest."""

    def get(self, name: str, default: Any = None) -> Any:
        return lambda *_unused: None


ENVIRONMENT = Environment(extensions=["jinja2.ext.do"], autoescape=True)
ENVIRONMENT.filters, ENVIRONMENT.tests = Every(), Every()
# The release is looked at whole; the account of who runs it is no input.
MODULES = {"host_part", "generated_secrets", "credential_files", "acme_certificate", "own_certificate", "release", "check_inputs"}
NO_CHANGE = {"debug", "set_fact", "fail", "assert", "setup", "include_vars", "include_tasks"}


def texts(value: Any, key: str = "") -> Iterator[str]:
    """The templates in a part of a role's YAML."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from texts(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, key)
    elif isinstance(value, str) and key in EXPRESSIONS:
        yield "{{ " + value + " }}"
    elif isinstance(value, str) and ("{{" in value or "{%" in value):
        yield value


def parsed(role: str) -> Iterator[nodes.Template]:
    for path in role_files.files(role, "tasks", "vars", "defaults", suffixes=(".yml",)):
        for text in texts(yaml.load(path.read_text(encoding="utf-8"), role_files._Loader)):
            yield ENVIRONMENT.parse(text)
    for path in role_files.files(role, "templates", suffixes=(".j2",)):
        yield ENVIRONMENT.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_that_a_role_reads_is_in_the_digest(role: str) -> None:
    trees = list(parsed(role))
    names = {name for tree in trees for name in meta.find_undeclared_variables(tree)}
    ours = ("__", "flask_app", *(f"{other}_" for other in role_files.ROLES))
    known = {*GIVEN, *inputs_digest.OTHERS, "ansible_facts"}
    # A part of a template reads what the template that includes it has set.
    own = {node.name for tree in trees for node in tree.find_all(nodes.Name) if node.ctx != "load"}
    own |= {node.target for tree in trees for node in tree.find_all(nodes.Import)} | {node.name for tree in trees for node in tree.find_all(nodes.Macro)}
    assert {name for name in names - known - own if not name.startswith(ours)} == set()


@pytest.mark.parametrize("role", ROLES)
def test_every_fact_that_a_role_reads_is_in_the_digest(role: str) -> None:
    for tree in parsed(role):
        for node in tree.find_all((nodes.Getitem, nodes.Getattr)):
            if isinstance(node.node, nodes.Name) and node.node.name == "ansible_facts":
                name = node.attr if isinstance(node, nodes.Getattr) else node.arg.as_const()
                assert name in inputs_digest.FACTS, f"{role} reads {name}"


@pytest.mark.parametrize("role", ROLES)
def test_contents_of_files_of_the_operator_count_or_the_application_is_never_up_to_date(role: str) -> None:
    known = {f"{owner}_{name}" for options in (inputs_digest.FILES, inputs_digest.UNKNOWN) for owner, names in options.items() for name in names}
    read: set[str] = set()
    for tree in parsed(role):
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "lookup" and call.args[0].as_const() == "ansible.builtin.file":
                read |= {name.name for name in call.args[1].find_all(nodes.Name)} if not isinstance(call.args[1], nodes.Name) else {call.args[1].name}
    for path in role_files.files(role, "tasks", "vars", suffixes=(".yml",)):
        read |= set(re.findall(r'template: "\{\{ (\w+) \}\}"', path.read_text(encoding="utf-8")))
    assert read - {"path"} <= known, "path is a file of alarm_channel's own"
    assert "lookup('ansible.builtin." not in role_files.text(role, "tasks", "vars", "templates").replace("lookup('ansible.builtin.file'", "")


def test_every_call_of_a_complete_run_is_looked_at() -> None:
    """Or the application that needs it is never up to date."""
    # It changes something only when the role's part has.
    never = {"systemd_service": "app_logging"}
    entry_points = {"app_release": ("prepare.yml", "release.yml"), "acme_cert": ("main.yml", "certbot.yml", "external.yml")}
    for role in ROLES:
        for name in entry_points.get(role, ("main.yml",)):
            for task in role_files.tasks(support.ROLES / role / "tasks" / name):
                modules = {key.rpartition(".")[2] for key in task if "." in key}
                assert modules <= {*MODULES, *NO_CHANGE, *(module for module, owner in never.items() if owner == role)}, f"{role}: {modules}"
    assert {*remembered.MODULES, "host_part"} == {*look.MODULES} == MODULES - {"check_inputs"}
    looked_at = {*complete.HOST_PARTS, *(part.partition("-")[0] for part in complete.needs("shop"))}
    assert looked_at - {"generated_secrets", "release"} == {*ROLES}
