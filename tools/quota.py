#!/usr/bin/env python3
"""Disk limits on a real kernel: a virtual machine whose file system enforces project quotas.

    quota.py [up|down]   without an argument: up, the tests of molecule/quota, down

The containers of testhosts.py share this machine's kernel and file system, which need not have project quotas. This is Debian with
its own kernel on ext4, run by qemu with KVM, or slowly without, and reached over SSH. The disk is made once; a machine keeps what it
writes in a file of its own, which is gone when it ends. State is below build/quota/. Needs qemu-system-x86, mmdebstrap and
root (or sudo).
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import testhosts

FOLDER = testhosts.ROOT / "build" / "quota"
# With the tools of Debian that show what the kernel does.
PACKAGES = f"{testhosts.PLAIN},linux-image-cloud-amd64,initramfs-tools,zstd,e2fsprogs,quota"
SIZE, MEMORY_MB, CONSOLE_SECONDS, BOOT_SECONDS = "6G", 2048, 20, 300
NETWORK = "[Match]\nName=en*\n[Network]\nDHCP=yes\n"
# `make` gives ext4 the features; the option makes the kernel enforce the limits.
ROOT_OPTIONS = "root=/dev/vda ro rootflags=prjquota console=ttyS0"


def as_root(*command: str, stdin: bytes | None = None) -> str:
    """Run a command as root."""
    return testhosts.run(*testhosts.SUDO, *command, stdin=stdin)


def make_disk(disk: Path, key: Path) -> None:
    """A disk with Debian, this machine's certificates and the SSH key, and its kernel beside it."""
    print(f"Building {disk} …", flush=True)
    tree = FOLDER / "tree"
    as_root("rm", "-rf", str(tree))
    # A kernel for a virtual machine, and an init system that configures its network.
    as_root("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", testhosts.NEWEST, str(tree))
    files = {"etc/systemd/network/any.network": NETWORK, "etc/resolv.conf": "nameserver 10.0.2.3\n", "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
             "etc/hostname": "quota\n", "etc/hosts": "127.0.0.1 localhost quota\n",
             "root/.ssh/authorized_keys": Path(f"{key}.pub").read_text(encoding="utf-8")}
    for number, text in enumerate(testhosts.PEM.findall(testhosts.extra_certificates())):
        files[f"usr/local/share/ca-certificates/controller-{number}.crt"] = f"{text}\n"
    for name, text in files.items():
        as_root("install", "-D", "-m", "0644", "/dev/stdin", str(tree / name), stdin=text.encode())
    as_root("chroot", str(tree), "sh", "-ec", "update-ca-certificates >/dev/null 2>&1; systemctl enable --quiet systemd-networkd; "
            "truncate --size=0 /etc/machine-id")
    for name in ("vmlinuz", "initrd.img"):
        as_root("install", "-m", "0644", str((tree / name).resolve()), str(FOLDER / name))
    public = as_root("cat", f"{tree}/etc/ssh/ssh_host_ed25519_key.pub").split()[:2]
    (FOLDER / "host_key").write_text(" ".join(public), encoding="utf-8")
    as_root("mke2fs", "-q", "-t", "ext4", "-O", "project,quota", "-E", "quotatype=prjquota", "-d", str(tree), f"{disk}.new", SIZE)
    as_root("chmod", "0644", f"{disk}.new")
    as_root("rm", "-rf", str(tree))
    for old in FOLDER.glob("disk-*.img"):
        old.unlink()
    Path(f"{disk}.new").rename(disk)


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def up() -> None:
    """Start a fresh machine."""
    down()
    FOLDER.mkdir(parents=True, exist_ok=True)
    key = FOLDER / "id_ed25519"
    if not key.exists():
        testhosts.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "quota", "-f", str(key))
    digest = hashlib.sha256(f"{PACKAGES} {SIZE} {key.read_text(encoding='utf-8')}".encode()).hexdigest()[:12]
    disk, port = FOLDER / f"disk-{digest}.img", free_port()
    if not disk.exists():
        make_disk(disk, key)
    (FOLDER / "port").write_text(str(port), encoding="utf-8")
    (FOLDER / "known_hosts").write_text(f"[127.0.0.1]:{port} {(FOLDER / 'host_key').read_text(encoding='utf-8')}\n", encoding="utf-8")
    # KVM of a machine that is virtual itself may stop at instructions that it cannot emulate, without an error.
    if not (start("kvm", disk, port) and wait_until(CONSOLE_SECONDS, has_console)):
        down()
        print("KVM does not run it; emulating, which takes several times as long …", flush=True)
        start("tcg,thread=multi", disk, port)
    if not wait_until(BOOT_SECONDS, lambda: is_reachable(key, port)):
        sys.exit(f"the machine did not start: {FOLDER}/console.log")


def start(accelerator: str, disk: Path, port: int) -> bool:
    """Start the machine; returns whether qemu runs."""
    as_root("rm", "-f", str(FOLDER / "console.log"))
    return subprocess.run([*testhosts.SUDO, "qemu-system-x86_64", "-accel", accelerator, "-cpu", "max", "-m", str(MEMORY_MB), "-smp", "2", "-display", "none",
                           "-daemonize", "-pidfile", str(FOLDER / "pid"), "-serial", f"file:{FOLDER}/console.log", "-kernel", str(FOLDER / "vmlinuz"),
                           "-initrd", str(FOLDER / "initrd.img"), "-append", ROOT_OPTIONS, "-drive", f"file={disk},if=virtio,format=raw,snapshot=on",
                           "-nic", f"user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{port}-:22"], capture_output=True, check=False).returncode == 0


def has_console() -> bool:
    """Whether the kernel has printed something."""
    return int(as_root("stat", "--format=%s", str(FOLDER / "console.log")) or 0) > 0


def is_reachable(key: Path, port: int) -> bool:
    """Whether one can log in, after the start of all units."""
    return subprocess.run(["ssh", "-o", f"UserKnownHostsFile={FOLDER}/known_hosts", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-i", str(key),
                           "-p", str(port), "root@127.0.0.1", "systemctl is-system-running --wait"], capture_output=True, check=False).returncode != 255


def wait_until(seconds: int, is_so: Callable[[], bool]) -> bool:
    """Wait for a condition; returns whether it came."""
    end = time.monotonic() + seconds
    while not (came := is_so()) and time.monotonic() < end:
        time.sleep(1)
    return came


def down() -> None:
    """End the machine."""
    path = FOLDER / "pid"
    if path.exists():
        pid = as_root("cat", str(path))
        with suppress(FileNotFoundError):
            if "qemu" in Path(f"/proc/{pid}/comm").read_text(encoding="utf-8"):
                as_root("kill", f"-{signal.SIGTERM.value}", pid)
        as_root("rm", "-f", str(path))


def main(arguments: list[str]) -> None:
    """Entry point."""
    if arguments not in ([], ["up"], ["down"]):
        sys.exit(__doc__)
    if arguments:
        {"up": up, "down": down}[arguments[0]]()
        return
    up()
    try:
        done = subprocess.run(["pytest", "-v", "--durations=25", "molecule/quota/tests"], check=False, cwd=testhosts.ROOT,
                              env={**os.environ, "BULWARK_INVENTORY": str(testhosts.ROOT / "molecule/quota/inventory")})
    finally:
        down()
    sys.exit(done.returncode)


if __name__ == "__main__":
    main(sys.argv[1:])
