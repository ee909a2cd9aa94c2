"""The playbook of the certificates, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from acme_server import AcmeServer
from host.playbooks import Run
from host.plugin import Server, Site
from provided_files import make_certificates
from steps import HOSTS, ROOT, STEPS, SteadyClient, play


@pytest.fixture(scope="session")
def sites(servers: list[Server]) -> list[Any]:
    """The site of each host."""
    return [Site(server, app) for server in servers for app in server.target.apps if app.name == "shop"]


@pytest.fixture(scope="session")
def clients(sites: list[Any]) -> list[SteadyClient]:
    """One for each host, from the first step on."""
    found = [SteadyClient(site) for site in sites]
    for client in found:
        client.start()
    return found


@pytest.fixture(scope="session")
def acme_server(step: Callable[[str], Run]) -> AcmeServer:
    """One that asks our name server, for hosts that have a certificate of another."""
    step("issued")
    return AcmeServer(list(HOSTS))


@pytest.fixture(scope="session")
def step(sites: list[Any], clients: list[SteadyClient]) -> Callable[[str], Run]:
    """The run of a step; those before it have run."""
    runs: dict[str, Run] = {}
    make_certificates([domain for site in sites for domain in site.app.domains])

    def reach(name: str) -> Run:
        for known in list(STEPS)[:list(STEPS).index(name) + 1]:
            if known not in runs:
                STEPS[known].before([site.server.host for site in sites])
                runs[known] = play(STEPS[known])
                (ROOT / "build" / "logs" / f"certs-{known.replace(' ', '-')}.log").write_text(runs[known].output, encoding="utf-8")
        return runs[name]

    return reach
