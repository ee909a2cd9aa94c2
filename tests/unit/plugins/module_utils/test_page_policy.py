"""The resources of a page, and those that the policy blocks."""

from __future__ import annotations

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.page_policy import needed, refused, uses

STRICT = {"default-src": ["'none'"], "script-src": ["'self'"], "style-src": ["'self'"], "img-src": ["'self'", "data:"], "form-action": ["'self'"],
          "base-uri": ["'none'"]}


def stopped(html: str) -> list[tuple[int, str, str]]:
    return [(use.line, use.what, use.directive) for use in refused(uses(html), STRICT)]


@pytest.mark.parametrize("html", [
    '<link rel="stylesheet" href="/static/style.css"><script src="/app.js"></script><img src="logo.png">',
    '<img src="data:image/png;base64,AAAA">',
    '<script type="application/json">{"a": 1}</script>',
    '<script type="text/template"><b></b></script>',
    '<script nonce="r4nd0m">run()</script>',
    '<a href="https://other.example/">a link is no load</a>',
    '<form action="/save" method="post"></form>',
    "<script src=app.js></script><script></script>",
])
def test_a_page_that_loads_from_its_own_site_alone_is_not_stopped(html: str) -> None:
    assert stopped(html) == []


@pytest.mark.parametrize(("html", "what", "directive"), [
    ("<script>run()</script>", "inline script", "script-src"),
    ("<style>p {}</style>", "inline style", "style-src"),
    ('<p style="color: red">', "style attribute", "style-src"),
    ('<button onclick="go()">', "event handler onclick", "script-src"),
    ('<a href="javascript:go()">', "javascript: link", "script-src"),
    ('<script src="https://cdn.example/x.js"></script>', "https://cdn.example", "script-src"),
    ('<script src="//cdn.example/x.js"></script>', "https://cdn.example", "script-src"),
    ('<link rel="stylesheet" href="https://cdn.example/x.css">', "https://cdn.example", "style-src"),
    ('<img src="https://images.example/x.png">', "https://images.example", "img-src"),
    ('<iframe src="https://video.example/x"></iframe>', "https://video.example", "frame-src"),
    ('<base href="/app/">', "base address", "base-uri"),
    ('<base href="{{ here }}">', "base address", "base-uri"),
    ('<form action="https://pay.example/x"></form>', "https://pay.example", "form-action"),
])
def test_conflicts_with_the_strict_policy_are_reported_with_their_line(html: str, what: str, directive: str) -> None:
    assert stopped(f"<!doctype html>\n{html}") == [(2, what, directive)]


def test_a_sites_own_address_is_itself() -> None:
    html = '<base href="https://shop.example.com/"><script src="https://shop.example.com/x.js"></script>'
    (base,) = refused(uses(html, host="shop.example.com"), STRICT)
    assert (base.what, needed([base], STRICT)) == ("base address", {"base-uri": ["'self'"]})
    assert refused(uses(html, host="shop.example.com"), {"script-src": ["'self'"]}) == []


def test_a_template_is_read_without_its_expressions() -> None:
    text = "{% extends 'base.html' %}\n<script src=\"{{ url_for('static', filename='x.js') }}\"></script>\n{#\n<style>p</style> #}\n<style>p {}</style>"
    assert stopped(text) == [(5, "inline style", "style-src")]


def test_the_suggested_policy_keeps_existing_sources() -> None:
    html = '<script src="https://cdn.example/x.js"></script><img src="https://images.example/x.png">'
    assert needed(refused(uses(html), STRICT), STRICT) == {
        "img-src": ["'self'", "data:", "https://images.example"], "script-src": ["'self'", "https://cdn.example"]}


def test_a_script_that_never_changes_is_allowed_by_its_hash_and_another_is_not() -> None:
    (source,) = needed(refused(uses("<script>run()</script>"), STRICT), STRICT)["script-src"][1:]
    # openssl dgst -sha256 -binary | base64
    assert source == "'sha256-AvyuiL0SD1mVY3NNxR+V2uo+lhk6RMFrytWmRt6CrJQ='"
    changing = uses("<script>run({{ value }})</script>")
    assert needed(refused(changing, STRICT), STRICT)["script-src"] == ["'self'", "'unsafe-inline'"]


def test_a_script_of_a_page_has_a_hash_where_a_template_has_the_same() -> None:
    constant = {use.source for use in uses("<script>run()</script>")}
    page = "<script>run()</script><script>run(1)</script>"
    assert [use.source for use in uses(page, constant)] == [*constant, "'unsafe-inline'"]


def test_a_hash_beside_unsafe_inline_would_turn_it_off() -> None:
    html = '<script>run()</script><button onclick="go()">'
    assert needed(refused(uses(html), STRICT), STRICT)["script-src"] == ["'self'", "'unsafe-inline'"]


def test_the_suggested_directives_allow_every_use() -> None:
    html = '<script>run()</script><script src="https://cdn.example/x.js"></script><p style="color: red"><link rel=stylesheet href=https://fonts.googleapis.com/css>'
    found = uses(html)
    assert refused(found, {**STRICT, **needed(refused(found, STRICT), STRICT)}) == []
