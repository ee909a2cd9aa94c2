"""Responses that nginx keeps: for whom, for how long, and which ones never."""

from __future__ import annotations

import secrets
import time
from typing import Any

import pytest
from host.waiting import wait_until
from requests_sent import new_client


def page(site: Any, path: str, **headers: str) -> bytes:
    """The body of a page; the application makes another one for each request."""
    answer = site.get(path, headers={**new_client(), **headers})
    assert answer.status == 200, answer.body
    return bytes(answer.body)


def test_anonymous_clients_share_a_response_until_its_seconds_are_over(proxied: Any) -> None:
    path = f"/news/{secrets.token_hex(4)}"
    first = page(proxied, path)
    assert page(proxied, path) == first
    assert page(proxied, f"{path}?page=2") != first
    time.sleep(2.5)
    assert page(proxied, path) == first, "a client waits for the renewal"
    wait_until(lambda: page(proxied, path) != first, 10, "the renewed response")


@pytest.mark.parametrize("header", [{"Cookie": "session=mine"}, {"Authorization": "Bearer mine"}])
def test_a_client_that_the_application_may_know_neither_gets_nor_leaves_a_response(proxied: Any, header: dict[str, str]) -> None:
    path = f"/news/{secrets.token_hex(4)}"
    own = page(proxied, path, **header)
    first = page(proxied, path)
    assert first != own
    assert page(proxied, path, **header) not in (first, own)
    assert page(proxied, path) == first


@pytest.mark.parametrize("kind", ["personal", "private", "no-store", "max-age=0", "s-maxage=0", "must-revalidate", "expires", "live"])
def test_a_response_that_is_not_for_others_is_not_kept(proxied: Any, kind: str) -> None:
    assert page(proxied, f"/news/{kind}") != page(proxied, f"/news/{kind}")


def test_a_response_in_another_language_is_another_one(proxied: Any) -> None:
    path = f"/news/translated?{secrets.token_hex(4)}"
    german = page(proxied, path, **{"Accept-Language": "de"})
    assert page(proxied, path, **{"Accept-Language": "fr"}) != german
    assert page(proxied, path, **{"Accept-Language": "de"}) == german


def test_the_old_response_is_sent_while_the_application_fails(proxied: Any) -> None:
    kind = secrets.token_hex(4)
    first = page(proxied, f"/news/{kind}")
    assert proxied.get(f"/seen/fails-{kind}", method="POST", headers=new_client()).status == 200
    time.sleep(2.5)
    assert [page(proxied, f"/news/{kind}") for _unused in range(3)] == [first] * 3
    assert proxied.get(f"/news/{kind}?other", headers=new_client()).status == 500


def test_responses_have_the_headers_of_the_site_and_their_own_request_id(proxied: Any) -> None:
    path = f"/news/{secrets.token_hex(4)}"
    answers = [proxied.get(path, headers=new_client()) for _unused in range(2)]
    assert answers[0].body == answers[1].body
    assert len({answer["X-Request-ID"] for answer in answers}) == 2
    assert all(answer["X-Content-Type-Options"] == "nosniff" and answer["Strict-Transport-Security"] for answer in answers)


def test_kept_responses_are_nginxs_alone(proxied: Any) -> None:
    page(proxied, "/news/files")
    found = proxied.ask('''
folder = "/var/lib/nginx/cache/" + GIVEN["app"]
import pwd
print(json.dumps([oct(os.stat(folder).st_mode), pwd.getpwuid(os.stat(folder).st_uid).pw_name, len(os.listdir(folder)) > 0]))
''')
    assert found == ["0o40700", "www-data", True]
