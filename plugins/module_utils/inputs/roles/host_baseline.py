"""Rules of `host_baseline`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import (
    CONTROL,
    DEBIAN_PACKAGE,
    NATURAL,
    Rule,
    at_least,
    between,
    each,
    matches,
)


def sysctl(where: str, value: Mapping[str, Any]) -> list[str]:
    """Kernel settings by name."""
    problems = []
    for name, setting in value.items():
        if not re.fullmatch(r"[a-z0-9_]+([./][\w*./-]+)+", str(name)):
            problems.append(f"{where}: {name} is not the name of a setting; write it like net.ipv4.tcp_syncookies")
        elif isinstance(setting, bool) or not isinstance(setting, (str, int, type(None))) or CONTROL.search(str(setting)):
            problems.append(f"{where}.{name} must be a number or one line of text, or null to leave it as it is")
    return problems


RULES: dict[str, Rule] = {
    "blocked_modules": each(r"[A-Za-z0-9_-]+", "must be names of kernel modules, such as usb-storage"),
    "idle_minutes": NATURAL,
    "journal_max_mb": at_least(16),
    "packages_absent": each(DEBIAN_PACKAGE, "must be names of Debian packages, such as telnetd"),
    "password_min_length": between(8, 64),
    "reboot_at": matches(r"|([01][0-9]|2[0-3]):[0-5][0-9]", "must be a time such as \"04:30\", in quotes, or empty"),
    "sysctl": sysctl,
}
