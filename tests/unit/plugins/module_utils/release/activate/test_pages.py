"""The pages of a new instance are fetched once; conflicts with the policy are reported with the setting to write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.health import follow
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.pages import METHODS, MOST_PAGES, Pages, Report, links
from ansible_collections.bulwark.flask.tests.unit.checkout import ROOT

STRICT = {"default-src": ["'none'"], "script-src": ["'self'"], "style-src": ["'self'"]}
HTML = {"content-type": "text/html; charset=utf-8"}


class Site:
    """An application by its responses; keeps which paths were asked for."""

    def __init__(self, responses: Mapping[str, tuple[int, Mapping[str, str], str]]) -> None:
        self.responses, self.asked = responses, []

    def fetch(self, path: str) -> tuple[int, Mapping[str, str], str]:
        self.asked.append(path)
        return self.responses.get(path, (404, HTML, ""))


def look(site: Site, source: Path) -> Report:
    return Pages(site.fetch, "shop.example.com", STRICT).look(source)


def test_pages_that_are_linked_from_the_front_page_on_are_fetched_once(tmp_path: Path) -> None:
    front = '<a href="/a">a</a><a href="/a#part">a</a><a href="b?x=1">b</a><a href="https://other.example/">o</a><a href="mailto:x@y">m</a>'
    site = Site({"/": (200, HTML, front), "/a": (200, HTML, '<a href="/c">c</a>'), "/b?x=1": (500, HTML, "")})
    report = look(site, tmp_path)
    assert site.asked == ["/", "/a", "/b?x=1", "/c"]
    assert report.pages == [("/", 200), ("/a", 200), ("/b?x=1", 500), ("/c", 404)]
    assert report.lines() == ["Of 4 pages that were fetched, /b?x=1 has status 500, /c has status 404"]


def test_a_hidden_path_that_is_linked_is_told_with_its_setting(tmp_path: Path) -> None:
    site = Site({"/": (302, {"location": "/.web"}, ""), "/.web": (200, HTML, '<a href="/.web/x?y=/.z">a</a><a href="/.well-known/b">b</a>'),
                 "/.web/x?y=/.z": (200, HTML, ""), "/.well-known/b": (200, HTML, "")})
    assert look(site, tmp_path).lines() == ["nginx serves /.web only with nginx_site: {paths: {/.web: {hidden: true}}}"]


def test_methods_that_the_site_refuses_are_told_with_their_setting() -> None:
    line = "nginx serves MKCOL, PROPFIND only with nginx_site: {paths: {/: {methods: [GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, MKCOL, PROPFIND]}}}"
    assert Report(methods=["GET", "MKCOL", "OPTIONS", "PROPFIND", "TRACE"]).lines() == [line]
    assert Report(methods=["GET", "HEAD", "OPTIONS"]).lines() == []
    assert yaml.safe_load((ROOT / "roles/nginx_site/vars/main.yml").read_text())["__nginx_site_methods"] == METHODS


def test_a_page_without_a_response_hides_no_conflict(tmp_path: Path) -> None:
    class Slow(Site):
        def fetch(self, path: str) -> tuple[int, Mapping[str, str], str]:
            if path == "/slow":
                raise TimeoutError
            return super().fetch(path)
    (tmp_path / "page.html").write_text("<script>x()</script>")
    report = look(Slow({"/": (200, HTML, '<a href="/slow">a</a><a href="/b">b</a>')}), tmp_path)
    assert report.lines()[0] == "Of 2 pages that were fetched, /slow gives no response"
    assert report.stopped == ["page.html:1 inline script"]


def test_a_style_that_a_script_adds_is_reported_also_where_another_script_imports_it(tmp_path: Path) -> None:
    script = {"content-type": "text/javascript; charset=utf-8"}
    site = Site({"/": (200, HTML, '<script type="module" src="/static/app.js?v=1"></script>'),
                 "/static/app.js?v=1": (200, script, 'import{a}from"./chunk.js";import "../plain.js"'),
                 "/static/chunk.js": (200, script, "a()\nthis.tag = doc.createElement('style')"),
                 "/plain.js": (200, script, "p.style.color = 'red'; document.createElement('styled-menu')")})
    report = look(site, tmp_path)
    assert site.asked == ["/", "/static/app.js?v=1", "/static/chunk.js", "/plain.js"]
    assert report.stopped == ["/static/chunk.js:2 style that a script adds"]
    assert report.needed == {"style-src": ["'self'", "'unsafe-inline'"]}
    assert report.pages == [("/", 200)]


def test_links_that_end_a_session_are_not_followed() -> None:
    html = "".join(f'<a href="{path}">x</a>' for path in ("/logout", "/post/1/delete", "/auth/sign-out", "/kept"))
    assert links(html, "/", "shop.example.com") == ["/kept"]


def test_never_more_pages_than_are_allowed(tmp_path: Path) -> None:
    site = Site({"/": (200, HTML, "".join(f'<a href="/{n}">x</a>' for n in range(100)))})
    look(site, tmp_path)
    assert len(site.asked) == MOST_PAGES + 1


def test_pages_that_lead_to_the_same_one_come_to_an_end(tmp_path: Path) -> None:
    front = "".join(f'<a href="/{n}">x</a>' for n in range(500))
    site = Site({"/": (200, HTML, front), "/login": (200, HTML, ""), **{f"/{n}": (302, {"location": "/login"}, "") for n in range(500)}})
    assert look(site, tmp_path).pages == [("/", 200), ("/login", 200)] and len(site.asked) < 5 * MOST_PAGES


def test_templates_of_packages_that_serve_pages_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "venv/lib/site-packages/panel/templates/v4"
    (folder / "admin").mkdir(parents=True)
    (folder / "admin/list.html").write_text('<button onclick="go()">')
    (tmp_path / "src").mkdir()
    report = Pages(Site({}).fetch, "shop.example.com", STRICT).look(tmp_path / "src", [folder])
    assert report.stopped == ["panel/templates/v4/admin/list.html:1 event handler onclick"]


def test_redirects_are_followed_on_the_same_host_and_come_to_an_end(tmp_path: Path) -> None:
    site = Site({"/": (302, {"location": "/login"}, ""), "/login": (200, HTML, ""), "/loop": (302, {"location": "/loop"}, "")})
    assert look(site, tmp_path).pages == [("/login", 200)]
    assert follow(site.fetch, "/loop", "shop.example.com")[1] == 302
    away = Site({"/": (302, {"location": "https://login.example.org/"}, "")})
    assert look(away, tmp_path).pages == [("/", 302)]


def test_conflicts_with_the_policy_are_reported_once_with_the_setting_to_write(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "base.html").write_text("<title>x</title>\n<style>p {}</style>\n<script>run()</script>")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "page.html").write_text("<script>test()</script>")
    site = Site({"/": (200, HTML, "<style>p {}</style>\n<script>run()</script>")})
    report = look(site, tmp_path)
    assert report.stopped == ["templates/base.html:2 inline style", "templates/base.html:3 inline script", "/ inline style", "/ inline script"]
    (line,) = report.lines()
    assert "nginx_site: {csp: {script-src: [\"'self'\", \"'sha256-" in line
    assert "style-src: [\"'self'\", \"'unsafe-inline'\"]" in line


@pytest.mark.parametrize("header", [{"content-security-policy": "default-src *"}, {"content-type": "application/json"}])
def test_an_applications_own_policy_and_responses_other_than_pages_are_not_checked(tmp_path: Path, header: dict[str, str]) -> None:
    site = Site({"/": (200, {**HTML, **header}, "<script>run()</script>")})
    assert look(site, tmp_path).stopped == []


def test_an_application_that_refuses_its_own_domain_is_told() -> None:
    assert "ALLOWED_HOSTS" in "\n".join(Report([("/", 400)]).lines())
    assert "ALLOWED_HOSTS" not in "\n".join(Report([("/", 200), ("/search", 400)]).lines())
