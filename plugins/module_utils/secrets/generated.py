"""Secrets that are generated on a host, and the file that holds them. No Ansible imports.

The file is an environment file for systemd. It also holds the old keys, in a variable that Flask reads, below a comment with
the time each was replaced: one file, so that an interruption never separates a key from them. Another comment names the
instance that was live when a value was rotated: that instance does not have the value, a later one does.
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

# Keys whose old values Flask still accepts, in the variable of this name with this ending.
KEYS = ("FLASK_SECRET_KEY", "SECRET_KEY")
ENDING = "_FALLBACKS"
# Many applications read their key from this variable, and fall back to one that is published.
FLASK_KEY, PLAIN_KEY = KEYS
DEFAULT_KIND = "url-safe"
TIME = "%Y-%m-%dT%H:%M:%SZ"

_VALUE = r"[A-Za-z0-9_=-]{32,}"
_LINE = re.compile(rf'({NAME.pattern})="({_VALUE})"')
_OLD = re.compile(rf"({'|'.join(KEYS)}){ENDING}='(\[\"{_VALUE}\"(, \"{_VALUE}\")*\])'")
_TIMES = re.compile(rf"# ({'|'.join(KEYS)}){ENDING}, replaced (.+)")
_ROTATED = re.compile(rf"# ({NAME.pattern}), rotated while (\S+) was live")
_HEADER = """\
# Generated on this host by the role app_secrets. To replace a value: playbooks/rotate_secrets.yml
# These values exist nowhere else: back this file up, readable by root alone.
"""


class Damaged(Exception):
    """The file is damaged. The text has the reason and no value."""


def _is_fernet(value: str) -> bool:
    try:
        return len(base64.b64decode(value, altchars=b"-_", validate=True)) == 32 and len(value) == 44
    except (binascii.Error, ValueError):
        return False


def _hex() -> str:
    """A value that JSON, and so Flask, does not read as a number."""
    while True:
        value = secrets.token_hex(32)
        if not re.fullmatch(r"\d+(e\d+)?", value):
            return value


# By kind: the generator, and a test whether a value is of the kind.
KINDS: dict[str, tuple[Callable[[], str], Callable[[str], bool]]] = {
    # The first letter keeps a key of digits from being read as a number.
    "url-safe": (lambda: f"k{secrets.token_urlsafe(48)}", lambda value: True),
    "hex": (_hex, lambda value: bool(re.fullmatch(r"[0-9a-f]{64}", value))),
    "fernet": (lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(), _is_fernet),
}


def kinds_of(names: Any) -> dict[str, str]:
    """The kind of each name; `names` is a list, or a mapping to kinds."""
    return dict(names) if isinstance(names, Mapping) else {name: DEFAULT_KIND for name in names}


class Values:
    """The contents of the file.

    `values` by name; `old` by key, pairs of time and value, newest first; `rotated` by name, the instance that was live then.
    `plain` is whether SECRET_KEY has the value of FLASK_SECRET_KEY too.
    """

    def __init__(self, text: str = "") -> None:
        self.values: dict[str, str] = {}
        self.old: dict[str, list[tuple[str, str]]] = {}
        self.rotated: dict[str, str] = {}
        times: dict[str, list[str]] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if match := _LINE.fullmatch(line):
                if match[1] in self.values:
                    raise Damaged(f"line {number} repeats a name")
                self.values[match[1]] = match[2]
            elif match := _OLD.fullmatch(line):
                keys, known = json.loads(match[2]), times.get(match[1], [])
                if len(keys) != len(known):
                    raise Damaged(f"the comment above line {number} does not say when each key was replaced")
                self.old[match[1]] = list(zip(known, keys))
            elif match := _ROTATED.fullmatch(line):
                self.rotated[match[1]] = match[2]
            elif match := _TIMES.fullmatch(line):
                times[match[1]] = match[2].split(", ")
                self._check_times(times[match[1]], number)
            elif line.strip() and not line.startswith("#"):
                raise Damaged(f"line {number} is not what was written")
        if text and not self.values:
            raise Damaged("it holds no value")
        self.plain = PLAIN_KEY in self.values and self.values[PLAIN_KEY] == self.values.get(FLASK_KEY)
        if self.plain:
            del self.values[PLAIN_KEY]

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
            if name in self.rotated:
                lines.append(f"# {name}, rotated while {self.rotated[name]} was live\n")
            lines.append(f'{name}="{value}"\n')
            if name == FLASK_KEY and self.plain:
                lines.append(f'{PLAIN_KEY}="{value}"\n')
            if old := self.old.get(name):
                lines.append(f"# {name}{ENDING}, replaced {', '.join(time for time, _unused in old)}\n"
                             f"{name}{ENDING}='{json.dumps([key for _unused, key in old])}'\n")
        return _HEADER + "".join(lines)

    def generate(self, name: str, kind: str) -> None:
        """Give a name a new value."""
        self.values[name] = KINDS[kind][0]()

    def is_of(self, name: str, kind: str) -> bool:
        """Whether the current value is of this kind."""
        return KINDS[kind][1](self.values[name])

    def rotate(self, name: str, kind: str, keep: bool, now: datetime, live: str | None = None) -> None:
        """Give a name a new value.

        :param keep: whether the old values of a key stay valid
        :param live: the live instance, which does not have the new value
        """
        before = self.values.get(name)
        if keep and name in KEYS and name in self.values:
            self.old.setdefault(name, []).insert(0, (now.strftime(TIME), self.values[name]))
        else:
            self.old.pop(name, None)
        self.rotated.pop(name, None)
        if live:
            self.rotated[name] = live
        self.generate(name, kind)
        if self.values[name] == before:
            raise RuntimeError(f"the new value of {name} is the old one; the host has no randomness")

    def expire(self, days: int, now: datetime) -> list[str]:
        """Drop the keys that were replaced more than `days` ago. Returns the names that lost one."""
        oldest = now - timedelta(days=days)
        expired = []
        for name, old in list(self.old.items()):
            kept = [(time, key) for time, key in old
                    if datetime.strptime(time, TIME).replace(tzinfo=timezone.utc) > oldest]
            if len(kept) < len(old):
                expired.append(name)
                self.old[name] = kept
        return expired
