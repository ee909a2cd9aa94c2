"""Locations match every spelling of a path, and inner paths inherit settings of outer ones."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.filter.site_paths import METHODS, pattern, site_paths


def at(path: str, paths: dict[str, Any], static: tuple[str, ...] = ()) -> dict[str, Any]:
    """The settings of a path, as nginx selects them: files by prefix, then the first matching expression."""
    locations = site_paths(paths, static)
    for one in locations:
        if path.startswith(one["path"]) if one["files"] else re.search(one["pattern"], path, re.IGNORECASE):
            return one
    raise AssertionError(path)


@pytest.mark.parametrize("path", ["/admin", "/admin/", "/admin/x", "/ADMIN", "/admin.json", "/admin;x", "/admin x", "/admin\n", "/admin\u00e9"])
def test_a_path_matches_itself_and_paths_below_it_in_any_spelling(path: str) -> None:
    assert at(path, {"/admin": {"users": ["a"]}})["users"] == ["a"]
    assert at(path, {"/admin/": {"users": ["a"]}})["users"] == ["a"]


@pytest.mark.parametrize("path", ["/", "/administrator", "/admin-x", "/admin_x", "/admin2", "/x/admin"])
def test_a_path_does_not_match_another_with_the_same_prefix(path: str) -> None:
    assert at(path, {"/admin": {"users": ["a"]}})["users"] == []


def test_a_dot_in_a_path_matches_only_a_dot() -> None:
    assert not re.search(pattern("/a.b"), "/axb") and re.search(pattern("/a.b"), "/a.b")


def test_inner_paths_inherit_settings_of_outer_paths() -> None:
    paths = {"/": {"methods": ["GET"]}, "/admin/upload": {"body_max_mb": 5}, "/Admin": {"users": ["a"], "allow": ["192.0.2.1"]},
             "/admin/upload/open": {"allow": ["192.0.2.2"]}}
    inner = at("/admin/upload/open", paths)
    assert (inner["users"], inner["body_max_mb"], inner["allow"], inner["methods"]) == (["a"], 5, ["192.0.2.2"], ["GET", "HEAD"])
    assert at("/admin/upload", paths)["allow"] == ["192.0.2.1"]
    assert at("/else", paths)["methods"] == ["GET", "HEAD"] and at("/else", paths)["users"] == []


def test_files_have_the_access_rules_of_their_path() -> None:
    assert at("/admin/static/x.css", {"/admin": {"users": ["a"]}}, ("/admin/static/",))["users"] == ["a"]
    assert at("/static/x.css", {"/admin": {"users": ["a"]}}, ("/static/",))["users"] == []
    assert at("/static/x.css", {"/": {"users": ["a"]}}, ("/static/",))["users"] == ["a"]


def test_an_inner_path_shares_the_limit_of_an_outer_one_that_sets_it() -> None:
    paths = {"/login": {"rate_per_minute": 5}, "/login/x": {"methods": ["POST"]}, "/api": {"rate_per_second": 9, "rate_burst": 3}}
    assert (at("/login", paths)["rate"], at("/api", paths)["rate"]) == ("5r/m", "9r/s")
    assert at("/login/x", paths)["rate_zone"] == at("/login", paths)["rate_zone"] != at("/api", paths)["rate_zone"]
    assert [one["path"] for one in site_paths(paths) if one["sets"]] == ["/login", "/api"]


def test_a_site_without_paths_has_one_location() -> None:
    (only,) = site_paths({})
    assert only["match"] == "/" and only["methods"] == METHODS


def test_streams_and_files_are_not_cached() -> None:
    paths = {"/": {"cache_seconds": 5}, "/ws": {"websocket": True}, "/events": {"response_buffering": False}, "/admin": {"cache_seconds": 0},
             "/news": {"body_max_mb": 1}}
    cached = {one["path"]: one["cache_seconds"] for one in site_paths(paths, ["/static/"])}
    assert cached == {"/": 5, "/news": 5, "/ws": 0, "/events": 0, "/admin": 0, "/static/": 0}


def test_websockets_and_streams_have_a_long_timeout_by_default() -> None:
    paths = {"/ws": {"websocket": True}, "/events": {"response_buffering": False, "proxy_read_timeout_seconds": 90}}
    assert (at("/ws", paths)["proxy_read_timeout_seconds"], at("/events", paths)["proxy_read_timeout_seconds"]) == (3600, 90)
