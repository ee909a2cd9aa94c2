"""The filter that writes a password file for nginx."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: password_lines
short_description: Names and passwords as lines of a file that nginx's auth_basic_user_file reads
version_added: "0.1.0"
description:
  - Passwords leave the controller as SHA-512 crypt alone. The salt is made of O(seed) and the name, so that the same
    password gives the same line in every run, and another one on every other site.
  - A password that is a hash already (C($6$), C($5$), C($y$) or C($2b$)) is passed on as it is.
positional: _input, names, seed
options:
  _input:
    description: Passwords by name.
    type: dict
    required: true
  names:
    description: Whose lines are wanted.
    type: list
    elements: str
    required: true
  seed:
    description: What is different for each site.
    type: str
    required: true
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Who may come
  ansible.builtin.copy:
    dest: /etc/nginx/users
    content: "{{ {'alice': vaulted_password} | bulwark.flask.password_lines(['alice'], inventory_hostname) }}"
    group: www-data
    mode: "0640"
  no_log: true
"""

RETURN = r"""
_value:
  description: One line per name.
  type: str
"""

DIGITS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
HASHES = ("$6$", "$5$", "$y$", "$2b$", "$2y$")
ROUNDS = 5000


def _base64(value: int, length: int) -> str:
    return "".join(DIGITS[value >> 6 * n & 63] for n in range(length))


def sha512_crypt(password: bytes, salt: bytes) -> str:
    """SHA-512 crypt as every libc has it (https://www.akkadia.org/drepper/SHA-crypt.txt). Python has none since 3.13, and the
    filter password_hash of ansible-core 2.19 needs passlib, which no controller has by itself."""
    def sha(data: bytes) -> bytes:
        return hashlib.sha512(data).digest()

    def repeated(data: bytes, length: int) -> bytes:
        return (data * (length // len(data) + 1))[:length]

    second = sha(password + salt + password)
    start = password + salt + repeated(second, len(password))
    bits = len(password)
    while bits:
        start += second if bits & 1 else password
        bits >>= 1
    digest = sha(start)
    p = repeated(sha(password * len(password)), len(password)) if password else b""
    s = repeated(sha(salt * (16 + digest[0])), len(salt))
    for n in range(ROUNDS):
        digest = sha((p if n & 1 else digest) + (s if n % 3 else b"") + (p if n % 7 else b"") + (digest if n & 1 else p))
    text, a, b, c = "", 0, 21, 42
    for _ in range(21):
        text += _base64(digest[a] << 16 | digest[b] << 8 | digest[c], 4)
        a, b, c = b + 1, c + 1, a + 1
    return f"$6${salt.decode()}${text}{_base64(digest[63], 2)}"


def password_lines(passwords: Mapping[str, Any], names: Iterable[str], seed: str) -> str:
    """Lines of name and hash."""
    lines = []
    for name in sorted(names):
        password = str(passwords[name])
        salt = "".join(DIGITS[byte & 63] for byte in hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:16])
        hashed = password if password.startswith(HASHES) else sha512_crypt(password.encode(), salt.encode())
        lines.append(f"{name}:{hashed}\n")
    return "".join(lines)


class FilterModule:
    """The filter's name."""

    def filters(self) -> dict[str, Any]:
        return {"password_lines": password_lines}
