"""Variables of a role that is used alone."""

from __future__ import annotations

from ansible_collections.bulwark.flask.plugins.module_utils.inputs import engine

DOMAINS = {"type": "list", "elements": "str"}


def test_domains_may_be_left_out_where_a_role_does_not_need_them() -> None:
    assert engine.role_value("gunicorn_app_domains", "gunicorn_app", "domains", [], DOMAINS) == []
    assert engine.role_value("nginx_site_domains", "nginx_site", "domains", [], {**DOMAINS, "required": True})
    assert engine.role_value("gunicorn_app_domains", "gunicorn_app", "domains", ["Shop.example.com"], DOMAINS)
