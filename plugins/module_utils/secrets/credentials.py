"""Files that systemd passes to a service as credentials: what a host has."""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
from typing import Any, Mapping, Optional

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.host_part.remembered import digest

TOOL = "/usr/bin/systemd-creds"


def systemd_creds(*arguments: str, data: bytes = b"") -> bytes:
    """Run the tool. Values pass through pipes, never through arguments."""
    done = subprocess.run([TOOL, *arguments], input=data, capture_output=True, check=False)
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip()
        raise OSError(f"systemd-creds {arguments[0]}: {message or f'exit code {done.returncode}'}")
    return done.stdout


def held(path: str, name: str, encrypted: bool) -> Optional[bytes]:
    """The value in a file; None where the file is missing, not private or of the other kind."""
    try:
        data = fs.read_regular(path)
        if data is None or not fs.is_private(path):
            return None
        return systemd_creds("decrypt", f"--name={name}", path, "-") if encrypted else data
    except (OSError, ValueError):
        return None


def names_in(folder: str) -> list[str]:
    """The files of a directory."""
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def is_unsafe(folder: str) -> bool:
    """Whether others than root can open a directory."""
    return os.path.isdir(folder) and stat.S_IMODE(os.stat(folder).st_mode) != 0o700


def sealed(wanted: Mapping[str, bytes], encrypted: bool) -> dict[str, Any]:
    """What tells later whether a directory still has these values, without the values."""
    salt = secrets.token_hex(16)
    return {"encrypted": encrypted, "salt": salt, "sealed": {name: digest(salt, data.hex()) for name, data in wanted.items()}}


def is_as_left(params: Mapping[str, Any]) -> bool:
    """Whether a run of the module credential_files would write and remove nothing. `params` are its path, and what `sealed` returned."""
    folder = params["path"]
    if is_unsafe(folder) or names_in(folder) != sorted(params["sealed"]):
        return False
    values = {name: held(os.path.join(folder, name), name, params["encrypted"]) for name in params["sealed"]}
    return all(data is not None and digest(params["salt"], data.hex()) == params["sealed"][name] for name, data in values.items())
