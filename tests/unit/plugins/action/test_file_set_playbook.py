"""The task as Ansible runs it: rendering, and its output with full verbosity."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.bulwark.flask.tests.unit.file_trees import ME
from ansible_collections.bulwark.flask.tests.unit.support import ansible_playbook

CANARY = "canary-Xq7pLw92"
BASE = """{{ ansible_managed | comment }}
# base
{% block main %}
  {% if demo_list %}
value {{ demo_value }} {{ demo_list | to_json }}
  {% endif %}
{% endblock %}
{% include "part.j2" %}
{% import "macro.j2" as m with context %}
{{ m.line(2) }}

"""
EXPECTED = "#\n# Ansible managed\n#\n# base\n  value 2 [1, 2]\n  part 2 mineline 2\n\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A role with templates, and an operator's overlay beside the playbook."""
    role = tmp_path / "roles" / "demo"
    for folder in (role / "templates", role / "defaults", role / "tasks", tmp_path / "overlays", tmp_path / "out"):
        folder.mkdir(parents=True)
    (role / "templates" / "base.conf.j2").write_text(BASE)
    (role / "templates" / "part.j2").write_text("part {{ demo_value }} {{ extra | default('-') }}")
    (role / "templates" / "macro.j2").write_text("{% macro line(n) %}line {{ n }}{% endmacro %}")
    (role / "templates" / "secret.j2").write_text("PASSWORD={{ demo_secret }}\n")
    (role / "templates" / "broken.j2").write_text("{{ demo_secret | from_json }}")
    (role / "templates" / "empty.j2").write_text("")
    (tmp_path / "overlays" / "operator.j2").write_text(
        '{% extends "base.conf.j2" %}\n{% block main %}\n{{ super() -}}\nby the operator\n{% endblock %}\n')
    (role / "defaults" / "main.yml").write_text("demo_value: \"{{ demo_list | length }}\"\ndemo_list: [1, 2]\ndemo_secret: " + CANARY + "\n")
    return tmp_path


def play(project: Path, *tasks: dict[str, object], arguments: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run tasks of the role on this machine, with nothing of it touched but the project."""
    (project / "roles" / "demo" / "tasks" / "main.yml").write_text(yaml.safe_dump(list(tasks)))
    (project / "play.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "roles": ["demo"]}]))
    return ansible_playbook(project, "-i", "localhost,", "-c", "local", "play.yml", "-e", f"ansible_python_interpreter={sys.executable}",
                            *arguments, ANSIBLE_LOCAL_TEMP=str(project / "tmp"), ANSIBLE_REMOTE_TEMP=str(project / "tmp"),
                            ANSIBLE_HOME=str(project / "home"))


def file_set(project: Path, files: list[dict[str, object]], **options: object) -> dict[str, object]:
    whole = [{**ME, **entry, "dest": str(project / "out" / str(entry["dest"]))} for entry in files]
    return {"bulwark.flask.file_set": {"files": whole, "state_dir": str(project / "state"), **options}}


def rescued(task: dict[str, object]) -> dict[str, object]:
    """A task after whose failure the play goes on, so that one run has the output of several."""
    return {"block": [task], "rescue": [{"ansible.builtin.meta": "noop"}]}


def test_templates_are_rendered_as_the_template_module_does(project: Path) -> None:
    out = project / "out"
    overlay = "{{ playbook_dir }}/overlays/operator.j2"
    theirs = [{"ansible.builtin.template": {"src": source, "dest": str(out / f"{name}.theirs")}, "vars": {"extra": "mine"}}
              for name, source in (("base", "base.conf.j2"), ("overlay", overlay), ("empty", "empty.j2"))]
    ours = file_set(project, [
        {"dest": "base", "template": "base.conf.j2", "vars": {"extra": "mine"}},
        {"dest": "overlay", "template": overlay, "vars": {"extra": "mine"}},
        {"dest": "empty", "template": "empty.j2"},
    ])
    done = play(project, ours, *theirs)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("base", "overlay", "empty"):
        assert (out / name).read_bytes() == (out / f"{name}.theirs").read_bytes()
    assert (out / "base").read_text() == EXPECTED
    assert "by the operator" in (out / "overlay").read_text() and "value 2" in (out / "overlay").read_text()


@pytest.mark.parametrize("check", [(), ("--check",)], ids=["run", "check"])
def test_a_secret_is_nowhere_in_the_output_at_any_verbosity(project: Path, check: tuple[str, ...]) -> None:
    leaky = ["sh", "-c", f"cat {project}/out/a {project}/out/b >&2; exit 1"]
    files: list[dict[str, object]] = [{"dest": "a", "template": "secret.j2", "sensitive": True},
                                      {"dest": "b", "content": "{{ demo_secret }}", "sensitive": True}]
    broken = file_set(project, [{"dest": "c", "template": "broken.j2", "sensitive": True}])
    done = play(project, file_set(project, files), rescued(file_set(project, [*files, {"dest": "d", "content": "x"}], apply=[leaky])),
                rescued(broken), arguments=("--diff", "-vvvv", *check))
    assert done.returncode == 0, done.stdout + done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert "[[ sensitive: contents hidden ]]" in done.stdout and "the text is hidden" in done.stdout + done.stderr
    if not check:
        assert (project / "out" / "a").read_text() == f"PASSWORD={CANARY}\n"
        assert oct((project / "out" / "a").stat().st_mode) == "0o100600"
        assert "failed with status 1" in done.stdout + done.stderr


def test_mistakes_and_missing_variables_are_reported_with_the_file(project: Path) -> None:
    done = play(project, rescued(file_set(project, [{"dest": "a", "content": "x", "mdoe": "0600"}])),
                file_set(project, [{"dest": "b", "template": "none.j2"}]))
    text = done.stdout + done.stderr
    assert "did you mean mode?" in text and "out/b: template none.j2" in text and done.returncode != 0
