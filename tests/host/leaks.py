"""Search a host for secrets."""

from __future__ import annotations

import hashlib
import re

# Reads everything a secret could leak into, and names the places where each needle is. Compressed files
# are opened, journals are exported (they are compressed on disk), memory of the kernel's making is read.
# What the needles are is found on the host, by each program below.
SEARCH = r'''
import bz2, gzip, hashlib, lzma, mmap
def places(needles):
    """By label, the sorted places; and how many files were searched."""
    found, searched = {label: set() for label in needles}, 0
    def look(content, place):
        for label, needle in needles.items():
            if content.find(needle) >= 0:
                found[label].add(place)
    for top in ("/etc", "/var", "/srv", "/opt", "/run", "/tmp", "/home", "/root", "/usr/local", "/dev/shm"):
        for folder, folders, files in os.walk(top):
            for name in files:
                path = os.path.join(folder, name)
                try:
                    if not stat.S_ISREG(os.lstat(path).st_mode):
                        continue
                    searched += 1
                    opener = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}.get(os.path.splitext(path)[1])
                    with open(path, "rb") as stream:
                        if opener:
                            with opener(path) as unpacked:
                                look(unpacked.read(), path)
                        elif os.fstat(stream.fileno()).st_size:
                            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                                look(content, path)
                except (OSError, EOFError, ValueError, lzma.LZMAError):
                    continue
    longest = max(map(len, needles.values()), default=0)
    for name, argv in {"journal": ["journalctl", "--namespace=*", "--output=export", "--no-pager"],
                       "systemctl show": ["systemctl", "show", "--all", "*"],
                       "systemctl show-environment": ["systemctl", "show-environment"],
                       "systemctl cat": ["systemctl", "cat", "gunicorn-*"]}.items():
        tail = b""
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
            for part in iter(lambda: running.stdout.read(1 << 20), b""):
                look(tail + part, name)
                tail = part[-longest:]
    apps = {}
    for name in GIVEN["apps"]:
        for unit in output("systemctl", "list-units", "--plain", "--no-legend", "gunicorn-%s@*.service" % name).decode().split():
            if unit.endswith(".service"):
                apps.update({pid: name for pid in processes(unit)})
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) in (os.getpid(), os.getppid()):
            continue
        for kind in ("cmdline", "environ"):
            try:
                with open("/proc/%s/%s" % (pid, kind), "rb") as stream:
                    look(stream.read(), "%s of %s" % (kind, apps.get(int(pid), "pid " + pid)))
            except OSError:
                continue
    return {label: sorted(hits) for label, hits in found.items()}, searched

def secret_files(pattern):
    return [path for path in glob.glob("/etc/flask-secrets/" + pattern) if os.path.isfile(path)]

journal_lines = len(output("journalctl", "--namespace=*", "--output=cat", "--no-pager", "--lines=1000").splitlines())
'''

# Every value that was made on the host, the old ones that are still valid too.
GENERATED = SEARCH + r'''
needles = {}
for path in secret_files("*.generated.env"):
    with open(path, "rb") as stream:
        for line in stream:
            name, _, rest = line.decode().partition("=")
            for number, value in enumerate(re.findall(r'"([^"]{32,})"', "" if line.startswith(b"#") else rest)):
                needles["%s %s %d" % (os.path.basename(path).split(".")[0], name, number)] = value.encode()
hits, searched = places(needles)
print(json.dumps({"hits": hits, "searched": searched, "journal_lines": journal_lines,
                  "digests": {label: [len(value), hashlib.sha256(value).hexdigest()] for label, value in needles.items()}}))
'''


def needle_of(canary: str) -> str:
    """The longest run of letters and digits: the same bytes in whatever quoting it appears."""
    needle = max(re.findall(r"[A-Za-z0-9]+", canary), key=len)
    assert len(needle) >= 16, "the canary needs 16 letters and digits in a row"
    return needle


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def tokens(text: bytes) -> set[str]:
    """Digests of everything in a text that could be a generated value."""
    shapes = re.compile(rb"(?=(k[A-Za-z0-9_-]{64}))|(?=([0-9a-f]{64}))|(?=([A-Za-z0-9_-]{43}=))")
    runs = set(re.findall(rb"[A-Za-z0-9_=-]{44,}", text))
    return {hashlib.sha256(word).hexdigest() for run in runs for found in shapes.findall(run) for word in found if word}
