"""Environment files, read as systemd reads them."""

from __future__ import annotations

from ansible_collections.bulwark.flask.plugins.module_utils.secrets.environment import values_in


def test_values_are_read_without_quotes_and_comments() -> None:
    text = "# Names = x\n; a=b\n\nA=1\nB=\"x \\\"y\\\" z\"\nC='two\nlines'\nD = spaced \nnonsense\nE=end"
    assert values_in(text) == {"A": "1", "B": 'x "y" z', "C": "two\nlines", "D": "spaced", "E": "end"}
