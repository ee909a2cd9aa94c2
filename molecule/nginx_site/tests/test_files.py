"""Files: caching by name, compression, and HTTP/3."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from requests_sent import STATE, new_client
from testhosts import scenario

# curl's exit status for a failed connection.
NONE = ["0", "000", "none"]
FOREVER = "max-age=31536000, immutable"


# --- how long they are kept ----------------------------------------------------------------------
@pytest.mark.parametrize(("path", "kept"), [
    ("/static/app.3f2a9c1b.js", FOREVER), ("/static/assets/index-BfG3kdQs.js", FOREVER), ("/static/page.css", "max-age=3600"),
    ("/static/report-20260131.css", "max-age=3600"), ("/static/facade2020.css", "max-age=3600")])
def test_files_with_a_hash_in_their_name_are_cached_for_a_year(proxied: Any, path: str, kept: str) -> None:
    answer = proxied.get(path)
    assert answer.status == 200
    assert answer["Cache-Control"] == kept
    again = proxied.get(path, headers={"If-None-Match": answer["ETag"]})
    assert (again.status, again["Cache-Control"]) == (304, kept)


def test_files_that_are_not_for_all_are_kept_by_browsers_only(proxied: Any) -> None:
    assert proxied.get("/office/static/page.css", headers=new_client("198.51.100"))["Cache-Control"] == "private, max-age=3600"


@pytest.mark.parametrize("path", ["/static/no.3f2a9c1b.js", "/heard"])
def test_missing_files_and_pages_get_no_cache_control(proxied: Any, path: str) -> None:
    assert proxied.get(path, headers=new_client()).all("Cache-Control") == []


# --- their log -----------------------------------------------------------------------------------
def test_requests_for_files_are_logged_by_choice(proxied: Any, plain: Any) -> None:
    for site, logged in ((proxied, [True, True]), (plain, [False, True])):
        requests = [site.get(path, headers=new_client())["X-Request-ID"] for path in ("/static/long.css", "/static/no-such-file")]
        log = site.server.host.check_output("cat /var/log/nginx/%s/access.log", site.name)
        assert [request in log for request in requests] == logged


# --- compressed ----------------------------------------------------------------------------------
def test_files_are_compressed_as_a_browser_takes_them(proxied: Any) -> None:
    for accepted, coding in (("gzip", "gzip"), ("gzip, br", "br"), ("identity", None)):
        answer = proxied.get("/static/long.css", headers={"Accept-Encoding": accepted})
        assert answer.all("Content-Encoding") == ([coding] if coding else [])
        assert answer["Vary"] == "Accept-Encoding"
        assert len(answer.body) < 1000 or not coding


def test_files_are_compressed_once_when_the_release_is_built(plain: Any) -> None:
    whole = plain.get("/static/long.css", headers={"Accept-Encoding": "identity"})
    answer = plain.get("/static/long.css", headers={"Accept-Encoding": "gzip, br"})
    assert gzip.decompress(answer.body) == whole.body and answer["Vary"] == "Accept-Encoding"
    # nginx does not know the length of what it compresses itself.
    assert int(answer["Content-Length"]) == len(answer.body) < 1000
    assert answer["Last-Modified"] == whole["Last-Modified"]
    other = plain.get("/static/ready.css", headers={"Accept-Encoding": "gzip, br"})
    assert (gzip.decompress(other.body) if other.all("Content-Encoding") else other.body) == b"/* plain */\n", "a file .gz of another text was sent"


def test_pages_are_not_compressed_with_brotli_either(proxied: Any) -> None:
    answer = proxied.get("/heard", headers=new_client() | {"Accept-Encoding": "gzip, br", "X-Long": "x" * 2000})
    assert len(answer.body) > 2000 and answer.all("Content-Encoding") == []


# --- HTTP/3 --------------------------------------------------------------------------------------
def by_http3(site: Any, path: str) -> list[str]:
    """Version, status and HSTS of an answer, as another host's curl gets it."""
    script = ("cat >/tmp/ca.pem; curl --silent --http3-only --max-time 10 --cacert /tmp/ca.pem --output /dev/null "
              f"--resolve {site.domain}:443:{site.server.target.address} "
              "--write-out '%{http_version} %{response_code} %header{strict-transport-security}' "
              f"https://{site.domain}{path} || echo none")
    return scenario().execute("pebble", script, (STATE / "ca.pem").read_bytes()).split()[-3:]


def test_http3_is_spoken_where_nginx_has_it_and_offered_by_name(proxied: Any) -> None:
    has_it = proxied.server.host.run("nginx -V 2>&1 | grep -q http_v3_module").rc == 0
    assert has_it is (proxied.server.name == "debian13")
    assert proxied.get("/heard", headers=new_client()).all("Alt-Svc") == (['h3=":443"; ma=86400'] if has_it else [])
    assert by_http3(proxied, "/heard") == (["3", "200", "max-age=63072000"] if has_it else NONE)


def test_a_site_without_http3_does_not_serve_it(plain: Any) -> None:
    assert plain.get("/heard").all("Alt-Svc") == []
    assert by_http3(plain, "/heard") == NONE
