"""Remove the values of secrets from texts."""

from __future__ import annotations

import json
import re
from typing import Any, Iterator, Mapping

SECRET_NAME = re.compile(r"SECRET|(?<!PUBLIC_)KEY|TOKEN|PASS(?!ENGER|IVE)|PWD|CREDENTIAL|SALT|PRIVATE|(?<![A-Z])(PIN|PW)(?![A-Z])|_AUTH$", re.I)
NOT_SECRET = re.compile(r"PWD|OLDPWD|PATH|CREDENTIALS_DIRECTORY|\w*_(PATH|FILE|DIR|DIRECTORY|HOSTS?|SECONDS|ENABLED|HEADER|NAME)|INVOCATION_ID|JOURNAL_STREAM")
URL_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
# A run of 16 or more letters and digits, with adjacent characters. Words, numbers and times are not secrets.
RUN = re.compile(r"(?<![^\W_])([^\W_]{16,})(?:[-_][^\W_]+)*")
TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
TIME = re.compile(r"\d{8}T\d{4,6}Z?")
SHORTEST, SHORTEST_INSIDE_WORDS = 6, 8


class Redactor:
    """The values that must not leave this process."""

    def __init__(self, environment: Mapping[str, str], vocabulary: str = "") -> None:
        """Collect the environment's secrets; a value that is a word of `vocabulary`, the inspector's own texts, is not hidden."""
        self.vocabulary = vocabulary
        self.hidden: dict[str, str] = {}  # value -> the name that replaces it
        self.secret: set[str] = set()  # those that a page must never show
        for name, value in environment.items():
            self.add(name, value)

    def add(self, name: str, value: Any) -> None:
        """Hide the secret parts of a variable or setting."""
        if NOT_SECRET.fullmatch(name):
            return
        if isinstance(value, str):
            try:
                parsed = json.loads(value)
            except ValueError:
                parsed = None
            if isinstance(parsed, (dict, list)):
                self.add(name, parsed)
        for inner, text in _texts(name, value):
            secret = bool(SECRET_NAME.search(inner))
            parts = [text] if secret else URL_PASSWORD.findall(text) + _random(text)
            for part in parts:
                if len(part) >= SHORTEST and part not in self.vocabulary:
                    self.hidden.setdefault(part, name)
                    if secret and len(part) >= SHORTEST_INSIDE_WORDS:
                        self.secret.add(part)

    def add_config(self, config: dict[str, Any]) -> None:
        """Hide the secret settings of an application."""
        for name, value in config.items():
            if isinstance(name, str):
                self.add(name, value)

    def redact(self, text: str) -> str:
        """The text with each hidden value replaced by its name in brackets."""
        for value in sorted(self.hidden, key=len, reverse=True):
            name = f"[{self.hidden[value]}]"
            for form in (value, repr(value)[1:-1]):
                if len(form) >= SHORTEST_INSIDE_WORDS:
                    text = text.replace(form, name)
                else:
                    text = name.join(re.split(rf"(?<!\w){re.escape(form)}(?!\w)", text))
        return text


def _random(text: str) -> list[str]:
    """The random parts of a text."""
    return [run[0] for run in RUN.finditer(text) if not TIME.fullmatch(run[1]) and not _is_of_words(run[1])]


def _is_of_words(run: str) -> bool:
    """Whether letters stand together as words or abbreviations do, with one number at most."""
    tokens = TOKEN.findall(run)
    numbers = sum(token.isdigit() for token in tokens)
    return numbers <= 1 and all(token.isdigit() or len(token) >= (2 if token.isupper() else 3) for token in tokens)


def _texts(name: str, value: Any) -> Iterator[tuple]:
    """Each text inside a value, with the names that lead to it."""
    if isinstance(value, bytes):
        yield name, value.decode("latin-1")
    elif isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(f"{name}.{key}", item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _texts(name, item)
