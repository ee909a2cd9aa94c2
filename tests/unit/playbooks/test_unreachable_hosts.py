"""One host of several that cannot be reached: the others get the run, and it fails at the end."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.bulwark.flask.tests.unit.support import ROOT, ansible_playbook

INVENTORY = """\
all:
  hosts:
    there: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
    gone: {ansible_host: 127.0.0.1, ansible_port: 9}
"""
PLAYBOOK = f"""\
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - ansible.builtin.include_tasks: {ROOT}/playbooks/tasks/facts.yml
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.ping:
    - ansible.builtin.debug: {{msg: "{{{{ inventory_hostname }}}} has {{{{ ansible_facts.distribution is defined }}}}"}}
"""


def test_a_host_that_cannot_be_reached_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "inventory.yml").write_text(INVENTORY, encoding="utf-8")
    (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    done = ansible_playbook(tmp_path, "-i", "inventory.yml", "play.yml")
    assert done.returncode != 0
    assert "there has True" in done.stdout and "gone has" not in done.stdout, done.stdout
    assert "fatal: [gone]: UNREACHABLE!" in done.stdout


def test_every_playbook_gathers_facts_in_this_way() -> None:
    for path in (ROOT / "playbooks").glob("*.yml"):
        assert "gather_facts: true" not in path.read_text(encoding="utf-8"), path
