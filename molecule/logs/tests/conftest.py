"""The suite's fixtures, and what the tests of logs share."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "verify"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from collector import Collector  # noqa: E402  (found by the path above)
from suite import *  # noqa: E402,F403  (fixtures and hooks; found by the path above)


@pytest.fixture(scope="session")
def collector() -> Collector:
    """The syslog collector the hosts send to."""
    return Collector()
