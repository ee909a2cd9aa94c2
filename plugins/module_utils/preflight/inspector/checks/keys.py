"""The keys that sign sessions and tokens."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import Seen, check
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.source import listed
from ansible_collections.bulwark.flask.plugins.module_utils.secret_key import problems


@check("SECRET_KEY is strong, or nothing uses it", "error", "a guessed key allows forged sessions and tokens",
       "leave FLASK_SECRET_KEY out of env (the host generates one) and call app.config.from_prefixed_env(), or write a key of: "
       "python3 -c 'import secrets; print(secrets.token_hex(32))'", ("SECRET_KEY", {"env": "FLASK_SECRET_KEY"}))
def secret_key(subject: Any) -> Seen:
    key = subject.config.get("SECRET_KEY")
    if key in (None, "", b"") and not subject.session_uses:
        yield "pass", "SECRET_KEY is not set, and the application makes no session"
        return
    weaknesses = problems(key)
    for problem in weaknesses[:1]:
        yield problem.level, f"SECRET_KEY {problem.text}"
    if not weaknesses:
        yield "pass", f"SECRET_KEY has {len(key)} characters"


def _fallbacks(subject: Any) -> list[Any]:
    keys = subject.config.get("SECRET_KEY_FALLBACKS")
    return list(keys) if isinstance(keys, (list, tuple, set)) else []


@check("SECRET_KEY is in no file of the source", "error", "a copy of the source allows forged sessions",
       "app.config.from_prefixed_env(), which takes SECRET_KEY from FLASK_SECRET_KEY", ("SECRET_KEY", {"env": "FLASK_SECRET_KEY"}))
def secret_key_in_source(subject: Any) -> Seen:
    keys = [("SECRET_KEY", subject.config.get("SECRET_KEY"))] + [("a key of SECRET_KEY_FALLBACKS", key) for key in _fallbacks(subject)]
    for name, key in keys:
        places = subject.source.holding(key) if isinstance(key, (str, bytes)) and key else []
        if places:
            yield "error", f"{name} is in {listed(places)}"
    if not subject.source.complete:
        yield "unknown", "the source is too large to search all of it", "keep data files and build results out of the source"


@check("SECRET_KEY_FALLBACKS are strong, and safe with this Flask", "error",
       "a fallback key signs sessions like the key itself; Flask 3.1.0 signs with the oldest (GHSA-4grg-w6v8-c28g)",
       "flask>=3.1.1 in the lock file, and a list of strong keys")
def secret_key_fallbacks(subject: Any) -> Seen:
    keys = subject.config.get("SECRET_KEY_FALLBACKS")
    if not keys:
        yield "pass", "there are none"
        return
    if not isinstance(keys, (list, tuple)):
        yield "error", f"{subject.kind_of_setting('SECRET_KEY_FALLBACKS')}, which must be a list: Flask would take each character for a key"
        return
    for number, key in enumerate(keys, 1):
        for problem in problems(key)[:1]:
            yield problem.level, f"SECRET_KEY_FALLBACKS, number {number} {problem.text}"
    if subject.flask_numbers == (3, 1, 0):
        yield "error", "Flask 3.1.0 signs with the oldest key", "flask>=3.1.1"
    elif subject.flask_numbers < (3, 1, 0):
        yield "warning", f"Flask {subject.flask} does not read SECRET_KEY_FALLBACKS: sessions end when the key changes", "flask>=3.1.1"
