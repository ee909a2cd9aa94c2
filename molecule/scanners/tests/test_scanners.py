"""Each threshold, on each host."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from host.plugin import Server
from scanners import Scanners
from thresholds import THRESHOLDS, Threshold


@pytest.mark.parametrize("threshold", THRESHOLDS, ids=str)
def test_the_threshold_is_reached(server: Server, threshold: Threshold, scanners: Callable[..., Scanners], record: Callable[..., None]) -> None:
    reading = threshold.read(scanners(server))
    record(threshold.tool, threshold.threshold, server.name, reading.text + (f" **not yet: {threshold.open}**" if threshold.open else ""))
    assert reading.reached or threshold.open, f"{threshold.tool}: {reading.text}; the threshold is {threshold.threshold}"
    assert not (reading.reached and threshold.open), f"{threshold.tool} reaches its threshold: {reading.text}; it needs no excuse"
