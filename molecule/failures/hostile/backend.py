"""A build back end that tries attacks, records the results, and then builds.

Each try returns what shows that it succeeded, and raises OSError or returns nothing when it was refused.
"""

import ctypes
import json
import os
import socket
import subprocess
import zipfile
from pathlib import Path

RELEASE = Path.cwd().parent
SOMEWHERE = ("/srv/hostile/x", "/srv/x", "/etc/cron.d/x", "/etc/systemd/system/x.service", "/usr/local/bin/x", "/opt/x", "/var/lib/x",
             "/var/lib/hostile/x", "/root/x", "/home/x", "/run/x", "/dev/x")


def written() -> list[str]:
    """Files outside of the release."""
    found = []
    for path in SOMEWHERE:
        try:
            Path(path).write_text("x")
            found.append(path)
        except OSError:
            pass
    return found


def listed(*folders: str) -> list[str]:
    """The contents of the first readable directory."""
    for folder in folders:
        try:
            if found := os.listdir(folder):
                return found
        except OSError:
            pass
    return []


def setuid_file() -> str:
    """A setuid program, which would run as another account."""
    path = RELEASE / "src" / "setuid"
    path.write_text("x")
    try:
        path.chmod(0o4755)
        return oct(path.stat().st_mode)
    finally:
        path.unlink()


def by_sudo() -> str:
    """Root by a setuid program; without a sudoers line, its own words tell whether it became root."""
    done = subprocess.run(["sudo", "-n", "true"], capture_output=True, text=True, check=False)
    return "" if "no new privileges" in done.stderr else done.stderr or "root"


def connected(path: str) -> str:
    """A socket of the system's."""
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(path)
        return path


def capabilities() -> str:
    """Capabilities of root that are left or could be regained."""
    sets = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(("CapEff", "CapBnd"))]
    return "" if set(sets) == {"0" * 16} else str(sets)


def namespace() -> str:
    """A user namespace, where one is root."""
    return "" if ctypes.CDLL(None, use_errno=True).unshare(0x10000000) else "a namespace of its own"


TRIES = {
    "read the secrets": lambda: listed("/etc/flask-secrets"),
    "read a secret": lambda: Path("/etc/flask-secrets/shop.env").read_text(),
    "read a certificate's key": lambda: listed("/etc/ssl/acme-cert", "/etc/acme-cert"),
    "write outside the release": written,
    "see another application's releases": lambda: os.stat("/srv/shop/current") and "there",
    "see another application's state": lambda: listed("/var/lib/shop"),
    "see logs": lambda: listed("/var/log"),
    "see homes": lambda: listed("/home", "/root"),
    "see other processes": lambda: Path("/proc/1/cmdline").read_bytes().decode(),
    "become root": lambda: os.setuid(0) or "root",
    "become root by sudo": by_sudo,
    "leave a setuid file": setuid_file,
    "have capabilities": capabilities,
    "make a namespace": namespace,
    "talk to the system bus": lambda: connected("/run/dbus/system_bus_socket"),
    "talk to another application": lambda: connected("/srv/shop/current/gunicorn.sock"),
}


def build_wheel(wheel_directory: str, config_settings: object = None, metadata_directory: object = None) -> str:
    """Try everything, then build."""
    tries = {}
    for name, one in TRIES.items():
        try:
            tries[name] = one() or ""
        except OSError:
            tries[name] = ""
    name, info = "hostile-1-py3-none-any.whl", "hostile-1.dist-info"
    with zipfile.ZipFile(Path(wheel_directory, name), "w") as wheel:
        wheel.write("hostile/__init__.py")
        wheel.writestr("hostile/tries.json", json.dumps(tries))
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: hostile\nVersion: 1\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: hostile\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
