"""One Flask application, the subject of the checks."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.loading import Layered
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.probe import Probe
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.redact import Redactor
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.source import Source, source_roots
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.templates import Template, templates

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
PROBED = 20  # number of routes that are requested to check for cookies


class Subject:
    """The live application, its configuration, its source and its templates."""

    def __init__(self, layered: Layered, question: dict[str, Any], redactor: Redactor, deployment: Any = None) -> None:
        self.app, self.layers = layered
        self.config = self.app.config
        self.question = question
        self.redactor = redactor
        self.deployment = deployment
        self.domains = [str(d).lower() for d in question.get("domains") or ["localhost"]]
        self.flask = version("flask") or "0"
        self.flask_numbers = _numbers(self.flask)
        self.source = Source(source_roots(Path(question["source"]).resolve(), self.app))

    @property
    def entry(self) -> Any:
        """The callable that receives requests: the outermost layer, or the application where a dispatcher would change its paths."""
        inside = not self.layers or self.layers[0] is vars(self.app).get("wsgi_app")
        return self.app if inside or any(hasattr(layer, "mounts") for layer in self.layers) else self.layers[0]

    @property
    def refuses_cross_site(self) -> bool:
        """Whether the deployment refuses cross-site requests in front of the application."""
        return bool(self.deployment is not None and self.deployment.refuse_cross_site or self.question.get("cross_site") == "refused")

    @property
    def workers(self) -> int | None:
        """The number of processes; 0 is several, None is unknown."""
        return self.deployment.workers if self.deployment is not None else self.question.get("workers")

    @property
    def threads(self) -> int | None:
        """The number of threads of each; None is unknown."""
        return self.deployment.threads if self.deployment is not None else self.question.get("threads")

    def kind_of_setting(self, name: str) -> str:
        """A setting's type, since its value is not shown."""
        return f"{name} is {'empty' if self.config.get(name) in (None, '') else type(self.config.get(name)).__name__}"

    def set_by_deployment(self, name: str) -> bool:
        """Whether the deployment set a value that the application did not set."""
        return self.deployment is not None and bool(self.deployment.source_of(name, self.config.get(name)))

    @functools.cached_property
    def templates(self) -> list[Template]:
        """The application's own templates."""
        return templates(self.app, self.domains[0])

    @functools.cached_property
    def unsafe(self) -> list[tuple[Any, str]]:
        """Every route and method that can change data."""
        return [(rule, method) for rule in self.app.url_map.iter_rules() if rule.endpoint in self.app.view_functions
                for method in sorted(UNSAFE & set(rule.methods or ()))]

    @functools.cached_property
    def session_uses(self) -> list[str]:
        """How the application uses Flask's session; empty where it does not."""
        uses = [f"flask.{name}" for name in ("flash", "get_flashed_messages", "session") if name in self.source.flask_names]
        uses += self._packages_with_the_session()
        if self.config.get("SESSION_COOKIE_NAME") in self._cookies:
            uses.append("a response sets its cookie")
        if any("get_flashed_messages" in t.text or re.search(r"\bsession[.\[]", t.text) for t in self.templates):
            uses.append("templates")
        return uses

    @functools.cached_property
    def credential_uses(self) -> list[str]:
        """How a browser's credentials reach the application: sessions, cookies, passwords of HTTP; empty where they do not."""
        uses = [*self.session_uses]
        uses += [f"request.{name}" for name in ("cookies",) if name in self.source.request]
        uses += [name for name in ("set_cookie", "HTTPBasicAuth", "HTTPDigestAuth", "BasicAuth") if name in self.source.names]
        if "authorization" in self.source.request and "password" in self.source.names:
            uses.append("request.authorization")
        if "cookies" in str(self.config.get("JWT_TOKEN_LOCATION", "")):
            uses.append("JWT_TOKEN_LOCATION")
        return uses + [f"the cookie {name}" for name in sorted(self._cookies)]

    def _packages_with_the_session(self) -> list[str]:
        """The imported packages, other than Flask, that use the session."""
        from flask import session

        return sorted({name.split(".")[0] for name, module in list(sys.modules.items()) if name.split(".")[0] not in ("flask", "__main__")
                       and isinstance(getattr(module, "__dict__", None), dict) and module.__dict__.get("session") is session
                       and not self._is_idle(name.split(".")[0])})

    def _is_idle(self, package: str) -> bool:
        """Whether a package is imported and has no part in this application."""
        parts = {type(part).__module__.split(".")[0] for part in [*self.app.extensions.values(), *self.app.blueprints.values(),
                                                                  self.app.session_interface]}
        parts |= {kind.__module__.split(".")[0] for kind in type(self.app).__mro__}
        hooks = [hook for hooks in self.app.before_request_funcs.values() for hook in hooks]
        parts |= {str(getattr(hook, "__module__", "")).split(".", maxsplit=1)[0] for hook in hooks}
        if hasattr(self.app, "login_manager"):
            parts.add("flask_login")
        if package == "flask_wtf" and ("FlaskForm" in self.source.names or "csrf" in self.app.extensions):
            return False
        return package not in parts and package not in self.source.imports

    @functools.cached_property
    def _cookies(self) -> set[str]:
        """The cookies that responses to plain requests set, without what views set."""
        with Probe(self.app, self.domains[0], self.entry) as probe:
            rules = [rule for rule in self.app.url_map.iter_rules() if "GET" in (rule.methods or ()) and rule.endpoint in self.app.view_functions]
            for rule in rules[:PROBED]:
                probe.request(rule, "GET")
        return probe.cookies

    def foreign_template_folders(self) -> list[str]:
        """The template folders that are in packages: those of their blueprints, and of an application that is a package itself."""
        source = Path(self.question["source"]).resolve()
        folders = {Path(folder).resolve() for part in (self.app, *self.app.blueprints.values()) for folder in getattr(part.jinja_loader, "searchpath", [])}
        return sorted(str(folder) for folder in folders if folder.is_dir() and source not in (folder, *folder.parents))

    def imported_files(self) -> list[str]:
        """The files of the source that the running application has imported, relative to it."""
        root = Path(self.question["source"]).resolve()
        files = {Path(str(getattr(module, "__file__", None) or "/")) for module in list(sys.modules.values())}
        return sorted(str(path.relative_to(root)) for path in files if root in path.parents)

    def not_served(self) -> list[tuple[str, int, int]]:
        """Code of the source that no request runs: commands of `flask`, and blocks of `if __name__ == "__main__"`.

        :returns: the file, relative to the source, the first line and the last one
        """
        root = Path(self.question["source"]).resolve()
        ranges = self.source.main_blocks()
        for command in _commands(self.app.cli):
            # A callback need not be a function of a file, and its file need not be readable. Then it counts as served.
            with contextlib.suppress(Exception):
                function = inspect.unwrap(command.callback)
                path = Path(inspect.getfile(function)).resolve()
                lines, first = inspect.getsourcelines(function)
                if root in path.parents:
                    ranges.append((str(path.relative_to(root)), first, first + len(lines) - 1))
        return ranges


def _commands(group: Any) -> Iterator[Any]:
    """The commands of a group and of the groups in it."""
    for command in group.commands.values():
        if command.callback is not None:
            yield command
        if hasattr(command, "commands"):
            yield from _commands(command)


def version(package: str) -> str | None:
    """The installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    numbers = [int(n) for n in re.findall(r"\d+", text)[:3]]
    return tuple(numbers + [0] * (3 - len(numbers)))
