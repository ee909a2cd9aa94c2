"""Look at a Flask application before it goes live: `<venv>/bin/python app_inspector.py question.json`.

Runs where the application would run: its account, its environment, its venv, its source directory as working
directory. What counts is the live application object, however it was configured. Needs the standard library
and what the application itself has installed.

No view of the application runs: while requests are made, stand-ins take the views' places. No value of a
setting or of the environment is printed: the one JSON document on the standard output names settings, sizes,
types, endpoints, files and lines. All else the application says goes to the standard error.

Question: {"wsgi": "shop:create_app()", "source": directory, "domains": [...], "proxies": 1, "body_max_mb": 16,
"csrf": "flask_wtf" or the dotted name or extension key of another protection, "account": "shop"}
Answer: {"inspector": 1, "python": "3.13.5", "flask": "3.1.3" or null, "exception": null or {type, text,
traceback}, "findings": [{check, result, found, why, fix}, ...]}; every check has at least one finding, and
its result is pass, warning, error, or unknown where nothing could be seen.
"""

from __future__ import annotations

import ast
import datetime
import functools
import importlib
import inspect
import json
import logging
import math
import os
import platform
import re
import secrets
import stat
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple


class Check(NamedTuple):
    """One thing that is looked at. `severity` is the worst result it can have."""

    id: str
    title: str
    severity: str
    why: str
    fix: str


CHECKS = (
    Check("debug_mode", "DEBUG and FLASK_DEBUG are off", "error",
          "debug mode shows source code and values to visitors", "DEBUG = False, and no FLASK_DEBUG in env"),
    Check("testing_mode", "TESTING is off", "error",
          "testing mode switches error handling and protections off", "TESTING = False"),
    Check("propagate_exceptions", "PROPAGATE_EXCEPTIONS is not set", "warning",
          "the application's own error pages are passed over, and the failure is not logged by it", "PROPAGATE_EXCEPTIONS = None"),
    Check("debugger", "no debugger, profiler or debug toolbar around the application", "error",
          "Werkzeug's debugger runs code for visitors; toolbars show settings and queries",
          "wrap the application in it under `flask run` only, not in what wsgi names"),
    Check("secret_key", "SECRET_KEY is a strong text", "error",
          "who guesses the key can forge sessions and tokens", "leave FLASK_SECRET_KEY out of env (the host makes one), or: "
          "python3 -c 'import secrets; print(secrets.token_hex(32))'"),
    Check("secret_key_in_source", "SECRET_KEY is in no file of the source", "error",
          "whoever reads the source can forge sessions, and so can all who ever had a copy",
          'app.config.from_prefixed_env(), which takes SECRET_KEY from FLASK_SECRET_KEY'),
    Check("secret_key_fallbacks", "SECRET_KEY_FALLBACKS are strong, and safe with this Flask", "error",
          "old keys are as good as the new one for who guesses them; Flask 3.1.0 signs with the oldest (GHSA-4grg-w6v8-c28g)",
          "flask>=3.1.1 in the lock file, and a list of strong keys"),
    Check("cookie_secure", "the session cookie is Secure", "error",
          "the cookie would be sent over plain HTTP, for anyone on the way to read", "SESSION_COOKIE_SECURE = True"),
    Check("cookie_httponly", "the session cookie is HttpOnly", "error",
          "a script in a page could read the cookie", "SESSION_COOKIE_HTTPONLY = True"),
    Check("cookie_samesite", "the session cookie is SameSite Lax or Strict", "error",
          "other sites' requests would carry the visitor's session", 'SESSION_COOKIE_SAMESITE = "Lax"'),
    Check("cookie_lifetime", "a session lasts 31 days at most", "warning",
          "a stolen cookie works as long as the session lasts", "PERMANENT_SESSION_LIFETIME = 12 * 3600"),
    Check("cookie_name", "the session cookie has the prefix __Host- or __Secure-", "error",
          "without it a neighbouring subdomain can plant a session cookie", 'SESSION_COOKIE_NAME = "__Host-session"'),
    Check("session_store", "sessions are in a signed cookie, or in a store of this application alone", "warning",
          "who can write to the store can log in as anyone; with pickled data, run code",
          "a Redis user of its own on a unix socket: redis.Redis(unix_socket_path=…, username=…, password=…)"),
    Check("csrf_protection", "every route that changes something refuses a request without a token", "error",
          "any site a visitor opens could act in the visitor's name", "from flask_wtf.csrf import CSRFProtect; CSRFProtect(app)"),
    Check("csrf_exemptions", "no route that changes something is exempt from CSRF protection", "error",
          "an exempt route accepts requests that other sites make in a visitor's name",
          "remove csrf.exempt, or waive the check with the reason why no session reaches the route"),
    Check("body_limit", "MAX_CONTENT_LENGTH is the web server's limit", "error",
          "without a limit of its own the application reads whatever reaches it; with another one, visitors meet two limits",
          "MAX_CONTENT_LENGTH = {body_max_mb} * 1024 * 1024"),
    Check("form_memory", "MAX_FORM_MEMORY_SIZE is set", "warning",
          "the fields of a form are held in memory", "MAX_FORM_MEMORY_SIZE = 500_000"),
    Check("upload_types", "an application that takes files lists the extensions it takes", "warning",
          "an uploaded page or script runs with this site's rights when it is served", 'UPLOAD_EXTENSIONS = [".jpg", ".png"], '
          "compared with the name's suffix; or FileAllowed in a form"),
    Check("autoescape", "every template that may be a page is escaped", "error",
          "what visitors wrote would become part of the page, scripts too",
          "app.jinja_env.autoescape = select_autoescape(default=True, default_for_string=True)"),
    Check("unescaped_output", "no |safe in templates and no Markup() of variables", "warning",
          "what passes through them is not escaped", "escape() the value, or clean it with nh3 before it is stored"),
    Check("input_validation", "an application that reads JSON has a library that checks it", "warning",
          "values of unexpected types and unknown keys reach the code", "Schema().load(request.get_json()), with marshmallow"),
    Check("proxy_hops", "ProxyFix trusts the proxies that are there, and two headers", "error",
          "with too many hops or headers, visitors choose their address or the site's name; with too few, all have the proxy's",
          "app.wsgi_app = ProxyFix(app.wsgi_app, x_for={proxies}, x_proto={proxies}, x_host=0, x_port=0, x_prefix=0)"),
    Check("trusted_hosts", "TRUSTED_HOSTS are the site's domains", "error",
          "under any other name, links in pages and mails can be made to lead elsewhere", "FLASK_TRUSTED_HOSTS: '{domains}' in env"),
    Check("error_pages", "a failure shows nothing of the inside", "error",
          "tracebacks and messages tell an attacker about the code, its files and its data",
          'app.register_error_handler(500, lambda error: ("Internal Server Error", 500))'),
)
VOCABULARY = " ".join(text for check in CHECKS for text in check)

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
MINIMUM_KEY, MINIMUM_BITS = 16, 64
LONGEST_SESSION = datetime.timedelta(days=31)
PROBE_SECONDS = 20.0
LISTED = 12  # how many places one finding names
# Directories that are not the application's own code, and those that never run on a server.
FOREIGN = {"node_modules", "site-packages", "__pycache__", ".git", ".hg", ".svn", ".tox", ".nox", ".mypy_cache", ".pytest_cache"}
TESTS = {"tests", "test"}
LARGEST_FILE, MOST_BYTES, MOST_FILES = 16 * 2**20, 128 * 2**20, 20_000
VALIDATORS = {"marshmallow": "marshmallow", "flask_marshmallow": "marshmallow", "webargs": "webargs", "flask_smorest": "flask-smorest",
              "apiflask": "APIFlask", "wtforms": "WTForms", "pydantic": "pydantic", "jsonschema": "jsonschema",
              "flask_pydantic": "pydantic", "msgspec": "msgspec", "cerberus": "Cerberus", "voluptuous": "voluptuous", "cattrs": "cattrs"}
