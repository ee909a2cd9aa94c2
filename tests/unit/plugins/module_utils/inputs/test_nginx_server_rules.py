"""The health check of load balancers is for named networks only, and cannot become another directive."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.roles import nginx_server


@pytest.mark.parametrize("value", [
    {"path": "/up"}, {"path": "/up", "allow": []}, {"path": "/up", "allow": "10.0.0.0/8"}, {"path": "/up", "allow": ["0.0.0.0/0"]},
    {"path": "/up", "allow": ["10.0.0.1;"]}, {"path": "up", "allow": ["10.0.0.0/8"]}, {"path": "/up;", "allow": ["10.0.0.0/8"]},
    {"path": "/up {", "allow": ["10.0.0.0/8"]}, {"path": "/$host", "allow": ["10.0.0.0/8"]}, {"path": "/up", "allow": ["10.0.0.0/8"], "x": 1}])
def test_a_wrong_probe_is_refused(value: dict[str, Any]) -> None:
    assert nginx_server.probe("nginx_server_probe", value)


@pytest.mark.parametrize("value", [{}, {"path": "/up", "allow": ["10.0.0.0/8", "2001:db8::/32"]}])
def test_a_probe_of_named_networks_passes(value: dict[str, Any]) -> None:
    assert nginx_server.probe("nginx_server_probe", value) == []
