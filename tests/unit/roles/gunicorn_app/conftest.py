"""The gunicorn of the releases."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.tests.unit import support
from ansible_collections.bulwark.flask.tests.unit.environments import environment


@pytest.fixture(scope="session")
def python() -> Path:
    """An interpreter with the gunicorn of the releases."""
    return environment("gunicorn", support.ROOT / "roles/app_release/files/gunicorn.txt") / "python"
