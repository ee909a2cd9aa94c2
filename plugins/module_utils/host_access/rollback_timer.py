"""A rollback timer (commit-confirm): a change that is not confirmed in time is undone by the host itself.

The old state is saved and a systemd timer is started before the first byte changes. The timer, a boot and a failed
confirmation all start the same unit, which runs one shell script. The script needs neither the controller nor Python.
The undo and the confirmation both begin with a rename of the pending change's directory: the first rename wins.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from contextlib import suppress
from typing import Any, Optional

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Change, Problem, clear_error

FOLDER = "/var/lib/host_access"
PENDING, UNDOING, CONFIRMED = (f"{FOLDER}/{name}" for name in ("pending", "undoing", "confirmed"))
NAME = "host-access-undo"
UNIT = f"/etc/systemd/system/{NAME}.service"
WANTED = f"/etc/systemd/system/sysinit.target.wants/{NAME}.service"
SERVICE = f"""# Written by the module guarded_files for as long as a change waits to be confirmed.
[Unit]
Description=Undo an unconfirmed change of SSH or the firewall
DefaultDependencies=no
RequiresMountsFor={FOLDER}
After=local-fs.target
Before=network-pre.target ssh.service ssh.socket
ConditionPathExists=|{PENDING}
ConditionPathExists=|{UNDOING}

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'mv {PENDING} {UNDOING} 2>/dev/null; exec /bin/sh {UNDOING}/undo'
"""


def systemctl(*words: str) -> int:
    """Run systemctl; returns its exit status."""
    return subprocess.run(["systemctl", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode


def states(units: list[str]) -> dict[str, dict[str, bool]]:
    """Whether units are active and enabled."""
    return {unit: {"active": systemctl("is-active", "--quiet", unit) == 0, "enabled": systemctl("is-enabled", "--quiet", unit) == 0}
            for unit in units}


def undo_script(changes: list[Change], units: dict[str, dict[str, bool]]) -> str:
    """The script that restores the old state. Each step can be repeated, and a failed step does not stop the next."""
    lines = ["# Restores the state of before an unconfirmed change."]
    for unit, was in units.items():
        if not was["active"]:
            lines.append(f"systemctl stop {unit}")
        if not was["enabled"]:
            lines.append(f"systemctl disable {unit}")
    for number, change in reversed(list(enumerate(changes))):
        path, now = shlex.quote(change.path), change.now
        if now.kind == "directory":
            lines.append(f"chown {now.uid}:{now.gid} {path}; chmod {now.mode:o} {path}")
        elif now.kind == "absent":
            lines.append(f"rmdir {path}" if change.want.kind == "directory" else f"rm -f {path}")
        else:
            # A copy and a rename: the file exists at every moment.
            lines.append(f"cp -a {UNDOING}/{number} {path}.host-access-old && mv -fT {path}.host-access-old {path}")
    lines.append("systemctl daemon-reload")
    for unit, was in units.items():
        if was["active"]:
            # Without waiting: at boot these units start after this one.
            lines += [f"systemctl reset-failed {unit}", f"systemctl --no-block restart {unit}"]
    lines += [f"rm -rf {UNDOING} {UNIT} {WANTED}", f"systemctl --no-block stop {NAME}.timer", "systemctl --no-block daemon-reload",
              "echo 'A change of SSH or the firewall was not confirmed; the old state is back.'"]
    return "\n".join(lines) + "\n"


def armed() -> Optional[dict[str, Any]]:
    """The change that waits to be confirmed, None without one."""
    record: Optional[dict[str, Any]] = fs.read_json(f"{PENDING}/change.json")
    return record


def arm(changes: list[Change], units: dict[str, dict[str, bool]], seconds: int, record: dict[str, Any]) -> None:
    """Save the old state and start the timer that restores it after `seconds`."""
    preparing = f"{FOLDER}/preparing"
    try:
        os.makedirs(FOLDER, mode=0o700, exist_ok=True)
        os.chmod(FOLDER, 0o700)
        for left in (preparing, CONFIRMED):
            if os.path.lexists(left):
                shutil.rmtree(left)
        os.mkdir(preparing, 0o700)
        for number, change in enumerate(changes):
            if change.now.kind not in ("absent", "directory"):
                subprocess.run(["cp", "-a", change.path, f"{preparing}/{number}"], check=True, capture_output=True)
        fs.write(f"{preparing}/undo", undo_script(changes, units).encode())
        fs.write_json(f"{preparing}/change.json", record)
        fs.write(UNIT, SERVICE.encode(), mode=0o644)
        os.makedirs(os.path.dirname(WANTED), exist_ok=True)
        if not os.path.islink(WANTED):
            os.symlink(UNIT, WANTED)
        os.rename(preparing, PENDING)
        os.sync()
    except (OSError, subprocess.CalledProcessError) as error:
        drop()
        reason = clear_error(error, FOLDER) if isinstance(error, OSError) else error.stderr.decode(errors="replace")
        raise Problem(f"nothing was changed: the old state could not be saved: {reason}") from error
    systemctl("stop", f"{NAME}.timer")
    systemctl("daemon-reload")
    done = subprocess.run(["systemd-run", "--quiet", f"--on-active={seconds}s", "--timer-property=AccuracySec=100ms",
                           f"--unit={NAME}.service"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        drop()
        raise Problem(f"nothing was changed: the rollback timer could not be started: {done.stderr.strip()}")


def drop() -> None:
    """Remove the timer, its unit and the saved state."""
    systemctl("stop", f"{NAME}.timer")
    for path in (UNIT, WANTED):
        if os.path.lexists(path):
            os.unlink(path)
    if os.path.exists(PENDING):
        os.rename(PENDING, CONFIRMED)
    # Already out of use, so a failure here is no failure of the change: the next one removes the rest, or reports why not.
    with suppress(OSError):
        shutil.rmtree(CONFIRMED)
    systemctl("daemon-reload")


def confirm(token: str) -> bool:
    """Keep the change; False when its undo has begun or is done."""
    waiting = armed()
    if waiting is None or waiting["token"] != token:
        return False
    try:
        os.rename(PENDING, CONFIRMED)
    except FileNotFoundError:
        return False
    drop()
    return True


def undo(timeout_seconds: float = 60) -> bool:
    """Restore the old state now; False when no change waits. Raises Problem when it takes longer than `timeout_seconds`."""
    waiting = os.path.exists(PENDING) or os.path.exists(UNDOING)
    if waiting:
        systemctl("start", f"{NAME}.service")
    deadline = time.monotonic() + timeout_seconds
    while os.path.exists(PENDING) or os.path.exists(UNDOING):
        if time.monotonic() > deadline:
            raise Problem(f"the old state could not be restored; see `journalctl -u {NAME}`, and run `sh {UNDOING}/undo`")
        time.sleep(0.1)
    return waiting
