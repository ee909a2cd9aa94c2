"""The suite's fixtures, and visitors of the two sites."""

from __future__ import annotations

import http.client
import io
import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "molecule" / "verify"))
from outside import Answer  # noqa: E402 - found by the line above
from suite import *  # noqa: E402, F403 - found by the line above; pytest looks for its hooks here

STATE = ROOT / "build" / "molecule"


class _Bytes:
    """A socket that has received all it will."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, *_: Any, **__: Any) -> io.BytesIO:
        return io.BytesIO(self.data)


def parsed(data: bytes) -> Answer:
    """Raw bytes as an answer."""
    answer = http.client.HTTPResponse(_Bytes(data))  # type: ignore[arg-type]
    answer.begin()
    return Answer(answer.status, answer.getheaders(), answer.read())


def sent(site: Any, request: bytes, context: Any = None) -> Answer:
    """What these very bytes are answered with, over TLS."""
    with site.server.outside.tls(site.domain, context) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65536):
            received += part
    return parsed(received)


SEEN = itertools.count()


def somebody(network: str = "203.0.113") -> dict[str, str]:
    """Headers of a visitor the proxy in front has not seen before."""
    number = next(SEEN) % 254 + 1
    return {"X-Forwarded-For": f"{network}.{number}" if network.count(".") == 2 else f"{network}:{number:x}"}


@pytest.fixture(scope="session")
def sites(request: pytest.FixtureRequest) -> dict[tuple[str, str], Any]:
    """Every site by host and name."""
    return {(server.name, app.name): Site(server, app) for server in chosen(request.config) for app in server.target.apps}  # noqa: F405


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`edge` and `plain` are these sites, on each host in turn."""
    if {"edge", "plain"} & set(metafunc.fixturenames):
        metafunc.parametrize("on", [server.name for server in chosen(metafunc.config)], scope="session")  # noqa: F405


@pytest.fixture
def edge(sites: dict[tuple[str, str], Any], on: str) -> Any:
    """The site with everything switched on; the controller is its proxy."""
    return sites[on, "edge"]


@pytest.fixture
def plain(sites: dict[tuple[str, str], Any], on: str) -> Any:
    """The site that knows no path; the controller is nobody to it."""
    return sites[on, "plain"]


@pytest.fixture
def maintained(edge: Any) -> Any:
    """The site while visitors are sent away."""
    flag = f"/etc/nginx/maintenance/{edge.name}.on"
    edge.server.host.check_output("touch %s", flag)
    yield edge
    edge.server.host.check_output("rm %s", flag)
