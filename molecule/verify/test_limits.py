"""Limits per client: a normal page passes, a flood does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from host.headers import STATIC, assert_hardened
from host.http2 import Client

# They send more requests than a browser, to a site with the default rate.
pytestmark = [
    pytest.mark.intrusive,
    pytest.mark.where(lambda site: site.app.static and site.app.rate_per_second and site.app.connections_per_client),
]

# The limits of the site as the last refused request met them, in its access log.
REFUSED = r'''
lines = open("/var/log/nginx/%s/access.log" % GIVEN["app"], errors="replace").read().splitlines()[-1000:]
refused = [line for line in map(json.loads, lines) if line["status"] == "429"]
print(json.dumps({key: refused[-1][key] for key in ("rate_limit", "connection_limit")} if refused else {}))
'''


@pytest.fixture
def rested(site: Any) -> Any:
    """The site, when it has forgotten what this client asked before."""
    time.sleep(site.app.rate_burst / site.app.rate_per_second + 1)
    return site


def test_a_page_with_sixty_parallel_requests_is_not_limited(rested: Any) -> None:
    with Client(rested) as client:
        assert client.answers(client.send(rested.app.health_path, 60)) == [True] * 60


def test_a_burst_is_refused_with_a_time_to_come_again_and_files_do_not_count(
    rested: Any, remember: Callable[..., Any]
) -> None:
    answered: list[bool] = []
    began = time.monotonic()
    with Client(rested) as client:
        for _ in range(4):
            answered += client.answers(client.send(rested.app.health_path, rested.app.rate_burst // 2))
        allowed = rested.app.rate_burst + 1 + (time.monotonic() - began + 1) * rested.app.rate_per_second
        assert rested.app.rate_burst <= answered.count(True) <= allowed, "the limit is not where it is set"
        assert answered.count(False), "nothing was refused"
        assert rested.ask(REFUSED)["rate_limit"] == "REJECTED"
        # Asked until one is refused: the bucket drains while a connection is made.
        for _ in range(20):
            client.answers(client.send(rested.app.health_path, 50))
            refused = rested.get(rested.app.health_path)
            if refused.status != 200:
                break
        assert refused.status == 429
        assert int(refused["Retry-After"]) > 0
        assert_hardened(rested, refused)
        path = next(iter(remember(rested, STATIC)))
        assert client.answers(client.send(path, 120)) == [True] * 120, "files are counted"


def test_requests_that_wait_are_limited(rested: Any) -> None:
    allowed = rested.app.connections_per_client
    with Client(rested) as client:
        client.send(rested.app.health_path, allowed, unfinished=True)
        # Long enough for the rate to have room again, short enough that nginx still waits for the bodies.
        time.sleep(2)
        refused = rested.get(rested.app.health_path)
    assert refused.status == 429
    assert int(refused["Retry-After"]) > 0
    assert_hardened(rested, refused)
    assert rested.ask(REFUSED)["connection_limit"] == "REJECTED"
