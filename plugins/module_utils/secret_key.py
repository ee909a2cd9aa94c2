"""Whether a key that signs sessions is strong enough. No Ansible imports: the inspector takes this file to hosts.

The estimate of randomness is for keys that a person may have typed or copied. Repetition, sequences and words count
little or nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any, NamedTuple

MINIMUM_LENGTH, RECOMMENDED_LENGTH = 16, 32
MINIMUM_BITS = 64
REMEDY = "use 32 random characters or more, such as those of: openssl rand -hex 32"

# Keys that are printed in manuals, courses and tutorials and look random. Those made of words need no entry.
PUBLISHED = (
    "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",  # Flask, quickstart
    "_5#y2L\"F4Q8z\n\xec]/",  # Flask 1.0 to 2.1, quickstart
    "_5#y2LF4Q8zxec/",  # the same, as it is often copied
    "A0Zr98j/3yX R~XHH!jmN]LWX/,?RT",  # Flask 0.x, quickstart
    "\xfd{H\xe5<\x95\xf9\xe3\x96.5\xd1\x01O<!\xd5\xa2\xa0\x9fR\"\xa1\xa8",  # Flask 0.x, quickstart
    "3d6f45a5fc12445dbac2f59c3b6c7cb1",  # Flask-JWT and many forum answers
    "5791628bb0b13ce0c676dfde280ba245",  # Corey Schafer's Flask course
    "df0331cefc6c2b9a5d0208a726a5d1c0fd37324feba25506",  # DigitalOcean, Flask forms
    "9OLWxND4o83j4K4iuopO",  # Flask-Login tutorials
    "7d441f27d441f27567d441f2b6176a",  # pythonspot, WTForms
    "C2HWGVoMGfNTBsrYQg8EcMrdTimkZfAb",  # Flask-WTF and Bootstrap tutorials
    "8BYkEfBA6O6donzWlSihBXox7C0sKR6b",  # 100 Days of Code
    "\xcc^\x91\xea\x17-\xd0W\x03\xa7\xf8J0\xac8\xc5",  # login with MongoDB
    "hjshjhdjah kjshkjdhjs",  # Tech With Tim's Flask course
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",  # FastAPI, tutorial
)
# Words of placeholders.
WORDS = """all am and any anything app are as auth base be before but by change changed changeme configuration cookie
    default demo deploy dev develop development do dummy enter env example fill flask for foo foobar from generate get go
    goes good guess hard hello here in insecure is it jwt keep key later live local long make me my never new no not now of
    omg on one only or pass passphrase passwd password phrase placeholder please pretend prod production project put random
    real really replace safe sample secret secretkey secure security session set shh should signing simple some something
    string strong super temp test testing that the then this thing to todo token top totally true unsafe update use user
    value very we web will with word world you your xxx asdf asdfghjkl qwerty qwertyuiop zxcvbnm""".split()

_OF_WORDS = re.compile(f"(?:{'|'.join(sorted(WORDS, key=len, reverse=True))})+")
# A text of nothing but words, short numbers such as years, and what separates them.
_OF_WORDS_AND_NUMBERS = re.compile(
    r"(?:[A-Z]?[a-z]{4,}|[A-Z]{4,}|(?<![A-Za-z0-9])[A-Za-z]{1,3}(?![A-Za-z0-9])|(?<!\d)\d{1,8}(?!\d)|[\W_])+", re.ASCII)
_BITS_OF_A_CHARACTER_IN_WORDS = 2.0


class Problem(NamedTuple):
    """A problem of a key. `level` is `error` or `warning`; `text` follows the key's name and contains no part of the key."""

    level: str
    text: str


def problems(key: Any) -> list[Problem]:
    """Problems of a key, the worst first; an empty list for a strong one."""
    if key is None or key in ("", b""):
        return [Problem("error", "is empty")]
    if not isinstance(key, (str, bytes)):
        return [Problem("error", f"is {type(key).__name__}, not text; as JSON, digits alone become a number")]
    text = key.decode("latin-1") if isinstance(key, bytes) else key
    own = _without_published(text)
    if own != text and bits(own) < MINIMUM_BITS:
        return [Problem("error", "is published in manuals or tutorials")]
    if text.startswith("django-insecure-") or _is_placeholder(text):
        return [Problem("error", "is a placeholder that others can guess")]
    if len(text) < MINIMUM_LENGTH:
        return [Problem("error", f"has {len(text)} characters; {MINIMUM_LENGTH} are the least, {RECOMMENDED_LENGTH} or more are recommended")]
    if bits(text) < MINIMUM_BITS:
        return [Problem("error", f"has {len(text)} characters that are words, repeat or follow a pattern, and can be guessed")]
    if len(text) < RECOMMENDED_LENGTH:
        return [Problem("warning", f"has {len(text)} characters; {RECOMMENDED_LENGTH} or more are recommended")]
    return []


def bits(text: str) -> float:
    """An estimate of the randomness of a text, in bits."""
    period = next((n for n in range(1, len(text) // 2 + 1) if text == (text[:n] * len(text))[:len(text)]), len(text))
    unit = text[:period]
    fresh = [b for a, b in zip(unit, unit[1:]) if abs(ord(b) - ord(a)) > 1]
    # abcd, 4321 or aaaa. Of random hexadecimal digits, one in five is like this, and never two thirds.
    if len(fresh) < len(unit) / 3:
        unit = "".join(fresh)
    # Random letters are words of two and three letters one time in a hundred thousand keys, up to six letters together.
    unit = re.sub(r"[A-Za-z]+", lambda run: "" if len(run[0]) > 7 and _OF_WORDS.fullmatch(run[0].lower()) else run[0], unit)
    each = _bits_of_a_character(unit) if unit else 0.0
    if unit.isascii() and _OF_WORDS_AND_NUMBERS.fullmatch(unit):
        each = min(each, _BITS_OF_A_CHARACTER_IN_WORDS)
    return each * len(unit)


def _bits_of_a_character(text: str) -> float:
    """Shannon's entropy, with Miller and Madow's correction for a text that is short."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts) + (len(counts) - 1) / (2 * len(text) * math.log(2))


def _without_published(text: str) -> str:
    """A text without what is printed somewhere, escape sequences typed as such included."""
    for known in PUBLISHED:
        text = text.replace(known, "").replace(known.encode("unicode_escape").decode(), "")
    return text


def _is_placeholder(text: str) -> bool:
    """Whether most of a text is words of placeholders."""
    runs = re.findall(r"[a-z]+", text.lower())
    letters = sum(map(len, runs))
    words = sum(len(run) for run in runs if _OF_WORDS.fullmatch(run))
    return letters > 0 and 2 * words >= max(letters, len(text) / 2)
