"""The releases of Debian that a host may run, oldest first: version and codename.

What a role does differently on one of them is in its vars/Debian_<version>.yml.
"""

from __future__ import annotations

import re
from pathlib import Path

OS_RELEASE = Path("/etc/os-release")
DEBIAN = {"12": "bookworm", "13": "trixie"}


def unsupported(os_release: Path = OS_RELEASE) -> list[str]:
    """A problem when the file os-release of a host names another distribution."""
    text = os_release.read_text(encoding="utf-8", errors="replace") if os_release.exists() else ""
    values = dict(re.findall(r"^(\w+)=[\"']?([^\"'\n]*)", text, re.MULTILINE))
    if not values or values.get("ID") == "debian" and values.get("VERSION_ID") in DEBIAN:
        return []
    return [f"this host runs {values.get('PRETTY_NAME', 'another distribution')}, which is not supported; use Debian {' or '.join(DEBIAN)}"]
