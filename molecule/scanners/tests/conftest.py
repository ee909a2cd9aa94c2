"""The suite's fixtures, the container with the scanners, and the table of results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from auditor import Auditor
from scanners import Scanners

ROOT = Path(__file__).resolve().parents[3]


class Order:
    """Attacks come last: who has made one is kept out for a while."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """After pytest's own order, by hosts."""
        items.sort(key=lambda item: "slowhttptest" in item.name)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Beside the suite's own hook of that name."""
    session.config.pluginmanager.register(Order())


TABLE = ROOT / "build" / "scanners.md"
READINGS = ROOT / "build" / "scanners.json"


@pytest.fixture(scope="session")
def scanners(request: pytest.FixtureRequest) -> Callable[..., Scanners]:
    """The scanners, pointed at one host; each scans once."""
    scanners: dict[str, Scanners] = {}
    return lambda server: scanners.setdefault(server.name, Scanners(Auditor(), server))


@pytest.fixture(scope="session")
def record() -> Iterator[Callable[[str, str, str, str], None]]:
    """Note a reading; the table is written at the end. One of a part of the thresholds leaves the others' readings in it."""
    readings: dict[str, dict[str, str]] = json.loads(READINGS.read_text(encoding="utf-8")) if READINGS.exists() else {}

    def note(tool: str, threshold: str, host: str, reading: str) -> None:
        readings.setdefault(tool, {}).update({"threshold": threshold, host: reading.replace("|", "\\|").replace("\n", " ")})

    yield note
    READINGS.write_text(json.dumps(readings, indent=1), encoding="utf-8")
    lines = ["# What other people's tools say of our defaults", "", "| tool | threshold | Debian 12 | Debian 13 |", "|---|---|---|---|"]
    lines += [f"| {tool} | {row['threshold']} | {row.get('debian12', '-')} | {row.get('debian13', '-')} |" for tool, row in readings.items()]
    TABLE.write_text("\n".join([*lines, ""]), encoding="utf-8")
