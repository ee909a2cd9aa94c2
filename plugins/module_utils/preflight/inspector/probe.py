"""Send requests through the application while stubs take the places of its views."""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Callable
from typing import Any

PROBE_SECONDS = 20.0


class ProbeFailure(Exception):
    """What a stub raises to see the application's page for a failure."""


class Probe:
    """The application with a stub for each view. What runs before and after views does run."""

    def __init__(self, app: Any, domain: str, entry: Any = None) -> None:
        self.app, self.domain = app, domain
        self.entry = entry or app  # where requests enter
        self.cookies: set[str] = set()  # names of the cookies that responses set
        self.reached = False
        self.failure: Exception | None = None
        self.until = time.monotonic() + PROBE_SECONDS

    def __enter__(self) -> Probe:
        self.views = dict(self.app.view_functions)
        self.kept = {name: self.app.config.get(name) for name in ("PROPAGATE_EXCEPTIONS", "TRUSTED_HOSTS")}
        for endpoint, view in self.views.items():
            self.app.view_functions[endpoint] = self._stub(view)
        # A wrong name there is a finding of its own, and must not hide what others look for.
        self.app.config.update(PROPAGATE_EXCEPTIONS=False, TRUSTED_HOSTS=None)
        logging.disable(logging.CRITICAL)  # no logging of requests made here
        return self

    def __exit__(self, *_unused: object) -> None:
        logging.disable(logging.NOTSET)
        self.app.config.update(self.kept)
        self.app.view_functions.update(self.views)

    def _stub(self, view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def stub(*_unused: Any, **__: Any) -> Any:
            self.reached = True
            if self.failure is not None:
                raise self.failure
            return self.app.response_class("", status=204)
        return stub

    def request(self, rule: Any, method: str, **headers: str) -> Any:
        """The response of one route, or None when no URL leads to it or the time is used up."""
        from werkzeug.test import Client
        from werkzeug.wrappers import Response

        if time.monotonic() > self.until:
            return None
        try:
            host, path = self._url(rule)
        except Exception:  # noqa: BLE001 a converter of the application's own may raise anything
            return None
        self.reached = False
        sent = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", **{k.replace("_", "-"): v for k, v in headers.items()}}
        try:
            response = Client(self.entry, response_wrapper=Response, use_cookies=False).open(
                path, method=method, base_url=f"https://{host}", headers=sent)
        except Exception as error:  # noqa: BLE001 what gunicorn would make a 500
            return error
        self.cookies |= {cookie.partition("=")[0] for cookie in response.headers.getlist("Set-Cookie")}
        return response

    def _url(self, rule: Any) -> tuple[str, str]:
        """Host and path that lead to a rule."""
        values = {name: _sample(converter) for name, converter in rule._converters.items()}
        built = rule.build({**values, **(rule.defaults or {})}, append_unknown=False)
        if built is None:
            raise ValueError("no URL leads here")
        prefix, path = built
        if self.app.url_map.host_matching:
            return prefix or self.domain, path
        return (f"{prefix}.{self.domain}" if prefix else self.domain), path


def _sample(converter: Any) -> Any:
    """A value that a converter of a URL accepts."""
    kind = type(converter).__name__
    if kind == "UUIDConverter":
        return "00000000-0000-4000-8000-000000000000"
    if kind in ("IntegerConverter", "FloatConverter"):
        least = getattr(converter, "min", None)
        return (int if kind[0] == "I" else float)(1 if least is None else least)
    if kind == "AnyConverter":
        return sorted(converter.items)[0]
    length = re.search(r"\{(\d+)", converter.regex)
    return "x" * max(1, int(length[1]) if length else 1)
