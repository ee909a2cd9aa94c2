"""A program that runs on the host and returns all that a run could change, and the differences that are allowed."""

from __future__ import annotations

import re
from typing import Any

SNAPSHOT = r'''
import hashlib
SKIP = {"/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp"}

def entry(path):
    found = os.lstat(path)
    kind = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}.get(stat.S_IFMT(found.st_mode), "other")
    content = ""
    if kind == "link":
        content = os.readlink(path)
    elif kind == "file":
        with open(path, "rb") as stream:
            content = hashlib.sha256(stream.read()).hexdigest()[:16]
    return "%s %d:%d %04o %s" % (kind, found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), content)

paths = {}
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in SKIP]
    for name in folders + files:
        path = os.path.join(folder, name)
        try:
            paths[path] = entry(path)
        except OSError:
            pass

def lines(*command):
    return output(*command, env={**os.environ, "LC_ALL": "C.UTF-8"}).decode(errors="replace").splitlines()

settings = {}
for folder, _folders, files in os.walk("/proc/sys"):
    for name in files:
        try:
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as stream:
                settings[os.path.join(folder, name)] = stream.read()
        except OSError:
            pass
mountinfo = [line.split() for line in open("/proc/self/mountinfo")]
print(json.dumps({
    "paths": paths,
    "accounts": {line.split(":")[0] + "@" + os.path.basename(path): line for path in ("/etc/passwd", "/etc/group") for line in lines("cat", path)},
    "packages": dict(line.split("\t") for line in lines("dpkg-query", "-W", "-f=${Package}\t${Status} ${Version}\n")),
    "unit files": {line.split()[0]: line.split()[1] for line in lines("systemctl", "list-unit-files", "--no-legend", "--plain")},
    "units": {line.split()[0]: " ".join(line.split()[1:4])
              for line in lines("systemctl", "list-units", "--no-legend", "--plain", "--type=service,timer,socket,path")},
    "ruleset": {line: "" for line in lines("nft", "--stateless", "list", "ruleset")} if os.path.exists("/usr/sbin/nft") else {},
    "settings": settings,
    "mounts": {words[4]: words[5] for words in mountinfo if words[4] in ("/tmp", "/dev/shm", "/proc")},
    "sshd": {line: "" for line in lines("/usr/sbin/sshd", "-T")},
    "memory": {path: "" for path in glob.glob("/run/*")},
}))
'''

# What may differ, as patterns of `kind: name`, each with its reason.
ALLOWED = {
    r"paths: /var/log(/.*)?": "logs go on, and those of packages that were removed stay as apt leaves them",
    r"paths: /etc/(passwd|group|shadow|gshadow)-": "the copy of before the last change of an account",
    r"paths: /root/\.ansible(/.*)?": "Ansible's own directory on a host",
    r"paths: /var/(cache|lib)/apt(/.*)?": "apt's lists, downloads and its marks of automatic packages",
    r"paths: /var/(cache/debconf|cache/ldconfig|lib/dpkg|lib/ucf)(/.*)?": "records of dpkg, of settings of packages, and of libraries",
    r"paths: /var/lib/logrotate/status|paths: /var/lib/systemd/(random-seed|timers/stamp-(apt|logrotate|man|dpkg|fstrim|e2scrub).*)":
        "programs of Debian that ran meanwhile",
    r".*\b(inetutils-(inetd|telnetd)|telnetd|inetd)\b.*": "packages that the run removed on purpose: they are named, and not installed again",
    r"settings: /proc/sys/(fs/(dentry-state|file-nr|inode-nr|inode-state|quota/.*)|kernel/(ns_last_pid|pty/nr|random/.*)|net/netfilter/nf_conntrack_count)":
        "counters of the kernel",
    r"memory: /run/(adduser|needrestart|unattended-upgrades\.lock|crond\.(pid|reboot))": "what packages leave until the next boot",
}


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Each difference that is not allowed, in one line."""
    found = []
    for kind, was in before.items():
        now = after[kind]
        for name in sorted(was.keys() | now.keys()):
            line = f"{kind}: {name}"
            if was.get(name) != now.get(name) and not any(re.fullmatch(pattern, line) for pattern in ALLOWED):
                found.append(f"{line}: {was.get(name)!r} -> {now.get(name)!r}")
    return found
