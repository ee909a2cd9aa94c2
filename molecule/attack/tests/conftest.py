"""Runs of the playbooks while the attackers are at work."""

from __future__ import annotations

from pathlib import Path

import pytest
from testhosts import scenario


@pytest.fixture(scope="session")
def state() -> Path:
    """The directory of the scenario on the controller."""
    return scenario().folder
