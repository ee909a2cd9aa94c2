"""Fixtures of the tests of logs."""


import pytest
from collector import Collector


@pytest.fixture(scope="session")
def collector() -> Collector:
    """The syslog collector the hosts send to."""
    return Collector()
