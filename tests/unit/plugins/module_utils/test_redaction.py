"""The output of a command is shown without the contents of sensitive files."""

from __future__ import annotations

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.redaction import hide

SECRET = "# made by a role\nDATABASE_URL=postgresql://shop:Tr0ub4dor-and-3-more@db/shop\nexport PIN='4711'\nDEBUG=0\n"


@pytest.mark.parametrize(("output", "shown"), [
    ("line 2: bad value postgresql://shop:Tr0ub4dor-and-3-more@db/shop", "line 2: bad value postgresql://shop:[hidden]@db/shop"),
    ("cannot log in with Tr0ub4dor-and-3-more now", "cannot log in with [hidden] now"),
    ("truncated: Tr0ub4dor-a...", "truncated: [hidden]..."),
    ("wrapped Tr0ub4dor\n-and-3-more@db/shop end", "wrapped [hidden]\n[hidden]@db/shop end"),
    ("PIN 4711 refused, pid 14711", "PIN [hidden] refused, pid 14711"),
    ("DATABASE_URL is not allowed here, 0 files read", "DATABASE_URL is not allowed here, 0 files read"),
    ("nothing secret", "nothing secret"),
    ("the file was made by a role", "the file was made by a role"),
])
def test_values_are_hidden_whole_or_in_part_and_the_rest_stays(output: str, shown: str) -> None:
    assert hide(output, [SECRET]) == shown


def test_a_secret_with_several_lines_is_hidden_line_by_line() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\n9w0BAQEFAASCBKcwggSj\n-----END KEY-----\n"
    assert "MIIEvQ" not in hide("loaded:\n" + key, [key]) and "loaded:" in hide("loaded:\n" + key, [key])


def test_paths_urls_host_names_and_ordinary_words_stay() -> None:
    environment = ("# Settings of customer-portal-frontend\nUPLOADS=/var/lib/customer-portal-frontend/uploads\nBASE_URL=https://portal.example.com/login\n"
                   "MAIL_SERVER=mail.example.com\nENVIRONMENT=production\nSIGNING_KEY=cold-river-stones\n"
                   '{\n "mailbox": "operations@example.com",\n "password": "warm-river-sand",\n}\n')
    output = ("key cold-river-stones: customer-portal-frontend cannot write /var/lib/customer-portal-frontend/uploads in production; see "
              "https://portal.example.com/login or write to operations@example.com by mail.example.com, password warm-river-sand")
    shown = output.replace("cold-river-stones", "[hidden]").replace("warm-river-sand", "[hidden]")
    assert hide(output, [environment]).split() == shown.split()


def test_only_the_end_of_a_long_output_is_shown() -> None:
    shown = hide("x" * 200000 + "the reason", [SECRET])
    assert shown.endswith("the reason") and len(shown) < 4100


def test_without_secrets_nothing_is_hidden() -> None:
    assert hide("as it is\n", []) == "as it is"


@pytest.mark.parametrize("value", ["canary-Xq7pLw92", "older-secret-8812", "4f9a0c", "pa55word!", "x" * 20 + "1234"])
def test_a_value_that_is_not_plainly_harmless_is_hidden_whatever_its_name(value: str) -> None:
    assert hide(f"K={value} is wrong", [f"K={value}\n"]) == "K=[hidden] is wrong"


def test_a_long_plain_value_is_looked_at_in_linear_time() -> None:
    assert hide("as it is", ["K=" + "a-" * 20000 + "!\n"]) == "as it is"
