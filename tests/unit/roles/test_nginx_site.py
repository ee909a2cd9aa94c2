"""Rendered sites of nginx_site."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ansible_collections.bulwark.flask.tests.unit.support import FACTS, ROOT, SHOP, render, role_vars

BOOKWORM = FACTS | {"distribution_major_version": "12"}
SECURITY = ("Strict-Transport-Security", "Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options",
            "Referrer-Policy", "Permissions-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy")


def site(app: dict[str, Any] | None = None, facts: dict[str, Any] = FACTS, **section: Any) -> str:
    return render("nginx_site", "site.conf.j2", {**(app or SHOP), "nginx_site": section}, ansible_facts=facts)


def servers(text: str) -> list[str]:
    """The server blocks."""
    return re.findall(r"^server \{\n.*?^\}", text, re.MULTILINE | re.DOTALL)


def values(text: str, name: str) -> list[str]:
    """The arguments of every occurrence of a directive."""
    return re.findall(rf"^\s*{name}\s+([^;]+);", text, re.MULTILINE)


def header_value(text: str, name: str) -> str:
    """The value of a header that the application does not send."""
    key = name.lower().replace("-", "_")
    found = re.search(rf'^map \$upstream_http_{key} \$\w+ {{\n    "" "(.*)";\n    default "";', text, re.MULTILINE)
    assert found, f"{name} has no map"
    return found[1]


def test_there_is_one_server_for_http_one_for_other_names_and_the_site() -> None:
    http, others, main = servers(site())
    assert values(http, "server_name") == ["shop.example.com www.shop.example.com"]
    assert values(others, "server_name") == ["www.shop.example.com"]
    assert values(main, "server_name") == ["shop.example.com"]


def test_one_name_needs_no_server_for_others() -> None:
    assert len(servers(site({**SHOP, "domains": ["shop.example.com"]}))) == 2


@pytest.mark.parametrize(("path", "connection"), [
    ({"body_max_mb": 1}, '""'), ({"response_buffering": False}, "close"), ({"request_buffering": False}, "close"),
    ({"websocket": True}, "$flask_shop_connection")])
def test_a_connection_is_kept_where_no_client_can_delay_its_end(path: dict[str, Any], connection: str) -> None:
    text = site(paths={"/part": path})
    assert f"Connection {connection}" in values(location(text, '~* "^/part'), "proxy_set_header")
    assert 'Connection ""' in values(location(text, "/ "), "proxy_set_header")
    assert values(text, "keepalive_timeout") == ["500ms"]


def test_only_paths_with_cache_seconds_are_cached() -> None:
    text = site(paths={"/news": {"cache_seconds": 7}})
    assert values(location(text, '~* "^/news'), "proxy_cache_valid") == ["200 7s"]
    assert "Cache-Control Expires" in values(location(text, '~* "^/news'), "proxy_ignore_headers")[0]
    assert not values(location(text, "/ "), "proxy_cache") and "Cache-Control" not in values(location(text, "/ "), "proxy_ignore_headers")[0]
    assert '"cache":"$upstream_cache_status"' in text
    assert "cache_status" not in site() and "proxy_cache" not in site()


def test_redirects_keep_name_path_and_query_and_then_go_to_the_canonical_name() -> None:
    http, others, _ = servers(site())
    assert values(http, "return") == ["308 https://$host$request_uri"]
    assert values(others, "return") == ["308 https://shop.example.com$request_uri"]


def test_another_port_is_in_redirects_and_in_the_host_header() -> None:
    http, others, main = servers(site(redirect_port=8443))
    assert values(http, "return") == ["308 https://$host:8443$request_uri"]
    assert values(others, "return") == ["308 https://shop.example.com:8443$request_uri"]
    assert "Host $host:8443" in values(main, "proxy_set_header")


def test_challenges_are_served_before_the_redirect() -> None:
    assert "location ^~ /.well-known/acme-challenge/ {" in servers(site())[0]


def test_http2_is_written_as_each_nginx_wants_it() -> None:
    new, old = site(), site(facts=BOOKWORM)
    assert new.count("http2 on;") == 2 and "ssl http2" not in new
    assert old.count("listen 443 ssl http2;") == 2 and "http2 on" not in old


def test_a_host_without_ipv6_listens_on_ipv4_only() -> None:
    assert "[::]" not in site(facts=FACTS | {"lo": {"device": "lo"}})
    assert "[::]" not in site(ipv6=False)
    assert "listen [::]:443 ssl;" in site()


@pytest.mark.parametrize("name", SECURITY)
def test_every_server_sends_the_header_whatever_the_status(name: str) -> None:
    http, others, main = servers(site())
    for server in (others, main) if name == "Strict-Transport-Security" else (http, others, main):
        assert len(re.findall(rf"^    add_header {name} \$\w+ always;$", server, re.MULTILINE)) == 1
    assert header_value(site(), name)


def test_no_location_has_an_add_header_that_would_drop_the_others() -> None:
    text = site(rate_per_second=5)
    assert not re.search(r"^        +add_header", text, re.MULTILINE)


def test_hsts_is_not_sent_in_the_clear() -> None:
    assert "Strict-Transport-Security" not in servers(site())[0]


def test_hsts_has_the_configured_values() -> None:
    assert header_value(site(), "Strict-Transport-Security") == "max-age=63072000"
    chosen = site(hsts_seconds=300, hsts_subdomains=True, hsts_preload=True)
    assert header_value(chosen, "Strict-Transport-Security") == "max-age=300; includeSubDomains; preload"


def test_the_policy_is_strict_and_changes_directive_by_directive() -> None:
    strict = header_value(site(), "Content-Security-Policy")
    assert strict.startswith("default-src 'none'; script-src 'self'; ") and "frame-ancestors 'none'" in strict and "unsafe" not in strict
    opened = header_value(site(csp={"script-src": ["'self'", "https://cdn.example.com"], "img-src": ["*"]}),
                          "Content-Security-Policy")
    assert "; script-src 'self' https://cdn.example.com" in opened
    assert "img-src *;" in opened and "data:" not in opened
    assert opened.startswith("default-src 'none'; ")


def test_pages_that_contradict_the_strict_policy_get_the_compatible_one_until_the_operator_decides() -> None:
    def header(name: str, **section: Any) -> str:
        text = render("nginx_site", "site.conf.j2", {**SHOP, "nginx_site": section}, ansible_facts=FACTS,
                      flask_app_csp_conflicts={"shop": ["templates/base.html:5 inline script"], "other": []})
        return header_value(text, name)

    compatible = header("Content-Security-Policy")
    assert "script-src 'self' https: blob: 'unsafe-inline' 'unsafe-eval'" in compatible and "object-src 'none'" in compatible
    # Browsers print an error where a report-only policy has it.
    assert compatible.endswith("upgrade-insecure-requests") and "upgrade" not in header("Content-Security-Policy-Report-Only")
    assert header("X-Frame-Options") == "SAMEORIGIN"
    assert header("Content-Security-Policy-Report-Only").startswith("default-src 'none'")
    assert header("Content-Security-Policy", csp="strict").startswith("default-src 'none'")
    assert "unsafe" not in header("Content-Security-Policy", csp={"img-src": ["*"]})


def test_a_policy_can_be_given_by_name() -> None:
    assert "'unsafe-inline'" in header_value(site(csp="compatible"), "Content-Security-Policy")
    assert "Content-Security-Policy" not in site(csp="off")


def test_headers_are_added_replaced_and_left_out() -> None:
    text = site(headers={"X-Frame-Options": "", "Referrer-Policy": "same-origin", "X-Robots-Tag": 'say "no" \\'})
    assert "X-Frame-Options" not in text
    assert header_value(text, "Referrer-Policy") == "same-origin"
    assert header_value(text, "X-Robots-Tag") == 'say \\"no\\" \\\\'


@pytest.mark.parametrize("name", [
    "Forwarded", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Ssl", "X-Forwarded-Protocol",
    "X-Forwarded-Scheme", "X-Real-Ip", "X-Original-Url", "X-Rewrite-Url", "Script-Name", "X-Client-Ip", "True-Client-Ip",
    "Cf-Connecting-Ip", "Proxy", "Remote-User"])
def test_headers_forged_by_a_client_do_not_reach_the_application(name: str) -> None:
    assert f'{name} ""' in values(servers(site())[-1], "proxy_set_header")


def test_the_application_gets_address_scheme_and_request_id_from_nginx() -> None:
    headers = values(servers(site())[-1], "proxy_set_header")
    assert {"Host $host", "X-Forwarded-For $remote_addr", "X-Forwarded-Proto $scheme", "X-Request-ID $request_id"} <= set(headers)


def test_limits_are_for_the_application_and_not_for_files() -> None:
    main = servers(site())[-1]
    static, application = main[main.index("location ^~ /static/"):].split("    location / {")
    assert "limit_" not in static
    assert values(application, "limit_req") == ["zone=flask_shop_rate burst=100 nodelay"]
    assert values(application, "limit_conn") == ["flask_shop_connections 100"]
    assert values(main, "limit_req_status") == ["429"]


def test_limits_can_be_switched_off() -> None:
    text = site(rate_per_second=0, connections_per_client=0)
    assert "limit_req " not in text and "limit_conn " not in text and "_zone" not in text


def test_static_files_come_from_the_live_release() -> None:
    static = site()[site().index("location ^~ /static/"):]
    assert values(static, "root")[0] == "/srv/shop/current/release/static"
    assert values(static, "root")[0] and "if ($flask_shop_hidden) {" in static.partition("root ")[0]


def test_no_line_of_the_access_log_holds_a_secret() -> None:
    text = site()
    template = "".join(re.findall(r"'(.*)'", text[text.index("log_format"):text.index("map ")]))
    line = json.loads(re.sub(r"\$\w+", "x", template))
    assert list(line)[:6] == ["time", "level", "source", "application", "request_id", "message"]
    assert {"client", "method", "host", "path", "status", "app_seconds", "agent"} <= set(line)
    used = set(re.findall(r"\$(\w+)", template))
    assert not used & {"request", "request_uri", "uri", "args", "query_string", "http_referer", "http_cookie",
                       "http_authorization", "remote_user", "http_user_agent"}


def mapped(text: str, name: str, value: str) -> str:
    """The result of a map of the log format for a value."""
    block = re.search(rf"^map \S+ \$flask_shop_{name} {{\n(.*?)^}}", text, re.MULTILINE | re.DOTALL)
    assert block
    for pattern, _, result in re.findall(r'^ +"?~(.*?)("?) "?([^";]*)"?;$', block[1], re.MULTILINE):
        if found := re.search(re.sub(r"\(\?<", "(?P<", pattern), value):
            return re.sub(r"\$(\w+)", lambda variable: found[variable[1]], result)
    return value if "default $" in block[1] else ""


@pytest.mark.parametrize(("raw", "logged"), [
    ("/a/b?token=1", "/a/b"), ("/a#b", "/a"), ("?x", ""), ("/%C3%A9?x", "/%C3%A9"), ("/é?x", "/[cut]"), ("/a\x1b[31m/b?x", "/a[cut]"),
    ('/a"b\\c', '/a"b\\c'), ("/a\x7fb", "/a[cut]"), ("/" + "x" * 3000 + "?t=1", "/" + "x" * 1999 + "[cut]"), ("/a?b\xff", "/a")])
def test_paths_are_logged_without_query_and_as_plain_text(raw: str, logged: str) -> None:
    assert mapped(site(), "path", raw) == logged


@pytest.mark.parametrize(("raw", "logged"), [
    ("https://a.example/b?t=1", "https://a.example/b"), ("https://a.example:8443", "https://a.example:8443"),
    ("https://a.example?t=1", "https://a.example"), ("https://user:word@a.example/b", ""), ("https://a.example/b\u2028c", "https://a.example/b[cut]"),
    ("android-app://x/y?z", ""), ("token", ""), ("https://[2001:db8::1]/x#y", "https://[2001:db8::1]/x")])
def test_referers_are_logged_without_query_and_name_and_password(raw: str, logged: str) -> None:
    assert mapped(site(), "referer", raw) == logged


@pytest.mark.parametrize(("address", "logged"), [
    ("192.0.2.77", "192.0.2.0"), ("::ffff:192.0.2.77", "::ffff:192.0.2.0"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
    ("2001:db8::7", "2001:db8::"), ("2001:db8:1::7", "2001:db8:1::"), ("2001::7", "2001::"), ("::1", "::"), ("fe80::1:2:3:4", "fe80::"),
    ("unix:", "")])
def test_addresses_of_clients_can_be_logged_as_networks(address: str, logged: str) -> None:
    assert mapped(site(log_client="network"), "client", address) == logged
    assert mapped(site(), "client", address) == address


def test_query_parameters_are_logged_by_name() -> None:
    text = site(log_parameters=["page", "sort_by"])
    template = "".join(re.findall(r"'(.*)'", text[text.index("log_format"):text.index("map ")]))
    assert json.loads(re.sub(r"\$(\w+)", r"\1", template))["query"] == {"page": "flask_shop_q1", "sort_by": "flask_shop_q2"}
    assert "map $arg_page $flask_shop_q1 {" in text and "map $arg_sort_by $flask_shop_q2 {" in text
    assert mapped(text, "q2", "a\x1bb") == "a[cut]"
    assert "query" not in re.findall(r"'(.*)'", site())[0]


def test_the_error_log_quotes_no_request_by_default() -> None:
    assert values(site(), "error_log") == ["/var/log/nginx/shop/error.log emerg"] * 3
    assert values(site(error_log_level="error"), "error_log")[0].endswith(" error")


def test_two_applications_share_no_name() -> None:
    other = site({**SHOP, "name": "my-blog", "domains": ["blog.example.com"]})
    names = [set(re.findall(r"(?:zone=|^upstream |^log_format |^map (?:\S+ )*?(?=\$\w+ \{))(\S+?)[: ]", text, re.MULTILINE)) - {"{"}
             for text in (site(), other)]
    assert all(names) and not names[0] & names[1]
    assert "flask_my_blog" in other and "flask_my-blog" not in other


def test_names_of_variables_fit_into_nginx_default_hash_for_the_longest_name() -> None:
    text = site({**SHOP, "name": "a" * 25})
    assert max(len(name) for name in re.findall(r"\$(\w+)", text)) <= 46


def test_names_of_captures_fit_into_debian_12s_pcre2_for_the_longest_name() -> None:
    text = site({**SHOP, "name": "a" * 25}, log_parameters=["page"] * 99, log_client="network", csp_reports=True)
    captures = re.findall(r"\(\?<(\w+)>", text)
    assert {"flask__t", "flask__net", "flask__b", "flask__q99k"} <= set(captures)
    assert max(map(len, captures)) <= 32


def test_cookies_get_secure_and_the_configured_flags() -> None:
    assert values(site(), "proxy_cookie_flags") == ["~ secure"]
    chosen = site(cookie_flags={"session": ["secure", "httponly", "samesite=lax"]})
    assert values(chosen, "proxy_cookie_flags") == ["session secure httponly samesite=lax"]


def test_responses_of_the_application_are_not_compressed_by_default() -> None:
    assert values(site(), "gzip") == ["off"]
    assert values(site(gzip_responses=True), "gzip") == ["on"]


def test_paths_follow_the_name_and_can_be_chosen() -> None:
    assert role_vars("nginx_site")["nginx_site_certificate"] == "/etc/ssl/acme-cert/shop"
    text = site(certificate="/etc/ssl/mine", current="/opt/x")
    assert "ssl_certificate /etc/ssl/mine/fullchain.pem;" in text
    assert "server unix:/opt/x/gunicorn.sock max_fails=0;" in text


# --- paths ---------------------------------------------------------------------------------------
PATHS = {"/login": {"rate_per_minute": 6, "rate_burst": 2, "methods": ["GET", "POST"]}, "/admin": {"allow": ["192.0.2.0/24"], "users": ["alice"]},
         "/admin/sub": {"client_certificate": True}, "/ws": {"websocket": True}, "/up": {"request_buffering": False, "connections_per_client": 3}}
MORE = {"paths": PATHS, "users": {"alice": "$6$salt$hash", "bob": "$6$salt$other"}, "client_ca": "/etc/ssl/people.pem"}


def location(text: str, begin: str) -> str:
    """One location of the site."""
    found = re.search(rf"^    location {re.escape(begin)}.*?^    }}", servers(text)[-1], re.MULTILINE | re.DOTALL)
    assert found, begin
    return found[0]


def test_paths_come_before_the_rest_and_inner_ones_before_outer_ones() -> None:
    found = re.findall(r"^    location (.*) \{", servers(site(**MORE))[-1], re.MULTILINE)
    assert found.index('~* "^/admin/sub(?![A-Za-z0-9_-])"') < found.index('~* "^/admin(?![A-Za-z0-9_-])"') < found.index("/") == len(found) - 1


def test_every_location_of_the_application_removes_forged_headers_and_has_the_refusals() -> None:
    main = servers(site(**MORE))[-1]
    for begin in ("/ {", '~* "^/login', '~* "^/admin(', '~* "^/admin/sub', '~* "^/ws', '~* "^/up'):
        block = location(main, begin)
        assert 'proxy_set_header X-Real-Ip "";' in block and "$flask_shop_hidden" in block and "$request_method !~" in block
        assert len(values(block, "limit_req")) == len(values(block, "limit_conn")) == 1


def test_access_to_a_path_includes_only_paths_below_it() -> None:
    text = site(**MORE)
    for begin in ('~* "^/admin(', '~* "^/admin/sub'):
        assert values(location(text, begin), "allow") == ["192.0.2.0/24"] and "deny all;" in location(text, begin)
        assert values(location(text, begin), "auth_basic_user_file") == ["/etc/nginx/users/shop/alice"]
    assert "$ssl_client_verify" in location(text, '~* "^/admin/sub') and "$ssl_client_verify" not in location(text, '~* "^/admin(')
    assert "ssl_verify_client" not in site(paths={"/ws": {"websocket": True}})


def test_a_path_has_limits_of_its_own() -> None:
    text = site(**MORE)
    assert "limit_req_zone $flask_shop_who zone=flask_shop_rate1:10m rate=6r/m;" in text
    assert values(location(text, '~* "^/login'), "limit_req") == ["zone=flask_shop_rate1 burst=2 nodelay"]
    assert values(location(text, '~* "^/up'), "limit_conn") == ["flask_shop_connections5 3"]
    assert values(location(text, "/ {"), "limit_req") == ["zone=flask_shop_rate burst=100 nodelay"]


def test_only_paths_that_set_it_are_upgraded_or_streamed() -> None:
    text = site(**MORE)
    assert text.count("proxy_set_header Upgrade $flask_shop_upgrade;") == 1 and "Upgrade" in location(text, '~* "^/ws')
    assert text.count("proxy_request_buffering off;") == 1 and "proxy_buffering off" not in text
    assert "$http_upgrade" not in site()


def test_only_declared_proxies_are_trusted() -> None:
    assert "real_ip" not in site()
    text = site(proxies={"addresses": ["192.0.2.0/24"], "header": "X-Edge-Client"})
    assert values(text, "set_real_ip_from") == ["192.0.2.0/24"] * 3 and values(text, "real_ip_header") == ["X-Edge-Client"] * 3
    assert 'X-Edge-Client ""' in values(text, "proxy_set_header")


def test_passwords_are_in_files_for_nginx_alone_and_not_in_the_site() -> None:
    files = role_vars("nginx_site", {**SHOP, "nginx_site": MORE})["__nginx_site_user_files"]
    assert [(one["dest"], one["mode"], one.get("sensitive")) for one in files] == [
        ("/etc/nginx/users", "0750", None), ("/etc/nginx/users/shop", "0750", None), ("/etc/nginx/users/shop/alice", "0640", True)]
    assert files[2]["content"] == "alice:$6$salt$hash\n" and "$6$" not in site(**MORE)
    assert role_vars("nginx_site")["__nginx_site_user_files"] == []


def test_a_report_only_policy_is_sent_beside_the_enforced_one() -> None:
    assert "Report-Only" not in site()
    text = site(csp_report_only={"script-src": ["'none'"]})
    assert "script-src 'none'" in header_value(text, "Content-Security-Policy-Report-Only")
    assert "script-src 'self'" in header_value(text, "Content-Security-Policy")


# --- files ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(("path", "forever"), [
    ("/static/app.3f2a9c1b.js", True), ("/static/app-3f2a9c1b2d.min.css", True), ("/static/a/3f2a9c1b.js.map", True), ("/static/b/x.js", True),
    ("/static/report-20260131.pdf", False), ("/static/facade2020.jpg", False), ("/static/page.css", False), ("/static/x/b/x.js", False),
    ("/static/3f2a9c1b", False), ("/static/defaced.css", False)])
def test_files_with_a_hash_in_their_name_are_immutable(path: str, forever: bool) -> None:
    text = site(static_immutable=["/static/b/"], static_cache_seconds=60)
    block = re.search(r"^map \$uri \$flask_shop_cache {\n(.*?)^}", text, re.MULTILINE | re.DOTALL)
    assert block
    for pattern, value in re.findall(r'^    "~(.*)" "(.*)";$', block[1], re.MULTILINE):
        if re.search(pattern, path):
            assert value == ("max-age=31536000, immutable" if forever else "max-age=60")
            return
    pytest.fail("a file that is kept for no time")


def test_what_nginx_knows_of_a_file_is_a_second_old_at_most() -> None:
    text = servers(site())[-1]
    assert values(text, "open_file_cache_valid") == ["1s"], "an activation would take longer to reach files, and maintenance to begin"
    assert values(text, "open_file_cache_errors") == ["on"]
    assert text.index("open_file_cache") < text.index("if (-f")


def test_requests_for_files_are_logged_by_choice() -> None:
    assert "access_log" not in location(site(), "^~ /static/")
    text = site(log_files=False)
    assert values(location(text, "^~ /static/"), "access_log") == ["/var/log/nginx/shop/access.log flask_shop if=$flask_shop_failed"]
    assert [mapped(text, "failed", status) for status in ("200", "304", "404", "503")] == ["", "", "1", "1"]
    assert "access_log" not in location(text, "/ {")


def test_no_link_among_files_is_followed() -> None:
    assert values(location(site(), "^~ /static/"), "disable_symlinks") == ["on from=$document_root"]


def test_brotli_takes_the_place_of_files_compressed_with_gzip() -> None:
    assert "brotli" not in site() and values(location(site(), "^~ /static/"), "gzip_static") == ["on"]
    text = site(brotli=True)
    assert "gzip_static" not in text
    assert values(location(text, "^~ /static/"), "brotli") == ["on"] and "brotli_static" not in text
    assert values(location(text, "/ {"), "brotli") == ["off"] and values(location(site(brotli=True, gzip_responses=True), "/ {"), "brotli") == ["on"]


def test_http3_is_offered_where_nginx_has_it() -> None:
    text = site(http3=True, redirect_port=8443)
    assert text.count("listen 443 quic;") == text.count("listen [::]:443 quic;") == 2
    assert text.count("add_header Alt-Svc 'h3=\":8443\"; ma=86400' always;") == 2
    assert "quic" not in site(http3=True, facts=BOOKWORM) and "Alt-Svc" not in site(http3=True, facts=BOOKWORM) and "quic" not in site()


# -- TLS


def test_a_second_certificate_is_named_after_the_first_where_there_is_one() -> None:
    for server in servers(render("nginx_site", "site.conf.j2", {**SHOP, "acme_cert": {"rsa_certificate": True}}))[1:]:
        assert values(server, "ssl_certificate") == [f"/etc/ssl/acme-cert/{name}/fullchain.pem" for name in ("shop", "shop.rsa")]
        assert values(server, "ssl_certificate_key") == [f"/etc/ssl/acme-cert/{name}/privkey.pem" for name in ("shop", "shop.rsa")]
    assert "rsa" not in site()


def test_the_site_accepts_connections_that_were_opened_for_its_own_names() -> None:
    text = site({**SHOP, "domains": ["shop.example.com", "*.shop.example.com"]})
    accepted = re.search(r"map \$ssl_server_name \$(\w+) \{\n(.*?)\n\}", text, re.DOTALL)
    assert [line.strip() for line in accepted[2].splitlines()] == ["hostnames;", "default 0;", "shop.example.com 1;", "*.shop.example.com 1;"]
    assert f"if (${accepted[1]} = 0) {{\n        return 421;" in servers(text)[-1]
    assert '"" 1;' in site({**SHOP, "domains": ["192.0.2.1"]})


def test_a_modern_site_has_no_cipher_for_tls_1_2_and_changes_no_other_site() -> None:
    text = site(tls_profile="modern")
    assert values(text, "ssl_protocols") == []
    assert values(text, "ssl_ciphers") == ["PSK-CHACHA20-POLY1305"] * 2
    assert values(site(), "ssl_ciphers") == []


def test_an_address_is_in_url_form_and_its_site_is_the_default_server() -> None:
    def listens(*domains: str) -> list[list[str]]:
        return [values(server, "listen") for server in servers(site({**SHOP, "domains": list(domains)}, http3=True))[1:]]
    assert listens("shop.example.com", "1.example.com") == [["443 ssl", "[::]:443 ssl", "443 quic", "[::]:443 quic"]] * 2
    others, main = listens("shop.example.com", "192.0.2.1", "2001:db8::1")
    assert all(listen.endswith(" default_server") for listen in others) and not [listen for listen in main if "default_server" in listen]
    (main,) = listens("192.0.2.1")
    assert main == ["443 ssl default_server", "[::]:443 ssl", "443 quic default_server", "[::]:443 quic"]
    text = site({**SHOP, "domains": ["2001:db8::1", "shop.example.com"]})
    assert values(text, "server_name") == ["[2001:db8::1] shop.example.com", "shop.example.com", "[2001:db8::1]"]
    assert "return 308 https://[2001:db8::1]$request_uri" in text
    assert servers(text)[2].count("if ($flask_shop_own = 0) {\n        return 444;") == 1 and "shop_own" not in servers(text)[1]
    assert "hostnames;\n    default 0;\n    [2001:db8::1] 1;\n    shop.example.com 1;\n" in text and "shop_own" not in site()


def test_an_overlay_adds_locations_with_the_same_limits_and_headers() -> None:
    overlay = ROOT / "templates/nginx_site_example.conf.j2"
    text = render("nginx_site", str(overlay), {**SHOP, "nginx_site": {}}, ansible_facts=FACTS)
    main = servers(text)[-1]
    prices = main[main.index("location = /prices {"):main.index("    location / {")]
    assert values(prices, "limit_req") == ["zone=flask_shop_rate burst=100 nodelay"]
    assert values(prices, "proxy_pass") == ["http://flask_shop"]
    assert 'X-Forwarded-Host ""' in values(prices, "proxy_set_header")
    assert "map $http_cf_ipcountry $flask_shop_country {" in text


def test_browsers_report_what_a_policy_blocks_only_where_that_is_asked_for() -> None:
    assert "csp-reports" not in site() and "report-to" not in site()
    text = site(csp_reports=True, csp_report_only={"img-src": ["'self'"]})
    for name in ("Content-Security-Policy", "Content-Security-Policy-Report-Only"):
        assert header_value(text, name).endswith("; report-uri /.well-known/csp-reports; report-to csp")
    assert header_value(text, "Reporting-Endpoints") == r'csp=\"/.well-known/csp-reports\"'
    main = servers(text)[-1]
    assert "location = /.well-known/csp-reports {" in main and values(main, "client_body_buffer_size") == ["16k"]
    assert "/var/log/nginx/shop/csp.log flask_shop_report if=$flask_shop_report" in values(main, "access_log")
    off = site(csp_reports=True, csp="off")
    assert "report-to" not in off
