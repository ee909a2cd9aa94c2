"""systemd executes itself anew while a command asks it."""

from __future__ import annotations

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils import systemd_bus

# As printed by systemd 252 and 257 during `systemctl daemon-reexec`.
LOST = ["Failed to wait for response: Connection reset by peer", "Failed to connect to system scope bus via local transport: Connection refused",
        "Failed to get unit file state for ssh.service: Transport endpoint is not connected", "Reload daemon failed: Connection reset by peer",
        "D-Bus connection terminated while waiting for jobs.", "Failed to connect to bus: Connection refused",
        "Failed to start transient service unit: Message recipient disconnected from message bus without replying"]
OTHER = ["Job for nginx.service failed because the control process exited with error code.", "Failed to start x.service: Unit x.service not found.",
         "nginx: [emerg] connect() failed (111: Connection refused)"]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made."""
    made: list[float] = []
    monkeypatch.setattr(systemd_bus.time, "sleep", made.append)
    return made


@pytest.mark.parametrize("text", LOST)
def test_a_lost_connection_is_tried_again(text: str, pauses: list[float]) -> None:
    results = [(1, "", text), (1, "", text), (0, "active", "")]
    assert systemd_bus.patient(lambda: results.pop(0)) == (0, "active", "") and len(pauses) == 2


@pytest.mark.parametrize("text", OTHER)
def test_other_failures_are_final(text: str, pauses: list[float]) -> None:
    assert systemd_bus.patient(lambda: (1, "", text)) == (1, "", text) and not pauses


def test_the_tries_have_an_end(pauses: list[float]) -> None:
    assert systemd_bus.patient(lambda: (1, "", LOST[0]))[0] == 1 and len(pauses) == systemd_bus.TRIES - 1
