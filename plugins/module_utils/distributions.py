"""The releases of Debian that a host may run, oldest first: version and codename.

What a role does differently on one of them is in its vars/Debian_<version>.yml.
"""

from __future__ import annotations

import re

DEBIAN = {"12": "bookworm", "13": "trixie"}


def unsupported(os_release: str) -> list[str]:
    """A problem when the file os-release of a host names another distribution."""
    values = dict(re.findall(r"^(\w+)=[\"']?([^\"'\n]*)", os_release, re.MULTILINE))
    if not values or values.get("ID") == "debian" and values.get("VERSION_ID") in DEBIAN:
        return []
    return [f"this host runs {values.get('PRETTY_NAME', 'another distribution')}, which is not supported; use Debian {' or '.join(DEBIAN)}"]
