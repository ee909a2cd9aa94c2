"""No value of an operator can become another directive, a variable or a second line of nginx's configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import client_networks
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.roles import nginx_site

BREAKOUTS = ['x";', "x;", "x\n", "x\r", "$http_cookie", "x\0", "x\\", "x{", "x y", "é"]
PEOPLE = {"alice": "$6$0123456789abcdef$" + "x" * 86}


def problems(check: Callable[[str, Any], list[str]], value: Any) -> str:
    return "\n".join(check("it", value))


@pytest.mark.parametrize("text", BREAKOUTS)
def test_nothing_breaks_out_of_a_name_a_path_or_an_address(text: str) -> None:
    for check, value in ((nginx_site.paths, {f"/{text}": {"websocket": True}}), (nginx_site.users, {text: PEOPLE["alice"]}),
                         (client_networks, [text]), (client_networks, [f"fe80::1%{text}"]), (nginx_site.headers, {text: "x"}),
                         (nginx_site.policy, {text: ["x"]}), (nginx_site.proxies, {"addresses": ["192.0.2.1"], "header": text}),
                         (nginx_site.proxies, {"addresses": [f"192.0.2.1{text}"]}), (nginx_site.paths, {"/x": {"allow": [text]}}),
                         (nginx_site.paths, {"/x": {"methods": [text]}}), (nginx_site.paths, {"/x": {"rate_per_second": text}}),
                         (nginx_site.cookie_flags, {"x": [text]}), (nginx_site.paths, {"/x": {text: 1}}),
                         (nginx_site.paths, {"/x": {"body_max_mb": text}}), (nginx_site.paths, {"/x": {"rate_per_minute": 1, "rate_burst": text}})):
        assert problems(check, value), (check.__name__, value)


@pytest.mark.parametrize("text", ['x";', "x;", "x\n", "$http_cookie", "x\\", "x y", "x,y", "é"])
def test_nothing_breaks_out_of_a_source(text: str) -> None:
    assert problems(nginx_site.policy, {"script-src": [text]})


@pytest.mark.parametrize("text", ["x\n", "$http_cookie", "é", "x\x7f"])
def test_nothing_breaks_out_of_a_header(text: str) -> None:
    assert problems(nginx_site.headers, {"X-A": text})


@pytest.mark.parametrize("name", ['x";', "x;", "x y", "$x", "x\\", "'x", "{", "~("])
def test_nothing_breaks_out_of_a_cookie(name: str) -> None:
    assert problems(nginx_site.cookie_flags, {name: ["secure"]})


@pytest.mark.parametrize(("check", "value"), [
    (nginx_site.policy, {"script-src": ["'self'", "https://cdn.example.com:8443/x/", "'sha256-abc+/='", "*.example.com", "data:"],
                         "upgrade-insecure-requests": [], "img-src": "'self' data:"}),
    (nginx_site.headers, {"Permissions-Policy": 'camera=(self "https://example.com")', "X-Robots-Tag": "", "Reporting-Endpoints": 'csp="/csp"'}),
    (nginx_site.cookie_flags, {"session": ["secure", "httponly", "samesite=lax"], "~^__Host-": ["secure"], "~": ["secure"]}),
    (client_networks, ["192.0.2.7", "192.0.2.0/24", "2001:db8::/32", "2001:DB8::1"]),
    (nginx_site.proxies, {}),
    (nginx_site.proxies, {"addresses": ["173.245.48.0/20"], "header": "CF-Connecting-IP"}),
    (nginx_site.users, {**PEOPLE, "bob@example.com": "$y$j9T$0123456789$abcdefghijklmnopqrstuvw"}),
    (nginx_site.paths, {"/": {"methods": ["GET"]}, "/a.b/c-d_e~/": {"hidden": True}, "/login": {"rate_per_minute": "5", "rate_burst": 0}}),
])
def test_good_values_pass(check: Callable[[str, Any], list[str]], value: Any) -> None:
    assert problems(check, value) == ""


@pytest.mark.parametrize(("check", "value", "problem"), [
    (client_networks, ["0.0.0.0/0"], "every address"),
    (client_networks, ["10.0.0.1/8"], "write 10.0.0.0/8"),
    (client_networks, ["10.0.0.1", "10.0.0.1"], "is listed twice"),
    (nginx_site.proxies, {"header": "X-Real-IP"}, "it.addresses is missing"),
    (nginx_site.headers, {"Content-Length": "5"}, "set by nginx"),
    (nginx_site.headers, {"X-A": "1", "x-a": "2"}, "is set twice"),
    (nginx_site.users, {"alice": "a password of hers"}, "make one with: openssl passwd -6"),
    (nginx_site.users, {"alice": 123456789012}, "must be the hash of a password"),
    (nginx_site.paths, {"/a": {"websockets": True}}, "did you mean websocket?"),
    (nginx_site.paths, {"/a": {"websocket": "yes"}}, "true or false"),
    (nginx_site.paths, {"/a": {}}, "mapping of settings"),
    (nginx_site.paths, {"/a/../b": {"hidden": True}}, "must begin with /"),
    (nginx_site.paths, {"/a": {"hidden": True}, "/A/": {"hidden": True}}, "is set twice"),
    (nginx_site.paths, {"/a": {"rate_per_second": 1, "rate_per_minute": 1}}, "contradict"),
    (nginx_site.paths, {"/a": {"rate_burst": 1}}, "needs a rate"),
    (nginx_site.paths, {"/a": {"methods": ["TRACE"]}}, "cannot be served"),
    (nginx_site.paths, {"/a": {"methods": []}}, "must be methods"),
    (nginx_site.paths, {"/a": {"allow": []}}, "must be a list"),
])
def test_problems_are_reported(check: Callable[[str, Any], list[str]], value: Any, problem: str) -> None:
    assert problem in problems(check, value)


def test_no_message_repeats_a_password() -> None:
    assert "hunter2" not in problems(nginx_site.users, {"alice": "hunter2", "bob": "hunter2\nhunter2hunter2"})


def agreed(site: dict[str, Any], static: tuple[str, ...] = ()) -> str:
    return "\n".join(nginx_site.agreement(lambda key: f"site.{key}", site, static))


def test_settings_that_need_others_say_which() -> None:
    assert "alice is not in site.users" in agreed({"paths": {"/a": {"users": ["alice"]}}})
    assert "site.client_ca" in agreed({"paths": {"/a": {"client_certificate": True}}})
    assert "inside the files of /static/" in agreed({"paths": {"/static/x": {"users": ["alice"]}}, "users": PEOPLE}, ("/static/",))
    assert agreed({"paths": {"/a": {"users": ["alice"], "client_certificate": True}, "/static": {"hidden": True}}, "users": PEOPLE,
                   "client_ca": "/x"}, ("/static/", "/a/static/")) == ""
