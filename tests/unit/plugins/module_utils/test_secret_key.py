"""Published and weak keys are refused; random ones are not."""

from __future__ import annotations

import base64
import secrets
import string
import uuid
from collections.abc import Callable

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.secret_key import PUBLISHED, problems


@pytest.mark.parametrize("key", [
    *PUBLISHED,
    b"\xcc^\x91\xea\x17-\xd0W\x03\xa7\xf8J0\xac8\xc5",
    r"\xcc^\x91\xea\x17-\xd0W\x03\xa7\xf8J0\xac8\xc5",
    "C2HWGVoMGfNTBsrYQg8EcMrdTimkZfAb-of-shop",
])
def test_a_key_that_is_printed_in_a_manual_or_course_is_refused(key: str | bytes) -> None:
    assert [problem.level for problem in problems(key)] == ["error"]
    assert "published in manuals" in problems(key)[0].text


@pytest.mark.parametrize("key", [
    "dev", "development key", "secret!", "key", "mysecretkey", "mysecret123", "thisissecret", "super secret key", "a super secret key",
    "SUPER-SECRET", "hard to guess string", "you-will-never-guess", "secret-key-goes-here", "change_this", "top_gear_secret_key_123",
    "your-secret-key-change-this-in-production", "dev-secret-key-change-in-production", "please-change-me-before-you-go-live",
    "django-insecure-hn8h3i!t7t8j4y2&2-ct-tzyris+%!3)nj&!^%ys+c-0ifrd9@", "ItShouldBeAnythingButSecret", "supersecretkeyomg",
    "pytest-secret-key-not-a-real-one-0123456789", "qwertyuiopasdfghjklzxcvbnm123456",
])
def test_a_placeholder_is_refused(key: str) -> None:
    assert [problem.level for problem in problems(key)] == ["error"]
    assert "placeholder" in problems(key)[0].text


@pytest.mark.parametrize("key", [
    "kR7_q9Zt", "48151623421337", "hunter2-hunter2", "correct horse battery staple", "enterprise-spam-detection-2024",
    "clave-secreta-proyecto", "q7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Z", "abcdefghijklmnopqrstuvwxyz0123456789", "1234567890" * 4, "a" * 40,
])
def test_a_key_that_is_short_made_of_words_or_repeats_is_refused(key: str) -> None:
    assert [problem.level for problem in problems(key)] == ["error"]


@pytest.mark.parametrize("key", [None, "", b""])
def test_an_empty_key_is_refused(key: str | bytes | None) -> None:
    assert [tuple(problem) for problem in problems(key)] == [("error", "is empty")]


def test_a_number_is_refused() -> None:
    assert "is int, not text" in problems(48151623421337481516234213374815162342)[0].text


@pytest.mark.parametrize("key", ["kR7_q9Zt-wX2vB5n-M3c", bytes(range(7, 250, 15))])
def test_a_random_key_of_16_to_31_characters_is_a_warning(key: str | bytes) -> None:
    assert [problem.level for problem in problems(key)] == ["warning"]


@pytest.mark.parametrize("make", [
    lambda: secrets.token_hex(16), lambda: secrets.token_hex(32), lambda: secrets.token_urlsafe(24), lambda: secrets.token_urlsafe(48),
    lambda: secrets.token_bytes(32), lambda: str(uuid.uuid4()), lambda: base64.b32encode(secrets.token_bytes(20)).decode(),
    lambda: "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(32)),
])
def test_random_keys_are_never_refused(make: Callable[[], str | bytes]) -> None:
    assert [key for key in (make() for _ in range(300)) if problems(key)] == []


@pytest.mark.parametrize("key", [
    "aaf94ac5cddd55665ad8778efe578954",  # digits that follow each other
    "DOOR6COALCYKZWSYMAXQQGBMZFWHCKTJ", "AREAM2TAYFAOWSDFPZTUIVHZOSCMIINY", "JIDKLYY2KGTO4IQQZFBIBASX6ITINOF4",  # do or, are am, it in of
])
def test_random_keys_with_the_pattern_of_others_are_accepted(key: str) -> None:
    assert problems(key) == []


def test_no_part_of_a_key_is_in_a_message() -> None:
    assert "hunter" not in problems("hunter2-hunter2")[0].text
