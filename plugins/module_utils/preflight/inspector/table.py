"""Every check, in the order of the report. A check is added to one of these modules; a new module is named here."""

from __future__ import annotations

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.checks import (
    csrf,
    errors,
    inputs,
    keys,
    modes,
    output,
    places,
    proxy,
    sessions,
    workers,
)
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import Check

# The one check of a target that cannot be inspected.
APPLICATION = Check("application", "wsgi names a Flask application", "error", "only a Flask application can be inspected",
                    "name a Flask application in wsgi, such as shop:create_app()")
CHECKS = tuple(value for module in (modes, keys, sessions, csrf, inputs, places, output, proxy, errors, workers)
               for value in vars(module).values() if isinstance(value, Check))
