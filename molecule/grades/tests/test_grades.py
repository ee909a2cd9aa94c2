"""Each bar, on each host."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bars import BARS, Bar
from scanners import Scanners
from suite import Server


@pytest.mark.parametrize("bar", BARS, ids=str)
def test_the_bar_is_reached(server: Server, bar: Bar, scanners: Callable[..., Scanners], record: Callable[..., None]) -> None:
    reading = bar.read(scanners(server))
    record(bar.tool, bar.bar, server.name, reading.text + (f" **not yet: {bar.open}**" if bar.open else ""))
    assert reading.reached or bar.open, f"{bar.tool}: {reading.text}; the bar is {bar.bar}"
    assert not (reading.reached and bar.open), f"{bar.tool} reaches its bar: {reading.text}; it needs no excuse"