ALLOW_LISTS = ("UPLOAD_EXTENSIONS", "ALLOWED_EXTENSIONS", "UPLOAD_ALLOWED_EXTENSIONS", "ALLOWED_UPLOAD_EXTENSIONS")
DEBUGGERS = {"werkzeug.debug": "Werkzeug's debugger", "flask_debugtoolbar": "Flask-DebugToolbar", "flask_profiler": "flask-profiler",
             "werkzeug.middleware.profiler": "Werkzeug's profiler", "werkzeug.middleware.lint": "Werkzeug's lint middleware"}
JINJA_SUFFIXES = {".j2", ".jinja", ".jinja2", ".tpl", ".tmpl"}
PAGES = {"", ".html", ".htm", ".xhtml", ".xml", ".svg"}
# Keys that stand in manuals and tutorials, and words that mean nobody made one.
KNOWN_KEYS = {b'_5#y2L"F4Q8z\n\xec]/', b"A0Zr98j/3yX R~XHH!jmN]LWX/,?RT", b"you-will-never-guess", b"development key",
              b"192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf"}
PLACEHOLDER = re.compile(r"secret|change|password|placeholder|example|default|insecure|replace|(?<![a-z])(dev|test|todo|key|my|your|flask)(?![a-z])", re.I)
RANDOM = re.compile(r"(?=[^\W_]*[a-z])(?=(?:[^\W\d_]*\d){3})[^\W_]{16,}", re.I)
# Variables whose values are no secret and stand in many a path.
ORDINARY = re.compile(r"PATH|PWD|OLDPWD|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TERM|SHLVL|_|\w+_DIRECTORY|INVOCATION_ID|JOURNAL_STREAM|"
                      r"NOTIFY_SOCKET|LISTEN_\w+|MAINPID|SYSTEMD_\w+|VIRTUAL_ENV|PYTHON\w+|\w*(HOSTS?|DOMAINS?|ORIGINS?|SERVER_NAME)")
SECRET_NAME = re.compile(r"SECRET|KEY|TOKEN|PASS|PWD|CREDENTIAL|DSN|DATABASE|_UR[IL]$|SALT|PRIVATE", re.I)
URL_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")


class CannotInspect(Exception):
    """There is no Flask application to look at. The text says why."""


# --- what must not be told ------------------------------------------------------------------------


def _texts(value: Any) -> Iterator[str]:
    """All texts inside a value."""
    if isinstance(value, bytes):
        yield value.decode("latin-1")
    elif isinstance(value, str):
        yield value
        yield from URL_PASSWORD.findall(value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _texts(item)


class Veil:
    """The values that must not leave this process, and how they are taken out of a text."""

    def __init__(self) -> None:
        self.hidden: dict[str, str] = {}  # value -> the name that takes its place
        self.secret: set[str] = set()  # those a page must never show
        for name, value in os.environ.items():
            if not ORDINARY.fullmatch(name):
                self.add(name, value)
                try:
                    self.add(name, json.loads(value))
                except ValueError:
                    pass

    def add(self, name: str, value: Any) -> None:
        """Hide one value and all texts inside it."""
        for text in _texts(value):
            # A word of this file's own, and a number that is no secret, would tell more by being hidden.
            if len(text) >= 6 and text not in VOCABULARY and (not text.isdigit() or SECRET_NAME.search(name)):
                self.hidden.setdefault(text, name)
                if SECRET_NAME.search(name) and len(text) >= 8:
                    self.secret.add(text)

    def add_config(self, config: dict[str, Any]) -> None:
        """Hide the settings whose names sound like secrets."""
        for name, value in config.items():
            if isinstance(name, str) and SECRET_NAME.search(name):
                self.add(name, value)

    def over(self, text: str) -> str:
        """A text with no hidden value in it."""
        for value in sorted(self.hidden, key=len, reverse=True):
            for form in {value, repr(value)[1:-1]}:
                if form in text:
                    text = text.replace(form, f"[{self.hidden[value]}]")
        return text


def explain(error: BaseException, veil: Veil) -> dict[str, str]:
    """An exception of the application without values: its text is veiled, its source lines are left out."""
    text = "the application called sys.exit" if isinstance(error, SystemExit) and not isinstance(error.code, str) else str(error)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename not in (__file__, importlib.__file__) and not f.filename.startswith("<frozen")]
    trace = "\n".join(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames[-20:])
    return {"type": type(error).__name__, "text": veil.over(text)[:2000], "traceback": veil.over(trace)}


# --- from the WSGI target to the Flask applications -----------------------------------------------


