"""Patterns of names and addresses. No Ansible imports."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

# An application. The name becomes an account, paths and units; 25 characters leave space for suffixes.
APP_NAME = re.compile(r"[a-z][a-z0-9_-]{0,24}")
# A variable of a process's environment.
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# An account or a group.
ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]*")
# A complete name in DNS, in lower case and without a dot at its end.
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = re.compile(rf"(?=.{{1,253}}\Z)({_LABEL}\.)+{_LABEL}")


def is_domain(text: str, wildcard: bool = False) -> bool:
    """Whether a text is a complete name in DNS. With `wildcard`, its first part may be `*`."""
    return bool(DOMAIN.fullmatch(text[2:] if wildcard and text.startswith("*.") else text))


def is_address(text: Any) -> bool:
    """Whether a text is an IPv4 or IPv6 address."""
    try:
        return isinstance(text, str) and bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def nearest(word: Any, known: Iterable[Any], cutoff: float = 0.6) -> str:
    """`; did you mean …?` with the most similar known name, or nothing."""
    near = get_close_matches(str(word), [str(k) for k in known], 1, cutoff)
    return f"; did you mean {near[0]}?" if near else ""
