"""Settings, the state that a run passes to the next one, and the lock of both."""

from __future__ import annotations

import fcntl
import json
import os
import syslog
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alarm_channel import journal

CONFIG = Path("/etc/alarm-channel/config.json")
# A file for each application: a run that does not name one leaves its alerts.
SITES = Path("/etc/alarm-channel/sites")
STATE = Path("/var/lib/alarm-channel")
# A check takes five minutes at most: its unit ends it then.
LOCK_SECONDS = 330


def write(path: Path, text: str, mode: int) -> None:
    """Replace a file atomically."""
    temporary = path.with_name(f".{path.name}.new")
    with open(temporary, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fchmod(stream.fileno(), mode)
        os.fsync(stream.fileno())
    os.replace(temporary, path)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock of this name."""
    path, deadline = STATE / f".{name}.lock", time.monotonic() + LOCK_SECONDS
    with open(path, "w", encoding="utf-8") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SystemExit(f"alarm-channel: another run holds {path} for more than {LOCK_SECONDS} seconds "
                                     f"(`fuser -v {path}` shows it)") from None
                time.sleep(0.1)
        yield


def read_config() -> dict:
    """The settings of the host, with the domains of each application."""
    sites = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(SITES.glob("*.json"))}
    return {**json.loads(CONFIG.read_text(encoding="utf-8")), "sites": sites}


def read_state() -> dict:
    """Current alerts, and what one check passes to the next."""
    state = {"alerts": {}, "restarts": {}, "dropped": 0}
    try:
        return state | json.loads((STATE / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return state
    except ValueError as error:
        journal.say(syslog.LOG_ERR, f"state.json is damaged; all alerts are announced again: {error}")
        return state


def write_state(state: dict) -> None:
    """Save the state."""
    write(STATE / "state.json", json.dumps(state, indent=1), 0o644)