def load(target: str) -> Any:
    """The object gunicorn would serve, by gunicorn's grammar."""
    module, _, expression = target.partition(":")
    expression = expression or "application"
    try:
        parsed = ast.parse(expression, mode="eval").body
    except SyntaxError:
        raise CannotInspect(f"wsgi: {expression} is neither a name nor a call") from None
    if isinstance(parsed, ast.Name):
        name, call = parsed.id, None
    elif isinstance(parsed, ast.Call) and isinstance(parsed.func, ast.Name):
        try:
            name = parsed.func.id
            call = ([ast.literal_eval(a) for a in parsed.args], {str(k.arg): ast.literal_eval(k.value) for k in parsed.keywords})
        except ValueError:
            raise CannotInspect(f"wsgi: {name}(…) may be called with literal values only") from None
    else:
        raise CannotInspect(f"wsgi: {expression} must be a name or the call of one")
    found = importlib.import_module(module)
    try:
        found = getattr(found, name)
    except AttributeError:
        raise CannotInspect(f"wsgi: the module {module} has no {name}") from None
    if call is not None:
        found = found(*call[0], **call[1])
    elif inspect.isfunction(found):
        try:
            inspect.signature(found).bind({}, None)
        except TypeError:
            raise CannotInspect(f"wsgi: {module}:{name} is a function that makes the application; write {module}:{name}()") from None
    if not callable(found):
        raise CannotInspect(f"wsgi: {module}:{expression} gives {_kind(found)}, which is no application")
    return found


def _kind(thing: Any) -> str:
    """The dotted name of an object's class."""
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


class Layered(NamedTuple):
    """A Flask application and the WSGI layers a request passes on its way to it, outermost first."""

    app: Any
    layers: list[Any]


def flask_apps(root: Any) -> list[Layered]:
    """The Flask applications behind a WSGI application: itself, below middleware, mounted by a dispatcher."""
    try:
        from flask import Flask
    except ImportError:
        raise CannotInspect(f"Flask is not installed beside the application ({_kind(root)})") from None
    found: dict[int, Layered] = {}
    seen: set[int] = set()

    def inner(node: Any) -> list[Any]:
        """What a layer may hand a request to."""
        following = [getattr(node, name, None) for name in ("wsgi_app", "app", "application", "_app", "wrapped", "__wrapped__", "func")]
        mounts = getattr(node, "mounts", None)
        if isinstance(mounts, dict):
            following += mounts.values()
        following += [v for v in getattr(node, "__dict__", {}).values() if isinstance(v, Flask)] if not isinstance(node, type) else []
        function = getattr(node, "__func__", node)
        if inspect.isfunction(function):
            for cell in function.__closure__ or ():
                try:
                    following.append(cell.cell_contents)
                except ValueError:  # not filled yet
                    pass
            names = function.__globals__
            following += [names[n] for n in function.__code__.co_names if isinstance(names.get(n), Flask)]
        if inspect.ismethod(node):
            following.append(node.__self__)
        return [f for f in following if callable(f) and not isinstance(f, type)]

    def walk(node: Any, above: list[Any]) -> None:
        owner = getattr(node, "__self__", None)
        if isinstance(owner, Flask) and inspect.ismethod(node):  # the end of the way: Flask.wsgi_app
            found.setdefault(id(owner), Layered(owner, above))
            return
        if id(node) in seen or len(above) > 30:
            return
        seen.add(id(node))
        if isinstance(node, Flask):
            way = vars(node).get("wsgi_app")
            if way is not None:
                walk(way, above)
            found.setdefault(id(node), Layered(node, above if way is None else [*above, way]))
            return
        for following in inner(node):
            walk(following, [*above, node])

    walk(root, [])
    if not found:
        raise CannotInspect(f"wsgi names no Flask application but {_kind(root)}, and none was found below it")
    return list(found.values())


# --- the source -----------------------------------------------------------------------------------


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def listed(places: Iterable[Any], most: int = LISTED) -> str:
    """Some places, and how many more there are."""
    every = list(dict.fromkeys(map(str, places)))
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")


class Source:
    """The application's own files, and what can be read from its Python code without running it."""

    def __init__(self, roots: Iterable[Path]) -> None:
        self.files: dict[Path, str] = {}  # path -> the name it is told by
        self.bytes = 0
        self.complete = True
        for root in roots:
            self._collect(root)
        self.imports: set[str] = set()
        self.names: set[str] = set()
        self.request: dict[str, list[Place]] = {}  # attribute of request -> where it is used
        self.markup: list[Place] = []
        self.template_strings: list[Place] = []
        self.trees: dict[str, ast.AST] = {}
        self.unreadable: list[str] = []
        for path, name in self.files.items():
            if path.suffix == ".py":
                self._read(path, name)

    def _collect(self, root: Path) -> None:
        if root.is_file():
            self.files.setdefault(root, root.name)
            return
        for directory, below, names in os.walk(root):
            here = Path(directory)
            below[:] = sorted(d for d in below if d not in FOREIGN and not (here / d / "pyvenv.cfg").exists())
            for name in sorted(names):
                path = here / name
                if path.is_symlink() or not path.is_file():
                    continue
                size = path.stat().st_size
                if len(self.files) >= MOST_FILES or self.bytes + size > MOST_BYTES or size > LARGEST_FILE:
                    self.complete = False
                else:
                    self.bytes += size
                    self.files.setdefault(path, str(path.relative_to(root)))

    def _read(self, path: Path, name: str) -> None:
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            self.unreadable.append(name)
            return
        self.trees[name] = tree
        if TESTS & set(Path(name).parts) or path.name.startswith("test_") or path.name == "conftest.py":
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self.imports |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                self.imports.add(node.module.split(".")[0])
                self.names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Name):
                self.names.add(node.id)
            elif isinstance(node, ast.Attribute):
                self.names.add(node.attr)
                if _last_name(node.value) == "request":
                    self.request.setdefault(node.attr, []).append(Place(name, node.lineno))
            elif isinstance(node, ast.Call):
                called = _last_name(node.func)
                if called == "Markup" and node.args and not isinstance(node.args[0], ast.Constant):
                    self.markup.append(Place(name, node.lineno))
                elif called in ("render_template_string", "from_string"):
                    self.template_strings.append(Place(name, node.lineno))

    def holding(self, key: Any) -> list[Place]:
        """Where a key stands in a file, as text or as a literal of Python."""
        raw = key.encode() if isinstance(key, str) else key
        found = [Place(name, node.lineno) for name, tree in self.trees.items() for node in ast.walk(tree)
                 if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)) and node.value in (key, raw)]
        # A short key would be found inside of other words.
        wanted = [raw] if len(raw) >= MINIMUM_KEY else [q + raw + q for q in (b'"', b"'")] if raw else []
        for path, name in self.files.items():
            try:
                content = path.read_bytes()
            except OSError:
                continue
            for text in wanted:
                if text in content:
                    found.append(Place(name, content[: content.index(text)].count(b"\n") + 1))
        return found


