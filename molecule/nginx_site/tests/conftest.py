"""Clients of the sites."""

from __future__ import annotations

from typing import Any

import pytest
from host.plugin import Site, chosen


@pytest.fixture(scope="session")
def sites(request: pytest.FixtureRequest) -> dict[tuple[str, str], Any]:
    """Every site by host and name."""
    return {(server.name, app.name): Site(server, app) for server in chosen(request.config) for app in server.target.apps}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`proxied`, `plain` and `longest` are these sites, on each host in turn."""
    if {"proxied", "plain", "longest"} & set(metafunc.fixturenames):
        metafunc.parametrize("on", [server.name for server in chosen(metafunc.config)], scope="session")


@pytest.fixture
def proxied(sites: dict[tuple[str, str], Any], on: str) -> Any:
    """The site with everything switched on; the controller is its proxy."""
    return sites[on, "proxied"]


@pytest.fixture
def plain(sites: dict[tuple[str, str], Any], on: str) -> Any:
    """The site without path settings."""
    return sites[on, "plain"]


@pytest.fixture
def longest(sites: dict[tuple[str, str], Any], on: str) -> Any:
    """The site whose name has as many characters as a name can have."""
    return sites[on, "longest-name-of-all-sites"]


@pytest.fixture
def maintained(proxied: Any) -> Any:
    """The site during maintenance."""
    flag = f"/etc/nginx/maintenance/{proxied.name}.on"
    # nginx looks for it once a second.
    proxied.server.host.check_output("touch %s; sleep 1", flag)
    yield proxied
    proxied.server.host.check_output("rm %s; sleep 1", flag)
