"""The response to an error in the application."""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from pathlib import Path
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import Seen, check
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.probe import Probe, ProbeFailure

OWN_FILES = str(Path(__file__).parent.parent)
NAMED = 5


@check("an error page shows nothing internal", "error", "tracebacks and messages show an attacker the code, its files and its data",
       'app.register_error_handler(500, lambda error: ("Internal Server Error", 500))')
def error_pages(subject: Any) -> Seen:
    marker = f"probe-{secrets.token_hex(8)}"
    pages: dict[str, Any] = {}
    with Probe(subject.app, subject.domains[0]) as probe:
        probe.failure = ProbeFailure(marker)
        tried: Counter = Counter()
        for rule in subject.app.url_map.iter_rules():
            blueprint = rule.endpoint.rpartition(".")[0]  # each may have an error page of its own
            if blueprint in pages or "GET" not in (rule.methods or ()) or tried[blueprint] > 20:
                continue
            tried[blueprint] += 1
            response = probe.request(rule, "GET", Accept="text/html,application/json;q=0.9")
            if probe.reached and response is not None:
                pages[blueprint] = response
        if not pages:  # something in front of every view responds: ask the error handling itself
            pages["without a view"] = _handled(subject, probe.failure)
    alike: dict[tuple, list[str]] = {}
    for blueprint, page in pages.items():
        alike.setdefault(tuple(_page(subject, page, marker)), []).append(blueprint)
    for problems, blueprints in alike.items():
        more = f" and {len(blueprints) - NAMED} more" if len(blueprints) > NAMED else ""
        where = "" if len(alike) == 1 or "" in blueprints else f" (blueprint {', '.join(blueprints[:NAMED])}{more})"
        for result, text, *cure in problems:
            yield (result, text + where, *cure)


def _handled(subject: Any, failure: Exception) -> Any:
    with subject.app.test_request_context("/", base_url=f"https://{subject.domains[0]}"):
        with contextlib.suppress(Exception):
            subject.app.preprocess_request()  # sets what a handler may use
        try:
            return subject.app.make_response(_response(subject.app, failure))
        except Exception as error:  # noqa: BLE001 an error handler that fails itself
            return error


def _response(app: Any, failure: Exception) -> Any:
    try:
        try:
            raise failure
        except ProbeFailure as active:  # Flask raises the active exception again where no handler takes it
            return app.handle_user_exception(active)
    except ProbeFailure as unhandled:
        return app.handle_exception(unhandled)


def _page(subject: Any, page: Any, marker: str) -> Seen:
    if isinstance(page, Exception):
        yield "error", f"clients get gunicorn's page: the error handler itself fails with {type(page).__name__}"
        return
    body = page.get_data().decode("utf-8", "replace")
    inside = {"a traceback": ("Traceback (most recent call", 'File "', "File &#34;", "File &quot;"),
              "the exception's text": (marker,), "the exception's type": (ProbeFailure.__name__,),
              "paths of files": (subject.question["source"], subject.app.root_path, "site-packages", OWN_FILES),
              "the configuration": ("SECRET_KEY", "SESSION_COOKIE_"), "a secret value": subject.redactor.secret}
    shown = [what for what, texts in inside.items() if any(text in body for text in texts)]
    if shown:
        yield "error", f"the page for a failure shows {', '.join(shown)}"
    if page.status_code != 500:
        yield "warning", f"no monitoring sees a failure: it has the status {page.status_code}", "return …, 500"