def _last_name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def source_roots(source: Path, app: Any) -> list[Path]:
    """Where the application's own files are: its source, and its package when that is installed elsewhere."""
    roots, package = [source], Path(app.root_path)
    if source == package or source in package.parents:
        return roots
    module = sys.modules.get(app.import_name)
    if getattr(module, "__path__", None):
        roots.append(package)
    elif getattr(module, "__file__", None):
        roots.append(Path(str(module.__file__)))  # a single module in site-packages
    return roots


class Template(NamedTuple):
    """A template of the application's own: its name, where it is, its text, and its tree or None."""

    name: str
    file: str
    text: str
    tree: Any
    broken_line: int


def templates(app: Any) -> list[Template]:
    """All templates of the application and of its own blueprints."""
    from jinja2 import TemplateSyntaxError

    own = Path(app.root_path)
    loaders = [app.jinja_loader] + [b.jinja_loader for b in app.blueprints.values()]
    if type(app.jinja_env.loader).__module__ != "flask.templating":
        loaders.append(app.jinja_env.loader)
    found: dict[str, Template] = {}
    for loader in loaders:
        for name in _template_names(loader):
            try:
                text, file, _ = loader.get_source(app.jinja_env, name)
            except UnicodeDecodeError:  # a picture beside the templates
                continue
            path = Path(file or name)
            if (file or name) in found or "site-packages" in path.parts and own not in path.parents:
                continue  # of a package, which answers for it
            told = str(path.relative_to(own)) if own in path.parents else name
            try:
                found[file or name] = Template(name, told, text, app.jinja_env.parse(text, name), 0)
            except TemplateSyntaxError as error:
                found[file or name] = Template(name, told, text, None, error.lineno)
    return list(found.values())


def _template_names(loader: Any) -> list[str]:
    try:
        return loader.list_templates() if loader is not None else []
    except (TypeError, OSError):  # a loader that cannot tell
        return []


# --- requests in which no view runs ---------------------------------------------------------------


class ProbeFailure(Exception):
    """What a stand-in raises to see the application's page for a failure."""


