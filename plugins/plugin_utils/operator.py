"""The operator's name for manifests, locks and histories."""

from __future__ import annotations

import getpass
import os
import platform


def operator() -> str:
    """Account and machine, such as `jo@laptop`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{platform.node()}"
