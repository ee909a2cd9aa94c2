"""The application that is deployed."""

from __future__ import annotations

import pytest
import working_copy


@pytest.fixture(autouse=True)
def good_source() -> None:
    """Each test begins with a source that is good; whether it is live is the test's matter."""
    working_copy.make("good")