class Probe:
    """The application with a stand-in for each view. What runs before and after views does run."""

    def __init__(self, app: Any, domain: str) -> None:
        self.app, self.domain = app, domain
        self.reached = False
        self.failure: Exception | None = None
        self.until = time.monotonic() + PROBE_SECONDS

    def __enter__(self) -> Probe:
        self.views = dict(self.app.view_functions)
        self.propagate = self.app.config.get("PROPAGATE_EXCEPTIONS")
        for endpoint, view in self.views.items():
            self.app.view_functions[endpoint] = self._stand_in(view)
        self.app.config["PROPAGATE_EXCEPTIONS"] = False
        logging.disable(logging.CRITICAL)  # no alarm goes out for what is tried here
        return self

    def __exit__(self, *_: object) -> None:
        logging.disable(logging.NOTSET)
        self.app.config["PROPAGATE_EXCEPTIONS"] = self.propagate
        self.app.view_functions.update(self.views)

    def _stand_in(self, view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def stand_in(*_: Any, **__: Any) -> Any:
            self.reached = True
            if self.failure is not None:
                raise self.failure
            return self.app.response_class("", status=204)
        return stand_in

    def request(self, rule: Any, method: str, **headers: str) -> Any:
        """The response of one route, or None when no URL leads to it or the time is used up."""
        from werkzeug.test import Client

        if time.monotonic() > self.until:
            return None
        try:
            host, path = self._url(rule)
        except Exception:  # noqa: BLE001 a converter of the application's own may raise anything
            return None
        self.reached = False
        sent = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", **{k.replace("_", "-"): v for k, v in headers.items()}}
        try:
            return Client(self.app, use_cookies=False).open(path, method=method, base_url=f"https://{host}", headers=sent)
        except Exception as error:  # noqa: BLE001 what gunicorn would answer with 500
            return error

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


# --- the checks -----------------------------------------------------------------------------------

Seen = Iterator[tuple]  # (result, found[, fix])


class Inspection:
    """One Flask application. A method `check_<id>` yields what it saw; nothing means that all is well."""

    def __init__(self, layered: Layered, question: dict[str, Any], veil: Veil) -> None:
        self.app, self.layers = layered
        self.config = self.app.config
        self.question = question
        self.veil = veil
        self.domains = [str(d).lower() for d in question.get("domains") or ["localhost"]]
        self.flask = _version("flask") or "0"
        self.flask_numbers = _numbers(self.flask)
        self.source = Source(source_roots(Path(question["source"]).resolve(), self.app))

    def findings(self) -> Iterator[dict[str, str]]:
        """What every check has found."""
        for check in CHECKS:
            try:
                seen = list(getattr(self, f"check_{check.id}")())
            except Exception as error:  # noqa: BLE001 one check must not take the others with it; its text may hold values
                last = traceback.extract_tb(error.__traceback__)[-1]
                seen = [("unknown", f"the check itself failed: {type(error).__name__} at {Path(last.filename).name}:{last.lineno}")]
            for result, found, *fix in seen or [("pass", check.title)]:
                yield finding(check, result, found, fix[0] if fix else self._fix(check))

    def _fix(self, check: Check) -> str:
        known = {"proxies": self.question.get("proxies", 1), "body_max_mb": self.question.get("body_max_mb"), "domains": json.dumps(self.domains)}
        return functools.reduce(lambda text, name: text.replace(f"{{{name}}}", str(known[name])), known, check.fix)

    def _is(self, name: str) -> str:
        """A setting's type, since its value is not told."""
        return f"{name} is {'empty' if self.config.get(name) in (None, '') else type(self.config.get(name)).__name__}"

    # -- modes

    def check_debug_mode(self) -> Seen:
        value = self.app.debug
        if isinstance(value, str):
            yield "error", "DEBUG is a text, and every text is true; write false, not False, in env", "FLASK_DEBUG: 'false'"
        elif value:
            yield "error", "DEBUG is on"
        elif os.environ.get("FLASK_DEBUG", "").lower() not in ("", "0", "false", "no"):
            yield "warning", "FLASK_DEBUG is set in the environment, and the application overrides it"

    def check_testing_mode(self) -> Seen:
        if self.app.testing:
            yield "error", "TESTING is on" + (" (a text, and every text is true)" if isinstance(self.app.testing, str) else "")

    def check_propagate_exceptions(self) -> Seen:
        if self.config.get("PROPAGATE_EXCEPTIONS"):
            yield "warning", "PROPAGATE_EXCEPTIONS is on"

    def check_debugger(self) -> Seen:
        suspects = [*self.layers, *self.app.extensions.values(), *self.app.blueprints.values()]
        names = {type(thing).__module__ for thing in suspects} | {str(getattr(b, "import_name", "")) for b in self.app.blueprints.values()}
        for module, title in DEBUGGERS.items():
            if any(name == module or name.startswith(module + ".") for name in names):
                yield "error", f"{title} is part of the application"

    # -- keys

    def check_secret_key(self) -> Seen:
        key = self.config.get("SECRET_KEY")
        weakness = weak(key)
        if weakness:
            yield "error", f"SECRET_KEY {weakness}"
        elif len(key) < 32:
            yield "warning", f"SECRET_KEY has {len(key)} characters; 32 or more are good practice"
        else:
            yield "pass", f"SECRET_KEY has {len(key)} characters"

    def _fallbacks(self) -> list[Any]:
        keys = self.config.get("SECRET_KEY_FALLBACKS")
        return list(keys) if isinstance(keys, (list, tuple, set)) else []

    def check_secret_key_in_source(self) -> Seen:
        keys = [("SECRET_KEY", self.config.get("SECRET_KEY"))] + [("a SECRET_KEY_FALLBACKS", key) for key in self._fallbacks()]
        for name, key in keys:
            places = self.source.holding(key) if isinstance(key, (str, bytes)) and key else []
            if places:
                yield "error", f"{name} stands in {listed(places)}"
        if not self.source.complete:
            yield "unknown", "the source is too large to search all of it", "keep files of data, and what is built, out of the source"

    def check_secret_key_fallbacks(self) -> Seen:
        keys = self.config.get("SECRET_KEY_FALLBACKS")
        if not keys:
            yield "pass", "there are none"
            return
        if not isinstance(keys, (list, tuple)):
            yield "error", f"{self._is('SECRET_KEY_FALLBACKS')}, which must be a list: Flask would take each character for a key"
            return
        for number, key in enumerate(keys, 1):
            if weak(key):
                yield "error", f"SECRET_KEY_FALLBACKS, number {number} {weak(key)}"
        if self.flask_numbers == (3, 1, 0):
            yield "error", "Flask 3.1.0 signs with the oldest key", "flask>=3.1.1"
        elif self.flask_numbers < (3, 1, 0):
            yield "warning", f"Flask {self.flask} does not read SECRET_KEY_FALLBACKS: sessions end when the key changes", "flask>=3.1.1"

    # -- the session

    def check_cookie_secure(self) -> Seen:
        yield from self._flag("SESSION_COOKIE_SECURE")

    def check_cookie_httponly(self) -> Seen:
        yield from self._flag("SESSION_COOKIE_HTTPONLY")

    def _flag(self, name: str) -> Seen:
        value = self.config.get(name)
        if not value:
            yield "error", f"{name} is off"
        elif value is not True:
            yield "warning", f"{self._is(name)}, not True: any text is true, the text False too"

    def check_cookie_samesite(self) -> Seen:
        value = self.config.get("SESSION_COOKIE_SAMESITE")
        if value is None:
            yield "warning", "SESSION_COOKIE_SAMESITE is not set, and browsers differ in what they make of it"
        elif str(value).lower() == "none":
            yield "error", "SESSION_COOKIE_SAMESITE is None: other sites' requests carry the session"
        elif str(value).lower() not in ("lax", "strict"):
            yield "error", "SESSION_COOKIE_SAMESITE is neither Lax nor Strict; every answer with a cookie fails"

    def check_cookie_lifetime(self) -> Seen:
        lifetime = self.config.get("PERMANENT_SESSION_LIFETIME")
        if isinstance(lifetime, int):
            lifetime = datetime.timedelta(seconds=lifetime)
        if not isinstance(lifetime, datetime.timedelta):
            yield "warning", f"{self._is('PERMANENT_SESSION_LIFETIME')}, which must be a number of seconds"
        elif lifetime > LONGEST_SESSION:
            yield "warning", f"a session lasts {lifetime.days} days"
        else:
            yield "pass", f"a session lasts {lifetime}"

    def check_cookie_name(self) -> Seen:
        name = str(self.config.get("SESSION_COOKIE_NAME") or "")
        interface = self.app.session_interface
        domain, root = interface.get_cookie_domain(self.app), interface.get_cookie_path(self.app) == "/"
        # Both prefixes need Secure too, which is a check of its own.
        if name.startswith("__Host-") and (domain or not root):
            yield "error", "browsers refuse a __Host- cookie that has a domain or another path than /", 'SESSION_COOKIE_NAME = "__Secure-session"'
        elif not name.startswith(("__Host-", "__Secure-")):
            prefix = "__Host-" if root and not domain else "__Secure-"
            yield "warning", "SESSION_COOKIE_NAME has no prefix", f'SESSION_COOKIE_NAME = "{prefix}session"'

    def check_session_store(self) -> Seen:
        from flask.sessions import SecureCookieSessionInterface

        interface = self.app.session_interface
        if isinstance(interface, SecureCookieSessionInterface):
            yield "pass", "the session is a signed cookie, which its visitor can read; the server stores nothing"
            return
        kind = _kind(interface)
        if kind.endswith("NullSessionInterface"):
            yield "pass", "there are no sessions"
            return
        held = list(vars(interface).values())
        held += [client for client in (getattr(thing, "_client", None) for thing in held) if client is not None]  # cachelib's RedisCache
        pools = [getattr(getattr(thing, "connection_pool", None), "connection_kwargs", None) for thing in held]
        pool = next((p for p in pools if isinstance(p, dict)), None)
        directory = next((p for p in (getattr(thing, "_path", None) for thing in held) if isinstance(p, (str, Path))), None)
        if pool is not None:
            yield from self._redis(pool)
        elif directory is not None:
            yield from self._directory(Path(directory))
        elif "memcache" in " ".join([kind, *map(_kind, held)]).lower():
            yield "warning", "sessions are in memcached, which asks nobody for a password"
        elif "sqlalchemy" in kind.lower():
            yield "pass", "sessions are in the application's own database"
        else:
            yield "unknown", f"sessions are kept by {kind}, which is not known here: see that its store is this application's alone"

    def _redis(self, pool: dict[str, Any]) -> Seen:
        where = "a unix socket" if pool.get("path") else "TCP"
        user, password = pool.get("username"), pool.get("password")
        if user and user != "default" and password:
            yield "pass", f"sessions are in Redis on {where}, under a user of its own"
        elif password:
            yield "warning", f"sessions are in Redis on {where}, under the default user, which all of its clients share"
        elif pool.get("path") and _private(Path(pool["path"])):
            yield "pass", "sessions are in Redis on a unix socket that is this account's alone"
        else:
            yield "warning", f"sessions are in Redis on {where} without a password: whoever can connect can write them"

    def _directory(self, directory: Path) -> Seen:
        if not directory.exists():
            yield "unknown", f"sessions are to be files in {directory}, which does not exist yet"
        elif not _private(directory):
            yield "warning", f"sessions are files in {directory}, which other accounts can enter", f"os.chmod({str(directory)!r}, 0o700)"
        else:
            yield "pass", f"sessions are files in {directory}, which is this account's alone"

    # -- CSRF

    @functools.cached_property
    def unsafe(self) -> list[tuple[Any, str]]:
        """Every route and method that may change something."""
        return [(rule, method) for rule in self.app.url_map.iter_rules() if rule.endpoint in self.app.view_functions
                for method in sorted(UNSAFE & set(rule.methods or ()))]

    @functools.cached_property
    def exempt(self) -> set[str]:
        """The endpoints Flask-WTF was told to leave out."""
        csrf, found = self._flask_wtf(), set()
        views, blueprints = getattr(csrf, "_exempt_views", ()), getattr(csrf, "_exempt_blueprints", ())
        for endpoint, view in self.app.view_functions.items():
            blueprint = endpoint.rpartition(".")[0]
            if (f"{getattr(view, '__module__', '')}.{getattr(view, '__name__', '')}" in views or blueprint and blueprint in blueprints
                    or blueprint and self.app.blueprints.get(blueprint) in blueprints):
                found.add(endpoint)
        return found

    def _flask_wtf(self) -> Any:
        extension = self.app.extensions.get("csrf")
        return extension if type(extension).__module__.startswith("flask_wtf") or any(
            base.__module__.startswith("flask_wtf") for base in type(extension).__mro__) else None

    def check_csrf_protection(self) -> Seen:
        if not self.unsafe:
            yield "pass", "no route changes anything"
            return
        wanted = self.question.get("csrf") or "flask_wtf"
        if wanted == "flask_wtf":
            yield from self._csrf_by_flask_wtf()
        elif not self._present(wanted):
            yield "error", f"{wanted} is not part of the application; {self._routes(self.unsafe)}", f"set {wanted} up in the application"
        else:
            open_to_all, untried = self._try(self.unsafe)
            if open_to_all:
                yield "error", f"a request without a token reaches {self._routes(open_to_all)}", f"let {wanted} cover every route"
            if untried:
                yield "unknown", f"could not be tried: {self._routes(untried)}"
            if not open_to_all and not untried:
                yield "pass", f"{len(self.unsafe)} routes refuse a request without a token ({wanted})"

    def _csrf_by_flask_wtf(self) -> Seen:
        csrf = self._flask_wtf()
        if csrf is None:
            yield "error", f"CSRFProtect is not part of the application; unprotected: {self._routes(self.unsafe)}"
            return
        if not self.config.get("WTF_CSRF_ENABLED") or not self.config.get("WTF_CSRF_CHECK_DEFAULT"):
            name = "WTF_CSRF_CHECK_DEFAULT" if self.config.get("WTF_CSRF_ENABLED") else "WTF_CSRF_ENABLED"
            yield "error", f"{name} is off; unprotected as far as can be seen: {self._routes(self.unsafe)}", f"{name} = True"
            return
        kept = [(rule, method) for rule, method in self.unsafe if rule.endpoint not in self.exempt]
        methods = set(self.config.get("WTF_CSRF_METHODS") or ())
        left_out = [pair for pair in kept if pair[1] not in methods]
        if left_out:
            yield "error", f"WTF_CSRF_METHODS leaves out {self._routes(left_out)}", 'WTF_CSRF_METHODS = ["POST", "PUT", "PATCH", "DELETE"]'
        kept = [pair for pair in kept if pair[1] in methods]
        open_to_all, untried = self._try(kept)
        if open_to_all:
            yield "error", f"a request without a token reaches {self._routes(open_to_all)}"
        elif not left_out:
            yield "pass", f"{len(kept)} routes are protected by CSRFProtect; {len(kept) - len(untried)} were tried without a token and refused"

    def _present(self, wanted: str) -> bool:
        """Whether a protection is there: an extension's key or class, what runs before requests, or a layer."""
        before = [f for functions in self.app.before_request_funcs.values() for f in functions]
        things = [*self.layers, *self.app.extensions.values(), *(getattr(f, "__self__", None) for f in before)]
        names = [*self.app.extensions, *(_kind(thing) for thing in things),
                 *(f"{getattr(f, '__module__', '')}.{getattr(f, '__qualname__', '')}" for f in before)]
        return any(name == wanted or name.startswith(wanted + ".") for name in names)

    def _try(self, pairs: list[tuple[Any, str]]) -> tuple[list, list]:
        """Those routes that a request without a token reaches, and those that could not be tried."""
        reached, untried = [], []
        with Probe(self.app, self.domains[0]) as probe:
            for rule, method in pairs:
                response = probe.request(rule, method, Origin="https://other-site.invalid", Referer="https://other-site.invalid/",
                                         Sec_Fetch_Site="cross-site", Content_Type="application/x-www-form-urlencoded")
                if probe.reached and response is not None:
                    reached.append((rule, method))
                elif response is None:
                    untried.append((rule, method))
        return reached, untried

    @staticmethod
    def _routes(pairs: Iterable[tuple[Any, str]]) -> str:
        return listed(f"{rule.endpoint} ({method})" for rule, method in pairs)

    def check_csrf_exemptions(self) -> Seen:
        left_out = [(rule, method) for rule, method in self.unsafe if rule.endpoint in self.exempt]
        if left_out:
            yield "error", f"exempt: {self._routes(left_out)}"

    # -- input

    def check_body_limit(self) -> Seen:
        limit, megabytes = self.config.get("MAX_CONTENT_LENGTH"), self.question.get("body_max_mb")
        if limit is None:
            yield "error", "MAX_CONTENT_LENGTH is not set"
        elif not isinstance(limit, int) or isinstance(limit, bool):
            yield "error", f"{self._is('MAX_CONTENT_LENGTH')}, which must be a number of bytes"
        elif megabytes and limit != megabytes * 2**20:
            yield "warning", f"MAX_CONTENT_LENGTH is {limit} bytes, the web server's body_max_mb {megabytes * 2**20}"
        else:
            yield "pass", f"MAX_CONTENT_LENGTH is {limit} bytes"

    def check_form_memory(self) -> Seen:
        name = "MAX_FORM_MEMORY_SIZE"  # a setting since Flask 3.1; before, an attribute of requests
        limit = self.config[name] if name in self.config and self.flask_numbers >= (3, 1, 0) else getattr(
            self.app.request_class, "max_form_memory_size", None)
        if limit is None:
            yield "warning", f"{name} is None"
        elif not isinstance(limit, int):
            yield "warning", f"{self._is(name)}, which must be a number of bytes"
        else:
            yield "pass", f"{name} is {limit} bytes"

    def check_upload_types(self) -> Seen:
        places = self.source.request.get("files", [])
        forms = {"FileField", "MultipleFileField"} & self.source.names
        if not places and not forms:
            yield "pass", "no view takes files"
        elif not any(self.config.get(name) for name in ALLOW_LISTS) and not {*ALLOW_LISTS, "FileAllowed"} & self.source.names:
            yield "warning", f"files are read in {listed(places) or 'forms'}, and no list of allowed extensions was found"
        else:
            yield "pass", f"files are read in {listed(places) or 'forms'}, and there is a list of allowed extensions"

    @functools.cached_property
    def templates(self) -> list[Template]:
        """The application's own templates."""
        return templates(self.app)

    def check_autoescape(self) -> Seen:
        from jinja2 import nodes

        escape = self.app.jinja_env.autoescape
        escapes = escape if callable(escape) else lambda _: escape
        own = self.templates
        broken = [Place(t.file, t.broken_line) for t in own if t.tree is None]
        if broken:
            yield "unknown", f"cannot be parsed: {listed(broken)}", "correct the template"
        off = {t.file: kind for t in own if not escapes(t.name) for kind in [_exposure(t)] if kind}
        for kind in ("error", "warning"):
            files = [file for file, found in off.items() if found == kind]
            if files:
                yield kind, f"not escaped: {listed(files)}"
        if self.source.template_strings and not escapes(None):
            yield "error", f"templates from strings are not escaped: {listed(self.source.template_strings)}"
        blocks = [Place(t.file, node.lineno) for t in own if t.tree for node in t.tree.find_all(nodes.ScopedEvalContextModifier)
                  for option in node.options if option.key == "autoescape" and getattr(option.value, "value", None) is not True]
        if blocks:
            yield "error", f"autoescape is switched off in {listed(blocks)}", "remove {% autoescape false %}"
        if not (broken or off or blocks):
            yield "pass", f"{len(own)} templates are escaped"

    def check_unescaped_output(self) -> Seen:
        from jinja2 import nodes

        own = self.templates
        safe = [Place(t.file, node.lineno) for t in own if t.tree for node in t.tree.find_all(nodes.Filter)
                if node.name == "safe" and getattr(node.node, "name", "") != "tojson"]
        if safe:
            yield "warning", f"|safe in {listed(safe)}"
        if self.source.markup:
            yield "warning", f"Markup() of a variable in {listed(self.source.markup)}"
        unseen = [t.file for t in own if t.tree is None] + self.source.unreadable
        if unseen:
            yield "unknown", f"cannot be parsed: {listed(unseen)}", "correct the file, or remove it"

    def check_input_validation(self) -> Seen:
        places = [*self.source.request.get("get_json", []), *self.source.request.get("json", [])]
        used = sorted({VALIDATORS[name] for name in self.source.imports & set(VALIDATORS)} | ({"Flask-WTF"} if "FlaskForm" in self.source.names else set()))
        if not self.unsafe or not places:
            yield "pass", "no route that changes something reads JSON"
        elif not used:
            yield "warning", f"JSON is read in {listed(places)}, and the code imports no library that validates it"
        else:
            yield "pass", f"the code imports {', '.join(used)}; whether every view uses it cannot be seen"

    # -- the proxy

    def check_proxy_hops(self) -> Seen:
        from werkzeug.middleware.proxy_fix import ProxyFix

        proxies, fixes = self.question.get("proxies", 1), [layer for layer in self.layers if isinstance(layer, ProxyFix)]
        if not fixes:
            if proxies:
                yield "warning", "there is no ProxyFix: every visitor has the proxy's address, and links may begin with http:"
            return
        for fix in fixes:
            trusted = {name: getattr(fix, name) for name in ("x_for", "x_proto", "x_host", "x_port", "x_prefix")}
            for name, header in (("x_host", "Host"), ("x_port", "Port"), ("x_prefix", "Prefix")):
                if trusted[name]:
                    yield "error", f"{name}={trusted[name]}, but the proxy sets no X-Forwarded-{header}: visitors choose it"
            for name in ("x_for", "x_proto"):
                if trusted[name] > proxies:
                    yield "error", f"{name}={trusted[name]} trusts more than the {proxies} proxies there are"
                elif trusted[name] < proxies:
                    yield "warning", f"{name}={trusted[name]} is less than the {proxies} proxies there are"
        if len(fixes) > 1:
            yield "warning", f"there are {len(fixes)} ProxyFix, one around the other", "keep one"

    def check_trusted_hosts(self) -> Seen:
        trusted = self.config.get("TRUSTED_HOSTS")
        if trusted and self.flask_numbers < (3, 1, 0):
            yield "warning", f"Flask {self.flask} does not read TRUSTED_HOSTS", "flask>=3.1.1"
            return
        trusted = trusted or getattr(self.app.request_class, "trusted_hosts", None)
        if not trusted:
            yield "warning", "TRUSTED_HOSTS is not set"
            return
        if not isinstance(trusted, (list, tuple, set, frozenset)) or not all(isinstance(host, str) for host in trusted):
            yield "error", f"{self._is('TRUSTED_HOSTS')}, which must be a list of names: all visitors get 400"
            return
        names = [_hostname(host) for host in trusted]
        missing = [d for d in self.domains if not any(d == n or n.startswith(".") and (d.endswith(n) or d == n[1:]) for n in names)]
        if missing:
            yield "error", f"visitors get 400 under {listed(missing)}, which TRUSTED_HOSTS leaves out"
        others = [n for n in names if n not in self.domains]
        if others:
            yield "warning", f"TRUSTED_HOSTS also has {listed(others)}"

    # -- errors

    def check_error_pages(self) -> Seen:
        marker = f"probe-{secrets.token_hex(8)}"
        pages: dict[str, Any] = {}
        with Probe(self.app, self.domains[0]) as probe:
            probe.failure = ProbeFailure(marker)
            tried: Counter = Counter()
            for rule in self.app.url_map.iter_rules():
                blueprint = rule.endpoint.rpartition(".")[0]  # each may have an error page of its own
                if blueprint in pages or "GET" not in (rule.methods or ()) or tried[blueprint] > 20:
                    continue
                tried[blueprint] += 1
                response = probe.request(rule, "GET", Accept="text/html,application/json;q=0.9")
                if probe.reached and response is not None:
                    pages[blueprint] = response
            if not pages:  # something in front of every view answers: ask the error handling itself
                pages["without a view"] = self._handled(probe.failure)
        for blueprint, page in pages.items():
            yield from self._page(f" (blueprint {blueprint})" if blueprint else "", page, marker)

    def _handled(self, failure: Exception) -> Any:
        with self.app.test_request_context("/", base_url=f"https://{self.domains[0]}"):
            try:
                try:
                    return self.app.make_response(self.app.handle_user_exception(failure))
                except ProbeFailure as unhandled:
                    return self.app.make_response(self.app.handle_exception(unhandled))
            except Exception as error:  # noqa: BLE001 an error handler that fails itself
                return error

    def _page(self, where: str, page: Any, marker: str) -> Seen:
        if isinstance(page, Exception):
            yield "error", f"the error handler itself fails with {type(page).__name__}{where}: visitors get gunicorn's page"
            return
        body = page.get_data().decode("utf-8", "replace")
        inside = {"a traceback": ("Traceback (most recent call", 'File "', "File &#34;", "File &quot;"),
                  "the exception's text": (marker,), "the exception's type": (ProbeFailure.__name__,),
                  "paths of files": (self.question["source"], self.app.root_path, "site-packages", os.path.basename(__file__)),
                  "the configuration": ("SECRET_KEY", "SESSION_COOKIE_"), "a secret value": self.veil.secret}
        for what, texts in inside.items():
            if any(text in body for text in texts):
                yield "error", f"the page for a failure shows {what}{where}"
        if page.status_code != 500:
            yield "warning", f"a failure is answered with {page.status_code}{where}, so that nobody notices it", "return …, 500"


def weak(key: Any) -> str:
    """What is wrong with a key, or nothing. The key itself is not told."""
    if key is None or key in ("", b""):
        return "is not set"
    if not isinstance(key, (str, bytes)):
        return f"is {type(key).__name__}, not text: as JSON, digits alone become a number"
    raw = key.encode() if isinstance(key, str) else key
    text = raw.decode("latin-1")
    if raw in KNOWN_KEYS:
        return "stands in a manual or tutorial"
    if PLACEHOLDER.search(text) and not RANDOM.search(text):
        return "is a placeholder"
    if len(key) < MINIMUM_KEY:
        return f"has {len(key)} characters; {MINIMUM_KEY} is the least, 32 is good practice"
    if bits(text) < MINIMUM_BITS:
        return f"has {len(key)} characters that repeat or follow a pattern"
    return ""


def bits(text: str) -> float:
    """How hard a text is to guess, roughly: generous to randomness, strict with repetition, runs and words."""
    period = next((n for n in range(1, len(text) + 1) if text == (text[:n] * len(text))[: len(text)]), 0)
    unit = text[:period]
    fresh = [b for a, b in zip(unit, unit[1:]) if abs(ord(b) - ord(a)) > 1]  # abcd, 4321 and aaaa add little
    if len(fresh) < len(unit) / 2:
        unit = "".join(fresh)
    counts = Counter(unit)
    each = -sum(n / len(unit) * math.log2(n / len(unit)) for n in counts.values()) if unit else 0.0
    if re.fullmatch(r"[a-z\W_]*|[A-Z\W_]*", unit, re.ASCII) and unit.isascii():
        each = min(each, 2.0)  # words
    return each * len(unit)


def _private(path: Path) -> bool:
    """Whether a file or directory is this account's alone."""
    try:
        found = path.stat()
    except OSError:
        return False
    return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077


def _exposure(template: Template) -> str:
    """What it means that a template is not escaped: error for a page, warning for text with tags, else nothing."""
    from jinja2 import nodes

    if template.tree is None or all(isinstance(part, nodes.TemplateData) for out in template.tree.find_all(nodes.Output) for part in out.nodes):
        return ""  # it puts nothing in
    suffixes = [s.lower() for s in Path(template.name).suffixes]
    while suffixes and suffixes[-1] in JINJA_SUFFIXES:
        suffixes.pop()
    if (suffixes[-1] if suffixes else "") in PAGES:
        return "error"
    return "warning" if re.search(r"<(html|body|div|p|a|script|table|span)\b", template.text, re.I) else ""


def _hostname(host: str) -> str:
    return host.lower().rsplit(":", 1)[0] if re.search(r":\d+$", host) else host.lower()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    found = [int(n) for n in re.findall(r"\d+", version)[:3]]
    return tuple(found + [0] * (3 - len(found)))


# --- the answer -----------------------------------------------------------------------------------


def finding(check: Check, result: str, found: str, fix: str = "") -> dict[str, str]:
    """One finding; what is well needs no advice."""
    told = {} if result == "pass" else {"why": check.why, "fix": fix or check.fix}
    return {"check": check.id, "result": result, "found": found, "why": "", "fix": "", **told}


def _nothing_seen(reason: str, fix: str) -> list[dict[str, str]]:
    return [finding(check, "unknown", reason, fix) for check in CHECKS]


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Import the application and look at it."""
    veil = Veil()
    found: dict[str, Any] = {"inspector": 1, "python": platform.python_version(), "flask": _version("flask"), "findings": [], "exception": None}
    try:
        applications = flask_apps(load(question["wsgi"]))
    except CannotInspect as error:
        found["findings"] = _nothing_seen(str(error), "name a Flask application in wsgi, such as shop:create_app()")
    except BaseException as error:  # noqa: B036 importing runs the application's code, which may also call sys.exit
        found["exception"] = explain(error, veil)
        found["findings"] = _nothing_seen(f"the application cannot be imported: {type(error).__name__}", "see the exception")
    else:
        for layered in applications:
            veil.add_config(layered.app.config)
        for layered in applications:
            name = f"{layered.app.import_name}: " if len(applications) > 1 else ""
            for one in Inspection(layered, question, veil).findings():
                found["findings"].append({**one, "found": veil.over(name + one["found"]), "fix": veil.over(one["fix"])})
    return found


def main() -> None:
    """Answer on the standard output, which the application itself cannot reach."""
    with open(sys.argv[1], encoding="utf-8") as stream:
        question = json.load(stream)
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path[0] = question["source"]  # as gunicorn does
    sys.argv = ["gunicorn"]  # an application may read the command line
    output.write(json.dumps(answer(question)) + "\n")
    output.flush()
    sys.stderr.flush()
    os._exit(0)  # threads and exit handlers of the application do not matter here


if __name__ == "__main__":
    main()
