"""The suite's options and fixtures: every host and every application of an inventory, seen from outside and inside.

    pytest molecule/verify --inventory inventory.yml [--ca root.pem]

Tests here change a host only as a client or an operator can; tests that do more
(renewal) are marked `intrusive` and run with --intrusive alone.

A promise is made to the sites, and to the runs, it is for; a test that has none is not collected. With
--complete that is an error: a run that is meant to prove everything says what it cannot prove.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra

from host import inside, inventory
from host.outside import Answer, Outside
from host.playbooks import Playbooks

# Fixtures that need an option.
NEEDS = {"canary": "--canary-file", "converge_log": "--converge-log", "osv_url": "--osv-url"}


@dataclass(frozen=True)
class Example:
    """Facts about an application of examples/."""

    long_page: str
    logged: dict[str, Any]


EXAMPLES = {
    "shop": Example("/products/1", {"path": "/cart/1", "method": "POST", "body": b"quantity=1"}),
    "minimal": Example("/hello/" + "x" * 1200, {"path": "/hello/ann"}),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Each option has an environment variable, for runners that cannot pass options."""
    group = parser.getgroup("bulwark")

    def option(name: str, text: str, default: str | None = None) -> None:
        variable = "BULWARK_" + name.strip("-").upper().replace("-", "_")
        group.addoption(name, default=os.environ.get(variable, default), help=f"{text} [{variable}]")

    option("--inventory", "inventory whose hosts are looked at", "inventory.yml")
    option("--only", "look at this host of the inventory alone")
    option("--ca", "root certificates the sites must chain to; default: the system's")
    option("--canary-file", "file that holds a secret given to an application, to search for everywhere")
    option("--converge-log", "output of the run that made the hosts, searched for the secret too")
    option("--connect-address", "ADDRESS[:HTTPS_PORT[:HTTP_PORT]] where the sites are reached")
    option("--osv-url", "URL, as the hosts reach it, of an advisory service for tests; the word MODE in it becomes a mode of the stub")
    for name, text in (("--intrusive", "run also what changes the host, such as a forced renewal"),
                       ("--sample", "leave out the tests marked `beyond_sample`"),
                       ("--complete", "refuse to start when a test has no site, or an option it needs is not given")):
        variable = "BULWARK_" + name.strip("-").upper()
        group.addoption(name, action="store_true", default=bool(os.environ.get(variable)), help=f"{text} [{variable}]")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    config.addinivalue_line("markers", "intrusive: changes the host; runs with --intrusive alone")
    config.addinivalue_line("markers", "beyond_sample: takes long, and another test of its kind is in the sample; left out by --sample")
    config.addinivalue_line("markers", "where(predicate): runs for the sites it is true for; the promise is made to them alone")


def _reason_to_leave_out(item: pytest.Item) -> str:
    """The reason why a test does not apply to this run; empty when it applies."""
    option = item.config.getoption
    if item.get_closest_marker("intrusive") and not option("--intrusive"):
        return "it changes the host, and --intrusive is not given"
    for fixture in NEEDS.keys() & set(getattr(item, "fixturenames", ())):
        if not option(NEEDS[fixture]):
            return f"{NEEDS[fixture]} is not given"
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return "no site of the inventory is one it is for" if parameters.get("site", item) is None else ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that do not apply to this run; fail where all must apply."""
    if config.getoption("--sample"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("beyond_sample")])
        items[:] = [item for item in items if not item.get_closest_marker("beyond_sample")]
    reasons = {item: _reason_to_leave_out(item) for item in items}
    left_out = [item for item in items if reasons[item]]
    if left_out and config.getoption("--complete"):
        raise pytest.UsageError("\n".join(["--complete, but these would be left out:",
                                           *(f"  {item.nodeid}: {reasons[item]}" for item in left_out)]))
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not reasons[item]]


@dataclass(frozen=True)
class Server:
    """One host."""

    target: inventory.Target
    outside: Outside

    @property
    def name(self) -> str:
        """Its name in the inventory."""
        return self.target.name

    @functools.cached_property
    def host(self) -> Any:
        """testinfra's connection, as root."""
        sudo = self.target.user not in (None, "root")
        return testinfra.get_host(self.target.url, sudo=sudo, **self.target.ssh_options)

    def ask(self, program: str, **given: Any) -> Any:
        """Run one of the programs on the host."""
        return inside.ask(self.host, program, **given)

    @property
    def app_names(self) -> list[str]:
        """All its applications."""
        return [app.name for app in self.target.apps]

    def site(self, name: str) -> Site:
        """One of its applications."""
        return Site(self, next(app for app in self.target.apps if app.name == name))


