"""The releases of Debian that a host may run, oldest first: version and codename.

What a role does differently on one of them is in its vars/Debian_<version>.yml.
"""

from __future__ import annotations

DEBIAN = {"12": "bookworm", "13": "trixie"}
