"""Deploys, loads and hosts for the tests of releases."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "verify"), str(HERE)]

import pytest  # noqa: E402
import working_copy  # noqa: E402
from suite import *  # noqa: E402, F403 - the suite's options and fixtures

from playbooks import Playbooks  # noqa: E402


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> list:
    """Every host: a deploy goes to all of them at once."""
    return chosen(request.config)  # noqa: F405


@pytest.fixture(scope="session")
def playbooks(request: pytest.FixtureRequest) -> Playbooks:
    """Runs the real playbooks."""
    return Playbooks(request.config.getoption("--inventory").split(":"))


@pytest.fixture(autouse=True)
def good_source() -> None:
    """Each test begins with a source that is good; whether it is live is the test's matter."""
    working_copy.make("good")