@dataclass(frozen=True)
class Site:
    """One application on one host."""

    server: Server
    app: inventory.App

    @property
    def name(self) -> str:
        """The application's name."""
        return self.app.name

    @property
    def domain(self) -> str:
        """Its canonical domain."""
        return self.app.domain

    @property
    def example(self) -> Example | None:
        """Facts about it, when it comes from examples/."""
        return EXAMPLES.get(self.app.example)

    def get(self, path: str = "/", **more: Any) -> Answer:
        """One HTTPS request to the canonical domain."""
        return self.server.outside.https(self.domain, path, **more)

    def ask(self, program: str, **given: Any) -> Any:
        """Run one of the programs on the host for this application."""
        return self.server.ask(program, app=self.name, **given)


@functools.cache
def _servers(path: str, only: str | None, ca: str | None, address: str | None) -> list[Server]:
    servers = []
    for target in inventory.read(path):
        if only and target.name != only:
            continue
        where, https, http = [*(address or target.address).split(":"), "", ""][:3]
        servers.append(Server(target, Outside(where, int(https or 443), int(http or 80), ca)))
    return servers


def chosen(config: pytest.Config) -> list[Server]:
    """The hosts of the inventory."""
    option = config.getoption
    return _servers(option("--inventory"), option("--only"), option("--ca"), option("--connect-address"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with the fixture `server` on every host and one with `site` on every application."""
    if "site" in metafunc.fixturenames:
        sites = [Site(server, app) for server in chosen(metafunc.config) for app in server.target.apps]
        where = metafunc.definition.get_closest_marker("where")
        sites = [site for site in sites if where is None or where.args[0](site)]
        ids = [f"{s.server.name}/{s.name}" for s in sites]
        metafunc.parametrize("site", sites or [None], ids=ids or ["none"], scope="session")
    elif "server" in metafunc.fixturenames:
        servers = chosen(metafunc.config)
        metafunc.parametrize("server", servers, ids=[server.name for server in servers], scope="session")


@pytest.fixture(scope="session")
def remember() -> Callable[..., Any]:
    """Run a program once per session: `remember(site, PROGRAM, key=value)`."""
    answers: dict[tuple[Any, ...], Any] = {}

    def once(where: Server | Site, program: str, **given: Any) -> Any:
        server = where if isinstance(where, Server) else where.server
        key = (server.name, getattr(where, "app", None) and where.name, program, repr(sorted(given.items())))
        if key not in answers:
            answers[key] = where.ask(program, **given)
        return answers[key]

    return once


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> list[Server]:
    """Every host, for what is done to all of them at once."""
    return chosen(request.config)


@pytest.fixture(scope="session")
def inventories(request: pytest.FixtureRequest) -> list[str]:
    """The paths that make the inventory."""
    return request.config.getoption("--inventory").split(":")


@pytest.fixture(scope="session")
def playbooks(inventories: list[str]) -> Playbooks:
    """Runs playbooks on the inventory."""
    return Playbooks(inventories)


@pytest.fixture(scope="session")
def canary(request: pytest.FixtureRequest) -> str:
    """The secret that was given to an application."""
    return Path(request.config.getoption("--canary-file")).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def converge_log(request: pytest.FixtureRequest) -> bytes:
    """The output of Ansible."""
    return Path(request.config.getoption("--converge-log")).read_bytes()


@pytest.fixture(scope="session")
def osv_url(request: pytest.FixtureRequest) -> str:
    """The advisory service for tests."""
    return request.config.getoption("--osv-url")
