"""The tests' advisory service responds as pip-audit expects of OSV."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

SEED = {"advisories": {"jinja2==2.10": [{"id": "PYSEC-1"}], "flask-wtf": [{"id": "PYSEC-2"}]}}


def ask(address: str, name: str, version: str) -> Any:
    body = json.dumps({"package": {"name": name, "ecosystem": "PyPI"}, "version": version}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{address}/query", body), timeout=5) as answer:
        return json.loads(answer.read())


def test_a_seeded_version_has_its_advisories_and_another_none(osv: Callable[..., str]) -> None:
    address = osv(SEED)
    assert ask(address, "jinja2", "2.10") == {"vulns": [{"id": "PYSEC-1"}]}
    assert ask(address, "jinja2", "3.1.6") == {}
    assert ask(address, "Flask_WTF", "1") == {"vulns": [{"id": "PYSEC-2"}]}


def test_the_seed_and_the_path_choose_the_mode(osv: Callable[..., str]) -> None:
    address = osv(SEED | {"mode": "clean"})
    assert ask(address, "jinja2", "2.10") == {}
    assert ask(f"{address}/seeded", "jinja2", "2.10")["vulns"]
    assert "vulns" not in ask(f"{address}/nonsense", "jinja2", "2.10")
    with pytest.raises(urllib.error.HTTPError, match="500"):
        ask(f"{address}/error", "jinja2", "2.10")
    with pytest.raises(ValueError, match="Expecting"):
        ask(f"{address}/garbage", "jinja2", "2.10")
    osv(SEED | {"delay_seconds": 0})
    assert ask(f"{address}/slow", "jinja2", "2.10")["vulns"]
