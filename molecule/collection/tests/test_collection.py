"""The collection as its users get it, under the newest ansible-core it promises."""

from __future__ import annotations

import re
from typing import Any

PLAY = "ANSIBLE_NOCOLOR=1 ansible-playbook -i inventory.yml bulwark.flask.site"


def test_it_is_the_newest_ansible_that_is_promised(controller: Any) -> None:
    versions = controller("ansible --version").stdout
    assert "core 2.21." in versions
    assert re.search(r"python version = 3\.1[2-9]", versions)


def test_the_installed_collection_makes_a_whole_host(controller: Any, servers: Any) -> None:
    done = controller(PLAY)
    assert done.rc == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "[DEPRECATION WARNING]" not in done.stdout + done.stderr
    assert servers["debian12"].outside.https("debian12.example.test", "/healthz").status == 200


def test_another_run_changes_nothing(controller: Any) -> None:
    done = controller(PLAY)
    assert done.rc == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert re.search(r"debian12 .*changed=0 .*failed=0", done.stdout), done.stdout[-500:]


def test_the_unit_tests_pass_there(controller: Any) -> None:
    done = controller("cd project && pytest tests/unit")
    assert done.rc == 0, done.stdout[-4000:] + done.stderr[-1000:]
