"""Fixtures that tests of several plugins share."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.certificates import store


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> str:
    """The group that reads keys: one that exists on this machine."""
    name = grp.getgrgid(os.getgid()).gr_name
    monkeypatch.setattr(store, "GROUP", name)
    return name


@pytest.fixture
def shop(tmp_path: Path, group: str) -> store.Certificate:
    """The certificate `shop` on an empty host."""
    found = store.Certificate("shop", tmp_path)
    found.prepare()
    return found
