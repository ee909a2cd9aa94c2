"""Errors in an application's log that its sandbox or its limits cause, with the lines that allow it. No Ansible imports.

docs/sandbox.md is the same table for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

# The application's own places are judged by Shared.advice.
OWN = re.compile(r"/(?:srv|var/lib)/")


class Symptom(NamedTuple):
    """What a text looks like, why, and the line of the entry."""

    pattern: re.Pattern[str]
    reason: str
    line: str


SYMPTOMS = (
    Symptom(re.compile(r"Read-only file system: '(?P<path>/[^']+)'|Read-only file system.{0,20}?(?P<path2>/[\w./-]+)"),
            "the system is read-only", "gunicorn_app: {{writable_paths: [{folder}]}}"),
    Symptom(re.compile(r"(?s)\bmmap\b.{0,1500}Operation not permitted|ffi_prep_closure|MemoryError.{0,80}(?:cffi|libffi|callback)|"
                       r"(?i:(?:allocate|map).{0,20}executable memory)|cannot enable executable"),
            "memory cannot be writable and executable at once", "gunicorn_app: {{deny_write_execute: false}}"),
    Symptom(re.compile(r"(?s)\.bind\(.{0,1500}Operation not permitted|error while attempting to bind.{0,80}not permitted|"
                       r"Operation not permitted: \('[\w.:-]*', \d+\)"),
            "an application cannot listen on a port", "run the listener as a unit of its own"),
    Symptom(re.compile(r"(?s)\b[lf]?chown\b.{0,1500}Operation not permitted"), "the system calls @chown are denied",
            'gunicorn_app: {{sandbox: {{SystemCallFilter: ["@system-service", "~@privileged @resources", "@chown"]}}}}'),
    Symptom(re.compile(r"(?s)\b(?:nice|setpriority|sched_set\w+|ioprio_set|setrlimit)\b.{0,1500}Operation not permitted"),
            "the system calls @resources are denied",
            'gunicorn_app: {{sandbox: {{SystemCallFilter: ["@system-service", "~@privileged"]}}}}'),
    Symptom(re.compile(r"SIGSYS|[Bb]ad system call|status=31/SYS"), "a system call is denied",
            'gunicorn_app: {{sandbox: {{SystemCallFilter: ["@system-service", "~@privileged"]}}}}'),
    Symptom(re.compile(r"(?s)(?:NETLINK|if_nameindex|net_if_addrs|getifaddrs).{0,1500}Address family not supported|"
                       r"Address family not supported.{0,80}NETLINK"),
            "sockets are AF_UNIX, AF_INET and AF_INET6",
            "gunicorn_app: {{sandbox: {{RestrictAddressFamilies: AF_UNIX AF_INET AF_INET6 AF_NETLINK}}}}"),
    Symptom(re.compile(r"Address family not supported"),
            "with gunicorn_app.profile: isolated there is no network; otherwise sockets are AF_UNIX, AF_INET and AF_INET6",
            "gunicorn_app: {{profile: default}}"),
    Symptom(re.compile(r"/run/dbus|system_bus_socket"), "the bus is hidden", "gunicorn_app: {{sandbox: {{BindReadOnlyPaths: /run/dbus}}}}"),
    Symptom(re.compile(r"unable to open database file"), "SQLite cannot make it in a read-only release or in a directory that is not there",
            "let its setting lead below /var/lib/<name>, or name its path in shared"),
    Symptom(re.compile(r"(?s)\b(?:flock|lockf)\(.{0,300}Resource temporarily unavailable"),
            "one process holds this lock; a further release starts beside this one, so let its data be where several processes can use it",
            "gunicorn_app: {{workers: 1}}"),
    Symptom(re.compile(r"can't start new thread|Resource temporarily unavailable"), "the limit of processes and threads",
            "gunicorn_app: {{tasks_max: 1024}}"),
    Symptom(re.compile(r"was sent SIGKILL! Perhaps out of memory|oom-kill"), "the limit of memory", "gunicorn_app: {{memory_max_mb: 1024}}"),
    Symptom(re.compile(r"missing \d required positional arguments?: (?:'receive' and )?'send'"), "it is an ASGI application",
            "gunicorn_app: {{worker_class: asgi}}"),
    Symptom(re.compile(r"Operation not permitted"), "the sandbox denies it", "see the table in docs/sandbox.md"),
)


def advice(texts: Iterable[str]) -> list[str]:
    """For each error that is the sandbox's doing, the error, the reason and the line; each line once."""
    remedies: dict[str, str] = {}
    for text in texts:
        for symptom in SYMPTOMS:
            match = symptom.pattern.search(text)
            if match is None:
                continue
            path = next((value for key, value in match.groupdict().items() if key.startswith("path") and value), "")
            if path and OWN.match(path):
                continue
            folder = str(PurePosixPath(path).parent if PurePosixPath(path).suffix else path)
            line = symptom.line.format(folder=folder)
            remedies.setdefault(line, f"{_shown(text, match)} ({symptom.reason}): {line}")
            break
    return list(remedies.values())


def _shown(text: str, match: re.Match[str]) -> str:
    """The line of the text in which the match ends."""
    start = text.rfind("\n", 0, match.end() - 1) + 1
    end = text.find("\n", match.end())
    return " ".join(text[start:end if end >= 0 else None].split())[:200]
