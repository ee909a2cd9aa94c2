"""Secrets that are made on a host, and the text of the file they are kept in. No Ansible imports.

The file is an environment file of systemd's. Old keys are in it too, in a variable Flask reads, below
a comment that says when each was replaced: one file, so that no interruption can part a key from them.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.names import ENV_NAME as NAME

# Names whose old values Flask still accepts, when it finds them under the name with this ending.
KEYS = ("FLASK_SECRET_KEY", "SECRET_KEY")
ENDING = "_FALLBACKS"
DEFAULT_KIND = "url-safe"
TIME = "%Y-%m-%dT%H:%M:%SZ"

_VALUE = r"[A-Za-z0-9_=-]{32,}"
_LINE = re.compile(rf'({NAME.pattern})="({_VALUE})"')
_OLD = re.compile(rf"({'|'.join(KEYS)}){ENDING}='(\[\"{_VALUE}\"(, \"{_VALUE}\")*\])'")
_TIMES = re.compile(rf"# ({'|'.join(KEYS)}){ENDING}, replaced (.+)")
_HEADER = """\
# Made on this host by the role app_secrets. To replace a value: playbooks/rotate_secrets.yml
# These values exist nowhere else: back this file up, and let nobody but root read it.
"""


class Damaged(Exception):
    """The file is not what was written; the text says why, and never holds a value."""


def _is_fernet(value: str) -> bool:
    try:
        return len(base64.b64decode(value, altchars=b"-_", validate=True)) == 32 and len(value) == 44
    except (binascii.Error, ValueError):
        return False


def _hex() -> str:
    """Not one that JSON, and so Flask, reads as a number."""
    while True:
        value = secrets.token_hex(32)
        if not re.fullmatch(r"\d+(e\d+)?", value):
            return value


# By kind: how a value is made, and whether one is of the kind.
KINDS: dict[str, tuple[Callable[[], str], Callable[[str], bool]]] = {
    # The letter in front keeps a key of digits from being read as a number.
    "url-safe": (lambda: f"k{secrets.token_urlsafe(48)}", lambda value: True),
    "hex": (_hex, lambda value: bool(re.fullmatch(r"[0-9a-f]{64}", value))),
    "fernet": (lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(), _is_fernet),
}


def kinds_of(names: Any) -> dict[str, str]:
    """Names as the operator wrote them, a list or a mapping, each with its kind."""
    return dict(names) if isinstance(names, Mapping) else {name: DEFAULT_KIND for name in names}


class Values:
    """What the file holds: values by name, and for keys the old ones, newest first, with their times."""

    def __init__(self, text: str = "") -> None:
        self.values: dict[str, str] = {}
        self.old: dict[str, list[tuple[str, str]]] = {}
        times: dict[str, list[str]] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if found := _LINE.fullmatch(line):
                if found[1] in self.values:
                    raise Damaged(f"line {number} repeats a name")
                self.values[found[1]] = found[2]
            elif found := _OLD.fullmatch(line):
                keys, known = json.loads(found[2]), times.get(found[1], [])
                if len(keys) != len(known):
                    raise Damaged(f"the comment above line {number} does not say when each key was replaced")
                self.old[found[1]] = list(zip(known, keys))
            elif found := _TIMES.fullmatch(line):
                times[found[1]] = found[2].split(", ")
                self._check_times(times[found[1]], number)
            elif line.strip() and not line.startswith("#"):
                raise Damaged(f"line {number} is not what was written")
        if text and not self.values:
            raise Damaged("it holds no value")

    @staticmethod
    def _check_times(times: list[str], number: int) -> None:
        try:
            for time in times:
                datetime.strptime(time, TIME)
        except ValueError:
            raise Damaged(f"line {number} does not say when each key was replaced") from None

    def text(self) -> str:
        """The whole file."""
        lines = []
        for name, value in self.values.items():
            lines.append(f'{name}="{value}"\n')
            if old := self.old.get(name):
                lines.append(f"# {name}{ENDING}, replaced {', '.join(time for time, _ in old)}\n"
                             f"{name}{ENDING}='{json.dumps([key for _, key in old])}'\n")
        return _HEADER + "".join(lines)

    def make(self, name: str, kind: str) -> None:
        """Give a name a new value."""
        self.values[name] = KINDS[kind][0]()

    def is_of(self, name: str, kind: str) -> bool:
        """Whether the value that is there is of this kind."""
        return KINDS[kind][1](self.values[name])

    def rotate(self, name: str, kind: str, keep: bool, now: datetime) -> None:
        """A new value; `keep` leaves the old ones of a key valid, otherwise none of them is."""
        if keep and name in KEYS and name in self.values:
            self.old.setdefault(name, []).insert(0, (now.strftime(TIME), self.values[name]))
        else:
            self.old.pop(name, None)
        self.make(name, kind)

    def expire(self, days: int, now: datetime) -> list[str]:
        """Drop the keys that were replaced longer ago; the names that lost one."""
        oldest = now - timedelta(days=days)
        found = []
        for name, old in list(self.old.items()):
            kept = [(time, key) for time, key in old
                    if datetime.strptime(time, TIME).replace(tzinfo=timezone.utc) > oldest]
            if len(kept) < len(old):
                found.append(name)
                self.old[name] = kept
        return found
