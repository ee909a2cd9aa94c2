"""Deploys, loads and hosts for the tests of releases."""

from __future__ import annotations

from pathlib import Path

import pytest
import working_copy
from host.playbooks import Playbooks
from host.plugin import chosen

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> list:
    """Every host: a deploy goes to all of them at once."""
    return chosen(request.config)


@pytest.fixture(scope="session")
def playbooks(request: pytest.FixtureRequest) -> Playbooks:
    """Runs the real playbooks."""
    return Playbooks(request.config.getoption("--inventory").split(":"))


@pytest.fixture(autouse=True)
def good_source() -> None:
    """Each test begins with a source that is good; whether it is live is the test's matter."""
    working_copy.make("good")
