"""Third-party applications work behind the default limits and headers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from host.plugin import Server
from scanners import Scanners

# Requests with curl, the final status, and a part of the response.
HTTPBIN = {
    "front page": ("/", 200, "httpbin"),
    "get": ("/get?a=1&b=two", 200, '"b": "two"'),
    "form": ("/post --data name=Ann --data city=Oslo", 200, '"city": "Oslo"'),
    "json": ("""/post --header content-type:application/json --data '{"n":[1,2]}'""", 200, '"n": ['),
    "multipart": ("/post --form file=@/etc/hostname --form note=x", 200, '"note": "x"'),
    "put": ("/put --request PUT --data x=1", 200, '"x": "1"'),
    "patch": ("/patch --request PATCH --data x=1", 200, '"x": "1"'),
    "delete": ("/delete --request DELETE", 200, '"url"'),
    "preflight": ("/get --request OPTIONS --include --header Origin:https://other.example", 200, "access-control-allow-methods"),
    "headers": ("/headers --header X-Mine:yes", 200, '"X-Mine": "yes"'),
    "anything": ("/anything/a%20b?x=%C3%A9", 200, '"x": "\\u00e9"'),
    "redirects": ("/redirect/5 --location", 200, "/get"),
    "absolute redirects": ("/absolute-redirect/3 --location", 200, "/get"),
    "redirect elsewhere": ("/redirect-to?url=/uuid --location", 200, "uuid"),
    "cookies": ("/cookies/set?flavour=plain --location --cookie ''", 200, '"flavour": "plain"'),
    "a cookie of the client": ("/cookies --cookie flavour=oat", 200, '"flavour": "oat"'),
    "basic auth": ("/basic-auth/ann/pw --user ann:pw", 200, '"authenticated": true'),
    "basic auth, wrong": ("/basic-auth/ann/pw --user ann:no", 401, ""),
    "bearer": ("/bearer --header 'Authorization: Bearer abc'", 200, '"token": "abc"'),
    "digest auth": ("/digest-auth/auth/ann/pw --digest --user ann:pw --cookie ''", 200, '"authenticated": true'),
    "digest auth, SHA-256": ("/digest-auth/auth/ann/pw/SHA-256 --digest --user ann:pw --cookie ''", 200, '"authenticated": true'),
    "gzip": ("/gzip --compressed", 200, '"gzipped": true'),
    "deflate": ("/deflate --compressed", 200, '"deflated": true'),
    "brotli": ("/brotli --compressed", 200, '"brotli": true'),
    "stream": ("/stream/20", 200, '"id": 19'),
    "delay": ("/delay/3", 200, '"url"'),
    "drip": ("/drip?duration=2&numbytes=5", 200, "*****"),
    "range": ("/range/1024 --range 10-19", 206, "klmnopqrst"),
    "cache": ("/cache --header If-None-Match:x", 304, ""),
    "etag": ("/etag/abc --header 'If-None-Match: \"abc\"'", 304, ""),
    "status 418": ("/status/418", 418, "teapot"),
    "status 404": ("/status/404", 404, ""),
    "status 500": ("/status/500", 500, ""),
    "status 503": ("/status/503", 503, ""),
    "headers of the answer": ("/response-headers?X-Hers=1 --include", 200, "x-hers: 1"),
    "utf-8": ("/encoding/utf8", 200, "∮"),
    "html": ("/html", 200, "Herman Melville"),
    "xml": ("/xml", 200, "<slideshow"),
    "json document": ("/json", 200, "slideshow"),
    "robots": ("/robots.txt", 200, "Disallow"),
    "links": ("/links/10/0", 200, "/links/10/9"),
    "image": ("/image/png", 200, "PNG"),
    "image by type": ("/image --header Accept:image/webp", 200, "WEBP"),
    "base64": ("/base64/aGVsbG8=", 200, "hello"),
    "a form of a page": ("/forms/post", 200, "<form"),
}


@pytest.mark.parametrize("name", HTTPBIN)
def test_httpbin_works(server: Server, name: str, scanners: Callable[..., Scanners]) -> None:
    arguments, status, piece = HTTPBIN[name]
    answered, body = scanners(server).curl("httpbin", arguments)
    assert (answered, piece in body) == (status, True), body[:400]


@pytest.mark.parametrize(("megabytes", "status"), [(1, 200), (50, 200), (61, 413)])
def test_an_upload_is_accepted_up_to_the_limit(server: Server, megabytes: int, status: int, scanners: Callable[..., Scanners]) -> None:
    s = scanners(server)
    s.scan(f"truncate --size {megabytes}M /tmp/upload")
    assert s.curl("httpbin", "/status/200 --request PUT --header Expect: --upload-file /tmp/upload")[0] == status


def test_a_response_of_half_a_minute_is_not_cut(server: Server, scanners: Callable[..., Scanners]) -> None:
    status, body = scanners(server).curl("httpbin", "/drip?duration=30&numbytes=30&delay=0")
    assert (status, body) == (200, "*" * 30)


def test_a_page_with_a_hundred_assets_is_not_limited(server: Server, scanners: Callable[..., Scanners]) -> None:
    assert scanners(server).many("shop", "/static/shop.css", 100) == {"2 200": 100}


def test_ihatemoney_works_in_a_browser(server: Server, scanners: Callable[..., Scanners]) -> None:
    found = scanners(server).browse("money")
    assert found["done"] == ["sign-up", "members", "a bill", "sign-out", "sign-in"], found
    assert found["console"] == [], found["console"]
