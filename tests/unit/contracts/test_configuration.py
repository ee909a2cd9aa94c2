"""The clone's ansible.cfg."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from ansible_collections.bulwark.flask.tests.unit.plugins.action.inputs_checked import GOOD, check


def test_a_key_that_is_written_twice_is_refused(tmp_path: Path) -> None:
    apps = {"flask_apps": {"shop": {**GOOD, "health_path": "/a"}}}
    inventory = yaml.safe_dump({"all": {"hosts": {"web": None}, "vars": apps}})
    good, text = check(tmp_path, re.sub(r"( +health_path: )/a", r"\1/a\n\1/b", inventory))
    assert not good and "Found duplicate mapping key 'health_path'" in text
