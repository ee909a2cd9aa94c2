"""The options of one application, for every test of releases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.options import Options

SHOP: dict[str, Any] = {
    "name": "shop", "by": "jo@laptop", "base": Path("/srv/shop"), "unit": "gunicorn-shop", "subdirectory": "", "wsgi": "shop:app",
    "shared": ["instance"], "files": {}, "static": {"/static/": "shop/static"}, "build": [], "requirements": "auto", "extras": [], "groups": [],
    "python_packages": [],
    "extra_index_urls": [], "credentials_for_builds": False,
    "gunicorn_requirements": "gunicorn==1", "uv": "/opt/uv", "python": "/usr/bin/python3", "index_url": "", "ca_bundle": "/ca",
    "build_timeout_seconds": 9, "domains": ["localhost"], "body_max_mb": 16, "policy": {}, "bandit": "", "prepare_once": [], "prepare": [],
    "pre_activate": [], "post_activate": [], "command_timeout_seconds": 9, "inspection_timeout_seconds": 9,
    "restart_on_change": [], "health_path": "/",
    "health_status": 0, "health_timeout_seconds": 9, "warm_up": [], "fetch_pages": True, "drain_seconds": 9, "keep_releases": 2,
}


@pytest.fixture(scope="session")
def make_options() -> Callable[..., Options]:
    """Makes options that differ from those of a small shop in what is given."""
    return lambda **changed: Options(**{**SHOP, **changed})
