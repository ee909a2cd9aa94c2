"""The suite's fixtures, and what the tests of logs share."""

import sys
import time
from collections.abc import Callable
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


@pytest.fixture
def collected(collector: Collector) -> Callable[[], str]:
    """All it has, once what is under way has arrived."""

    def text() -> str:
        time.sleep(3)
        return "\n".join(collector.lines())

    return text
