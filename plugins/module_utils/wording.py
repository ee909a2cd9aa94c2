"""Words that several messages share. No Ansible imports."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def nearest(word: Any, known: Iterable[Any], cutoff: float = 0.6) -> str:
    """`; did you mean …?` when something known is close, else nothing."""
    near = get_close_matches(str(word), [str(k) for k in known], 1, cutoff)
    return f"; did you mean {near[0]}?" if near else ""
