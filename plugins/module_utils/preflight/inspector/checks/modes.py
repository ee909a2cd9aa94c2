"""Modes that belong on a developer's machine."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import Seen, check

DEBUGGERS = {"werkzeug.debug": "Werkzeug's debugger", "flask_debugtoolbar": "Flask-DebugToolbar", "flask_profiler": "flask-profiler",
             "werkzeug.middleware.profiler": "Werkzeug's profiler", "werkzeug.middleware.lint": "Werkzeug's lint middleware"}


@check("DEBUG and FLASK_DEBUG are off", "error", "debug mode shows source code and values to clients",
       "DEBUG = False, and no FLASK_DEBUG in env", ("DEBUG", False))
def debug_mode(subject: Any) -> Seen:
    value = subject.app.debug
    if isinstance(value, str):
        yield "error", "DEBUG is a text, and every text is true; write false, not False, in env", "FLASK_DEBUG: 'false'"
    elif value:
        yield "error", "DEBUG is on"
    elif os.environ.get("FLASK_DEBUG", "").lower() not in ("", "0", "false", "no"):
        yield "warning", "FLASK_DEBUG is set in the environment, and the application overrides it"


@check("TESTING is off", "error", "testing mode switches error handling and protections off", "TESTING = False", ("TESTING", False))
def testing_mode(subject: Any) -> Seen:
    if subject.app.testing:
        yield "error", "TESTING is on" + (" (a text, and every text is true)" if isinstance(subject.app.testing, str) else "")


@check("PROPAGATE_EXCEPTIONS is not set", "warning", "the application's error pages are bypassed, and it does not log the failure",
       "PROPAGATE_EXCEPTIONS = None")
def propagate_exceptions(subject: Any) -> Seen:
    if subject.config.get("PROPAGATE_EXCEPTIONS"):
        yield "warning", "PROPAGATE_EXCEPTIONS is on"


@check("no debugger, profiler or debug toolbar around the application", "error",
       "Werkzeug's debugger runs code for clients; toolbars show settings and queries",
       "wrap the application in it under `flask run` only, not in what wsgi names")
def debugger(subject: Any) -> Seen:
    parts = [*subject.layers, *subject.app.extensions.values(), *subject.app.blueprints.values()]
    names = {type(part).__module__ for part in parts} | {str(getattr(b, "import_name", "")) for b in subject.app.blueprints.values()}
    for module, title in DEBUGGERS.items():
        if any(name == module or name.startswith(module + ".") for name in names):
            yield "error", f"{title} is part of the application"
