"""Quoting of commands for systemd."""

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.units import Units, quoted
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError


@pytest.mark.parametrize(("word", "written"), [
    ("plain", '"plain"'), ("two words", '"two words"'), ('a "quote"', '"a \\"quote\\""'), ("back\\slash", '"back\\\\slash"'),
    ("$HOME", '"$$HOME"'), ("%i", '"%%i"'), ("", '""'),
])
def test_nothing_in_a_word_is_expanded(word: str, written: str) -> None:
    assert quoted(word) == written


@pytest.mark.parametrize("word", ["two\nlines", "a\0b"])
def test_a_word_that_would_end_the_line_is_refused(word: str) -> None:
    with pytest.raises(ReleaseError):
        quoted(word)


def test_units_are_named_by_their_instance() -> None:
    assert Units("gunicorn-shop").both("r1.2") == ["gunicorn-shop@r1.2.socket", "gunicorn-shop@r1.2.service"]
