"""Names and addresses have one rule each."""

from __future__ import annotations

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.names import APP_NAME, ENV_NAME, is_address, is_domain, nearest


@pytest.mark.parametrize(("text", "good"), [
    ("shop", True), ("a", True), ("my-shop_2", True), ("a" * 25, True),
    ("a" * 26, False), ("2shop", False), ("Shop", False), ("shop.", False), ("shop\n", False), ("", False),
])
def test_an_application_name_fits_an_account_and_a_unit(text: str, good: bool) -> None:
    assert bool(APP_NAME.fullmatch(text)) is good


@pytest.mark.parametrize(("text", "good"), [("FLASK_KEY", True), ("_x1", True), ("1X", False), ("A-B", False), ("A\n", False)])
def test_an_environment_name_is_one_that_systemd_sets(text: str, good: bool) -> None:
    assert bool(ENV_NAME.fullmatch(text)) is good


@pytest.mark.parametrize(("text", "good"), [
    ("shop.example.com", True), ("xn--bcher-kva.example", True), ("a.b", True),
    ("shop", False), ("Shop.example.com", False), ("shop.example.com.", False), ("-a.example", False), ("a..b", False), ("a.b\n", False),
    ("*.example.com", False), (f"{'a' * 64}.example", False), (".".join(["a" * 60] * 5), False),
])
def test_a_domain_is_complete_and_in_lower_case(text: str, good: bool) -> None:
    assert is_domain(text) is good


def test_a_wildcard_is_a_domain_where_it_is_allowed() -> None:
    assert is_domain("*.example.com", wildcard=True)
    assert not is_domain("*.*.example.com", wildcard=True)


@pytest.mark.parametrize(("text", "good"), [("192.0.2.1", True), ("2001:db8::1", True), ("192.0.2.0/24", False), ("1.2.3", False), (3232235777, False)])
def test_an_address_is_text(text: object, good: bool) -> None:
    assert is_address(text) is good


def test_the_nearest_known_word_is_suggested() -> None:
    assert nearest("worker", ["workers", "threads"]) == "; did you mean workers?"
    assert nearest("zzz", ["workers", "threads"]) == ""
