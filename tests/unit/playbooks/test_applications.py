"""The loop over applications: one that fails does not stop the others, and the run fails at its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.tests.unit.support import ROOT, ansible_playbook

PLAYBOOK = """\
- hosts: localhost
  gather_facts: false
  vars:
    flask_apps: {{first: {entry}, second: {entry}, third: {entry}}}
  tasks:
    - ansible.builtin.include_tasks: {root}/playbooks/tasks/applications.yml
      vars: {{__step: "{step}", __keep_going: {keep_going}}}
      tags: always
    - ansible.builtin.include_tasks: {root}/playbooks/tasks/applications.yml
      vars: {{__step: "{step}", __keep_going: {keep_going}}}
      tags: always
    - ansible.builtin.include_tasks: {root}/playbooks/tasks/failures.yml
      tags: always
"""
STEP = """\
- ansible.builtin.shell: echo {{ flask_app.name }} >>{{ playbook_dir }}/done
- ansible.builtin.fail:
    msg: no space left
  when: flask_app.name == 'second'
"""
ENTRY = "{domains: [a.example.com], wsgi: 'a:app', source: {path: /srv/a}}"


def play_book(play: Path, *options: str) -> tuple[int, str]:
    """Exit status and output of a playbook that runs on this machine."""
    result = ansible_playbook(play.parent, "-i", "localhost,", "-c", "local", str(play), *options)
    return result.returncode, " ".join((result.stdout + result.stderr).split())


def run(folder: Path, step: str, keep_going: bool, *options: str) -> tuple[int, str, list[str]]:
    """Exit status, output, and the applications whose step ran, in order."""
    (folder / f"{step}.yml").write_text(STEP, encoding="utf-8")
    play = folder / "play.yml"
    play.write_text(PLAYBOOK.format(root=ROOT, entry=ENTRY, step=folder / step, keep_going=str(keep_going).lower()), encoding="utf-8")
    status, output = play_book(play, *options)
    done = (folder / "done").read_text(encoding="utf-8").split() if (folder / "done").exists() else []
    return status, output, done


def test_an_application_that_fails_does_not_stop_the_others_and_is_left_out_afterwards(tmp_path: Path) -> None:
    status, output, done = run(tmp_path, "deploy", True)
    assert status != 0
    assert done == ["first", "second", "third", "first", "third"]
    assert "Failed: second; the reason is above." in output
    assert "No new certificate" not in output


def test_those_that_are_left_out_have_no_step(tmp_path: Path) -> None:
    status, output, done = run(tmp_path, "deploy", True, "-e", '{"__left_out": ["second", "first"]}')
    assert (status, done) == (0, ["third", "third"]), output


def test_tags_select_tasks_of_a_step(tmp_path: Path) -> None:
    status, output, done = run(tmp_path, "deploy", True, "--tags", "nginx_site")
    assert (status, done) == (0, []), output


def test_a_step_that_must_not_go_on_stops_at_the_first_failure(tmp_path: Path) -> None:
    status, _output, done = run(tmp_path, "rotate", False)
    assert status != 0
    assert done == ["first", "second"]


def test_the_application_that_is_named_is_the_only_one(tmp_path: Path) -> None:
    status, _output, done = run(tmp_path, "deploy", True, "-e", "app=third")
    assert status == 0
    assert done == ["third", "third"]


@pytest.mark.parametrize(("tags", "known"), [("nginx_sight", False), ("host_access", True)])
def test_tags_that_select_nothing_are_refused(tmp_path: Path, tags: str, known: bool) -> None:
    play = tmp_path / "play.yml"
    play.write_text("- {hosts: localhost, gather_facts: false, tags: always, tasks: "
                    f"[{{ansible.builtin.include_tasks: {ROOT}/playbooks/tasks/check.yml}}]}}\n", encoding="utf-8")
    _status, output = play_book(play, "--tags", tags)
    assert ("selects nothing" not in output) == known, output
