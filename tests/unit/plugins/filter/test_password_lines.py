"""Hashes that every libc takes, the same in every run."""

from __future__ import annotations

import pytest
from ansible_collections.bulwark.flask.plugins.filter.password_lines import password_lines, sha512_crypt

# From the specification of SHA-crypt, and of `openssl passwd -6`.
KNOWN = [
    ("Hello world!", "saltstring", "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"),
    ("x", "abcdefghijklmnop", "4MjOne1jVRKP4IuHRPFedC4vlQHNjvcBfQJVlfB8ciQ5YUzW2g81Pyw4sptw4femJ071/eApI0WDsBAOOCmTl0"),
    ("a very much longer text to encrypt.  This one even stretches over more than one line." * 2, "anotherlongsalts",
     "HtgwjD9/sri0cNUY3IfLlGapOlu2Z4KG0S1w6qoRdSuAeUxUAyyUNOwonMMvNoMdTA70FvZslVeZ.9OqyUWmQ1"),
    ("grüße", "s", "L8X4LPlAluCH6pgIQkgQGLdBnv3qJF9UbaOAyiaB7FvB0Q0rNAj3lXSL3270SxjI1gk2Y8l.gE9mSLYw19A3Y."),
]


@pytest.mark.parametrize(("password", "salt", "hashed"), KNOWN)
def test_a_hash_is_that_of_the_specification(password: str, salt: str, hashed: str) -> None:
    assert sha512_crypt(password.encode(), salt.encode()) == f"$6${salt}${hashed}"


def test_lines_are_the_same_in_every_run_and_different_for_each_site_and_person() -> None:
    people = {"bob": "the same password", "alice": "the same password"}
    text = password_lines(people, ["bob", "alice"], "web1/shop")
    assert text == password_lines(people, ["alice", "bob"], "web1/shop") and "the same" not in text
    hashes = {line.split(":")[1] for line in (text + password_lines(people, ["bob"], "web1/blog")).splitlines()}
    assert len(hashes) == 3 and [line.split(":")[0] for line in text.splitlines()] == ["alice", "bob"]


def test_a_hash_is_passed_on() -> None:
    assert password_lines({"a": "$y$j9T$abc$def"}, ["a"], "x") == "a:$y$j9T$abc$def\n"
