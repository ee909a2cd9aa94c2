"""Commands that ask systemd, while it executes itself anew: after an upgrade of its package, or `systemctl daemon-reexec`.

The connection is lost then, and a second later everything works as before. No Ansible imports.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

LOST = re.compile(r"(?:Failed to [^\n]*|Reload daemon failed): (?:Connection (?:reset by peer|refused|terminated)|Transport endpoint is not connected|"
                  r"Remote peer disconnected|Message recipient disconnected)|D-Bus connection terminated")
TRIES = 10
ADVICE = "The connection to systemd was lost again and again. Run this again when `systemctl status` responds."


def patient(run: Callable[[], tuple[int, str, str]]) -> tuple[int, str, str]:
    """Status, output and errors of a command, which is repeated once a second while systemd is not there."""
    for left in reversed(range(TRIES)):
        status, out, err = run()
        if not status or not LOST.search(err) or not left:
            break
        time.sleep(1)
    return status, out, err
