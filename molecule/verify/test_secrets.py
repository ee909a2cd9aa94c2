"""Secrets: in the env file and in the process's environment, and nowhere else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest

# Reads everything a secret could leak into, and names the places where it is. Compressed files are
# opened, journals are exported (they are compressed on disk), memory of the kernel's making is read.
SEARCH = r'''
import bz2, gzip, lzma, mmap
import hashlib
# The secret is not told: it is known by its length and digest, and found in the env files themselves.
needle = None
for path in glob.glob("/etc/flask-secrets/*"):
    for word in re.findall(rb"(?=([A-Za-z0-9]{%d}))" % GIVEN["length"], open(path, "rb").read()):
        if hashlib.sha256(word).hexdigest() == GIVEN["digest"]:
            needle = word
if needle is None:
    print(json.dumps({"hits": [], "searched": 0, "journal_lines": 0}))
    raise SystemExit
hits, searched = [], 0
def within(path):
    opener = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}.get(os.path.splitext(path)[1])
    if opener:
        with opener(path) as stream:
            return needle in stream.read()
    with open(path, "rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            return False
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(needle) >= 0
for top in ("/etc", "/var", "/srv", "/opt", "/run", "/tmp", "/home", "/root", "/usr/local", "/dev/shm"):
    for folder, folders, files in os.walk(top):
        for name in files:
            path = os.path.join(folder, name)
            try:
                if stat.S_ISREG(os.lstat(path).st_mode):
                    searched += 1
                    if within(path):
                        hits.append(path)
            except (OSError, EOFError, ValueError, lzma.LZMAError):
                continue
def exported(*argv):
    """Search a stream of any length."""
    tail = b""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        for part in iter(lambda: running.stdout.read(1 << 20), b""):
            if needle in tail + part:
                running.kill()
                return True
            tail = part[-len(needle):]
    return False
for name, argv in {"journal": ["journalctl", "--namespace=*", "--output=export", "--no-pager"],
                   "systemctl show": ["systemctl", "show", "--all", "*"],
                   "systemctl show-environment": ["systemctl", "show-environment"],
                   "systemctl cat": ["systemctl", "cat", "gunicorn-*"]}.items():
    if exported(*argv):
        hits.append(name)
apps = {}
for name in GIVEN["apps"]:
    for unit in output("systemctl", "list-units", "--plain", "--no-legend", "gunicorn-%s@*.service" % name).decode().split():
        if unit.endswith(".service"):
            apps.update({pid: name for pid in processes(unit)})
for pid in filter(str.isdigit, os.listdir("/proc")):
    for kind in ("cmdline", "environ"):
        try:
            content = open("/proc/%s/%s" % (pid, kind), "rb").read()
        except OSError:
            continue
        if needle in content and int(pid) not in (os.getpid(), os.getppid()):
            hits.append("%s of %s" % (kind, apps.get(int(pid), "pid " + pid)))
journal_lines = len(output("journalctl", "--namespace=*", "--output=cat", "--no-pager", "--lines=1000").splitlines())
print(json.dumps({"hits": sorted(set(hits)), "searched": searched, "journal_lines": journal_lines}))
'''

# Which variable of the running processes holds exactly these bytes.
ARRIVED = r'''
import hashlib
found = {}
for app in GIVEN["apps"]:
    found[app] = [sorted(key.decode() for key, held in environment(pid).items()
                          if hashlib.sha256(held).hexdigest() == GIVEN["digest"])
                  for pid in processes(live(app)[1])]
print(json.dumps(found))
'''

# About the key, never the key itself.
KEYS = r'''
import hashlib
found = {}
for app in GIVEN["apps"]:
    key = environment(processes(live(app)[1])[0]).get(b"FLASK_SECRET_KEY", b"")
    found[app] = {"length": len(key), "number": re.fullmatch(rb"[0-9.eE+-]+", key) is not None,
                  "different_bytes": len(set(key)), "digest": hashlib.sha256(key).hexdigest()}
folder = "/etc/flask-secrets"
modes = {folder: mode(folder)}
modes.update({os.path.join(folder, name): mode(os.path.join(folder, name)) for name in os.listdir(folder)})
print(json.dumps({"keys": found, "modes": modes}))
'''


def _needle(canary: str) -> str:
    """The longest run of letters and digits: the same bytes in whatever quoting it appears."""
    needle = max(re.findall(r"[A-Za-z0-9]+", canary), key=len)
    assert len(needle) >= 16, "the canary needs 16 letters and digits in a row"
    return needle


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def found(server: Any, canary: str, remember: Callable[..., Any]) -> Any:
    """Every place on the host where the canary is."""
    needle = _needle(canary)
    return remember(server, SEARCH, length=len(needle), digest=_digest(needle), apps=server.app_names)


@pytest.fixture
def arrived(server: Any, canary: str, remember: Callable[..., Any]) -> dict[str, list[list[str]]]:
    """By application and process, the variables that hold the canary; applications without it are left out."""
    held = remember(server, ARRIVED, digest=_digest(canary), apps=server.app_names)
    return {app: processes for app, processes in held.items() if any(processes)}


def test_a_secret_arrives_in_every_process_byte_for_byte(arrived: dict[str, list[list[str]]]) -> None:
    assert arrived, "no application of this host has a variable with exactly this value"
    for processes in arrived.values():
        assert len({tuple(names) for names in processes}) == 1, "some processes lack it"


def test_a_secret_is_only_in_its_env_file_and_in_its_process(found: Any, arrived: dict[str, list[list[str]]]) -> None:
    assert arrived
    assert found["searched"] > 100 and found["journal_lines"] > 10, "there was nothing to search"
    expected = [f"/etc/flask-secrets/{app}.env" for app in arrived] + [f"environ of {app}" for app in arrived]
    assert found["hits"] == sorted(expected)


def test_a_secret_is_not_in_what_ansible_printed(canary: str, converge_log: bytes) -> None:
    assert b"PLAY RECAP" in converge_log, "this is not the output of a whole run"
    assert _needle(canary).encode() not in converge_log


def test_every_application_has_a_strong_secret_key_of_its_own(server: Any, remember: Callable[..., Any]) -> None:
    keys = remember(server, KEYS, apps=server.app_names)["keys"]
    for key in keys.values():
        assert key["length"] >= 32
        assert key["different_bytes"] >= 12, "it is hardly random"
        assert not key["number"], "from_prefixed_env would read it as a number"
    assert len({key["digest"] for key in keys.values()}) == len(keys), "two applications share a key"


def test_only_root_can_read_the_env_files(server: Any, remember: Callable[..., Any]) -> None:
    modes = dict(remember(server, KEYS, apps=server.app_names)["modes"])
    assert modes.pop("/etc/flask-secrets") == "root:root 0700"
    assert modes and set(modes.values()) == {"root:root 0600"}, modes
