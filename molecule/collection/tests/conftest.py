"""The host that acts as the controller."""

from __future__ import annotations

from typing import Any

import pytest
from host.plugin import chosen


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The hosts by their names."""
    return {server.name: server for server in chosen(request.config)}


@pytest.fixture(scope="session")
def controller(servers: dict[str, Any]) -> Any:
    """Runs a command where Ansible and the built collection are."""
    # uv trusts its own list of CAs, where no environment names the system's.
    variables = "PATH=$PWD/venv/current/bin:$PATH SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"
    return lambda command: servers["debian13"].host.run(f"cd /root/controller && export {variables} && {command}")
