"""Rules of every role: specification, defaults and README agree."""

import json
import re
import subprocess
import sys

import pytest
import yaml
from ansible_collections.bulwark.flask.plugins.module_utils.distributions import DEBIAN
from ansible_collections.bulwark.flask.tests.unit import support

ROLES = sorted(path.name for path in support.ROLES.iterdir())


def spec(role, entry="main"):
    return yaml.safe_load((support.ROLES / role / "meta/argument_specs.yml").read_text())["argument_specs"][entry]["options"]


def defaults(role):
    return yaml.safe_load((support.ROLES / role / "defaults/main.yml").read_text())


def sources(role, *parts):
    """The text of these parts of a role; comments of YAML files, which are descriptions, are left out."""
    found = []
    for path in (path for part in parts for path in sorted((support.ROLES / role / part).rglob("*"))):
        if path.suffix == ".yml":
            found += [line for line in path.read_text().splitlines() if not line.startswith("#")]
        elif path.suffix == ".j2":
            found.append(path.read_text())
    return "\n".join(found)


@pytest.mark.parametrize("role", ROLES)
def test_specification_and_defaults_name_the_same_variables(role):
    assert set(spec(role)) == set(defaults(role))


@pytest.mark.parametrize("role", ROLES)
def test_specification_and_defaults_have_the_same_values(role):
    values = support.role_vars(role, {key: support.SHOP[key] for key in ("name", "domains", "source", "wsgi")})
    for name, option in spec(role).items():
        if "default" in option:
            assert values[name] == option["default"], name


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_has_a_reader(role):
    text = sources(role, "tasks", "templates", "vars")
    more = sources(role, "defaults")
    for name in spec(role):
        assert re.search(rf"\b{name}\b", text) or len(re.findall(rf"\b{name}\b", more)) > 1, name


@pytest.mark.parametrize("role", ROLES)
def test_no_role_reads_the_variables_of_another(role):
    text = sources(role, "tasks", "templates", "vars", "defaults")
    for other in ROLES:
        if other != role:
            assert not re.search(rf"(?<![\w./-]){other}_[a-z]", text), other


@pytest.mark.parametrize("role", ROLES)
def test_every_template_names_its_role(role):
    for path in (support.ROLES / role / "templates").glob("*.j2") if (support.ROLES / role / "templates").is_dir() else []:
        if path.name.endswith(".json.j2"):
            continue  # JSON has no comments
        lines = path.read_text().splitlines()
        first = lines[1] if lines[0].startswith("#!") else lines[0]
        assert first.startswith("{{ ansible_managed | comment"), path.name
        assert role in path.read_text(), path.name


@pytest.mark.parametrize("role", ROLES)
def test_internals_begin_with_two_underscores(role):
    for path in (support.ROLES / role / "vars").glob("*.yml"):
        for name in yaml.safe_load(path.read_text()) or {}:
            assert name.startswith(f"__{role}_"), path.name


@pytest.mark.parametrize("role", ROLES)
def test_each_release_of_debian_sets_the_same_variables(role):
    releases = [set(yaml.safe_load(path.read_text())) for path in (support.ROLES / role / "vars").glob("Debian_*.yml")]
    assert len(releases) in (0, len(DEBIAN))
    assert all(names == releases[0] for names in releases)


def test_no_role_name_begins_with_another():
    assert not [(a, b) for a in ROLES for b in ROLES if a != b and b.startswith(a)]


def test_generated_files_are_current():
    done = subprocess.run([sys.executable, "tools/reference.py", "--check"], cwd=support.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_inventory_names_the_schema_for_editors():
    lines = (support.ROOT / "inventory.example").read_text().splitlines()
    (schema,) = [line.split("$schema=")[1] for line in lines if line.startswith("# yaml-language-server: $schema=")]
    assert json.loads((support.ROOT / schema).read_text())["$defs"]["entry"]["properties"]["domains"]


def test_no_task_ignores_errors():
    for folder in ("roles", "playbooks", "molecule", "templates"):
        for path in (support.ROOT / folder).rglob("*"):
            if path.suffix in (".yml", ".j2", ".py"):
                assert "ignore_errors" not in path.read_text(), path.name  # searches for the word, and ignores nothing itself


def test_a_role_knows_the_distribution_when_it_checks_its_inputs():
    # The check refuses another distribution; the variables of a release would only not be found.
    for path in support.ROOT.glob("roles/*/tasks/main.yml"):
        text = path.read_text(encoding="utf-8")
        assert "include_vars" not in text or text.index("ansible.builtin.setup") < text.index("check_inputs") < text.index("include_vars"), path


def test_a_unit_that_runs_to_its_end_has_a_limit():
    # systemd's default limit for these is infinity, and the starting process waits.
    for path in support.ROOT.glob("roles/*/templates/*.service.j2"):
        text = path.read_text(encoding="utf-8")
        assert "Type=oneshot" not in text or "TimeoutStartSec=" in text, path
