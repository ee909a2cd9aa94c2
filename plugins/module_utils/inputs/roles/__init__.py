"""The rules of each role's variables, in addition to the types and choices of its specification.

A role without an entry here has no further rules. A rule's key is the variable's name without the role's prefix.
"""

from __future__ import annotations

from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import Rule
from ansible_collections.bulwark.flask.plugins.module_utils.inputs.roles import (
    acme_cert,
    alarm_channel,
    app_logging,
    app_release,
    app_secrets,
    gunicorn_app,
    host_access,
    host_baseline,
    nginx_server,
    nginx_site,
    pip_audit,
    session_store,
)

RULES: dict[str, dict[str, Rule]] = {
    "acme_cert": acme_cert.RULES,
    "alarm_channel": alarm_channel.RULES,
    "app_logging": app_logging.RULES,
    "app_release": app_release.RULES,
    "app_secrets": app_secrets.RULES,
    "gunicorn_app": gunicorn_app.RULES,
    "host_access": host_access.RULES,
    "host_baseline": host_baseline.RULES,
    "nginx_server": nginx_server.RULES,
    "nginx_site": nginx_site.RULES,
    "pip_audit": pip_audit.RULES,
    "session_store": session_store.RULES,
}
