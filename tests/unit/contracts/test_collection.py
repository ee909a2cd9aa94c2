"""Rules of the whole collection."""

import json
import os
import re
import subprocess
import sys

import pytest
import yaml
from ansible_collections.bulwark.flask.tests.unit import support
from ansible_collections.bulwark.flask.tests.unit.contracts import role_files

PLUGINS = {"module": "modules", "filter": "filter"}


def ansible_doc(kind, *names):
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(support.ROOT / ".ansible/collections")}
    done = subprocess.run([sys.executable, "-m", "ansible", "doc", "--json", "--type", kind, *names], cwd=support.ROOT,
                          env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", PLUGINS)
def test_every_plugin_is_documented(kind):
    names = [f"bulwark.flask.{path.stem}" for path in sorted((support.ROOT / "plugins" / PLUGINS[kind]).glob("[a-z]*.py"))]
    found = ansible_doc(kind, *names)
    for name in names:
        assert found[name].get("doc"), name
        assert found[name]["doc"]["description"], name
        assert found[name]["doc"]["short_description"], name
        assert found[name]["examples"], name


def test_every_action_has_a_module_of_its_name():
    for path in (support.ROOT / "plugins/action").glob("[a-z]*.py"):
        assert (support.ROOT / "plugins/modules" / path.name).exists(), path.name


def test_every_role_is_documented():
    names = [f"bulwark.flask.{role}" for role in role_files.ROLES]
    found = ansible_doc("role", *names)
    for name, role in zip(names, role_files.ROLES):
        assert set(found[name]["entry_points"]) == set(role_files.entry_points(role)), name


def test_no_role_name_begins_with_another():
    assert not [(a, b) for a in role_files.ROLES for b in role_files.ROLES if a != b and b.startswith(a)]


def test_plugins_know_nothing_of_their_tests():
    for path in (support.ROOT / "plugins").rglob("*.py"):
        assert not re.search(r"\b(molecule|podman|testinfra)\b|\bCI\b", path.read_text(), re.IGNORECASE), path.name


def test_modules_load_where_python_is_3_9():
    for folder in ("modules", "module_utils"):
        for path in (support.ROOT / "plugins" / folder).rglob("[a-z]*.py"):
            code = path.read_text()
            assert "from __future__ import annotations" in code or not re.search(r"\bdef \w+\(.*\|", code), path.name
            assert not re.search(r"^\s+match \w+:$|except\*", code, re.MULTILINE), path.name


def test_playbooks_have_no_dash_in_their_names():
    for path in (support.ROOT / "playbooks").rglob("*.yml"):
        assert "-" not in path.stem, path.name


def test_the_example_inventory_is_short_and_explained():
    lines = (support.ROOT / "inventory.example").read_text().splitlines()
    assert len(lines) <= 25
    for line in lines:
        assert re.search(r"(^|\s)# \w", line), line
        assert len(line) <= 130, line


def test_a_second_application_is_six_more_lines():
    lines = (support.ROOT / "inventory.example").read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.lstrip().startswith("shop:"))
    assert len(lines[start:]) == 6
    twice = "\n".join(lines + [line.replace("shop", "blog") for line in lines[start:]])
    apps = yaml.safe_load(twice)["all"]["vars"]["flask_apps"]
    assert list(apps) == ["shop", "blog"]
    assert list(apps["shop"]) == list(apps["blog"])


def test_test_modules_do_not_import_each_other():
    # pytest imports a module by its base name; a scenario may have one of the same name, and fixtures do not travel.
    for path in [*support.ROOT.glob("tests/**/*.py"), *support.ROOT.glob("molecule/**/*.py")]:
        assert not re.search(r"^\s*(from|import) test_", path.read_text(encoding="utf-8"), re.MULTILINE), path
