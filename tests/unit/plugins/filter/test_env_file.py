"""systemd reads back the values that env_file writes; values that systemd would refuse are errors."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.bulwark.flask.plugins.filter.env_file import FilterModule, env_file, problems

VALUES = {
    "double": 'a"b"', "single": "it's", "dollar": "$HOME ${PATH} $$", "backslashes": "a\\b\\\\c\\n", "trailing": "end\\",
    "newlines": "a\nb\n\n", "newline": "\n", "tabs": "\ta\t", "utf8": "grüße ✓ 日本 🎉", "spaces": "  a  ", "hash": "# a",
    "semicolon": ";a", "empty": "", "backtick": "`id`", "equals": "a=b", "escaped_newline": "a\\\nb", "percent": "%h",
    "assignment": "a\nSECOND=b", "longest": "x" * (131071 - len("NAME=")),
}


def read_like_systemd(text: str) -> dict[str, str]:
    """parse_env_file_internal() of systemd, the states that quoted values reach."""
    found, at = {}, 0
    while at < len(text):
        if text[at] in "\n#":
            at = text.index("\n", at) + 1
            continue
        name, at = text[at:text.index("=", at)], text.index("=", at) + 2
        assert text[at - 1] == '"'
        value = ""
        while text[at] != '"':
            if text[at] == "\\":
                at += 1
                value += text[at] if text[at] in '"\\`$' else "" if text[at] == "\n" else "\\" + text[at]
            else:
                value += text[at]
            at += 1
        found[name], at = value, at + 1
    return found


def flask_reads(text: str) -> Any:
    """Config.from_prefixed_env() for one value."""
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_arrives_byte_for_byte(value: str) -> None:
    assert read_like_systemd(env_file({"NAME": value})) == {"NAME": value}


def test_random_values_arrive_and_do_not_disturb_each_other() -> None:
    dice = random.Random(5)
    given = {f"N{n}": "".join(dice.choices("\"\\$`'\n\t #;=üa✓", k=dice.randrange(30))) for n in range(500)}
    assert read_like_systemd("# A comment\n" + env_file(given)) == given


def test_the_order_is_the_operators() -> None:
    assert list(read_like_systemd(env_file({"B": "1", "A": "2", "C": "3"}))) == ["B", "A", "C"]


@pytest.mark.parametrize("value", [True, False, 12, -1.5, ["a", 1, {"k": None}], {"a": ["ü", "\r\x00"]}, "12345678", "true",
                                   "null", "NaN", " 12 ", "1e5", '["a"]', "007", "yes", "True", "text", "12\n", None])
def test_flask_gets_the_type_that_was_written(value: Any) -> None:
    arrived = flask_reads(read_like_systemd(env_file({"FLASK_X": value}))["FLASK_X"])
    assert arrived == value
    assert type(arrived) is type(value)


def test_names_without_flask_in_front_are_not_quoted_for_json() -> None:
    assert read_like_systemd(env_file({"PIN": "1234", "ON": True})) == {"PIN": "1234", "ON": "true"}


def test_text_in_jsons_quotes_is_left_as_it_is() -> None:
    assert read_like_systemd(env_file({"FLASK_PIN": '"1234"'})) == {"FLASK_PIN": '"1234"'}


@pytest.mark.parametrize("value", [*(chr(c) for c in range(32) if chr(c) not in "\t\n"), "\x7f", "\ud800", "\ufdd0", "\uffff",
                                   "\U0010ffff", None, float("nan"), {1}, b"bytes", "x" * (131071 - len("SECRET="))])
def test_a_value_that_systemd_refuses_is_an_error_with_the_name_and_not_the_value(value: Any) -> None:
    given = value if not isinstance(value, str) else f"hunter2{value}"
    with pytest.raises(AnsibleFilterError) as error:
        env_file({"GOOD": "a", "SECRET": given})
    assert "SECRET" in str(error.value)
    assert "hunter2" not in str(error.value)
    assert "GOOD" not in str(error.value)


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "Ä", "A\n", "A.B", 5])
def test_a_name_the_shell_would_not_know_is_refused(name: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="not a name"):
        env_file({name: "a"})


def test_all_problems_are_reported_at_once() -> None:
    assert len(problems({"1": "a", "B": None, "C": "\r", "D": "good"})) == 3
    assert problems({"A": "good"}) == []
    assert problems("A=b") == ["the environment must be a mapping of names to values"]


def test_ansible_finds_the_filter() -> None:
    assert FilterModule().filters() == {"env_file": env_file}
