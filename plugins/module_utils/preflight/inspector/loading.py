"""Load the WSGI or ASGI target as gunicorn does, and find the Flask applications below it."""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.source import FOREIGN, TESTS

EXAMPLE = 'write wsgi: "module:variable", such as "shop:app", or "shop:create_app()"'
CLASSES = {"Flask", "APIFlask", "Quart", "FastAPI", "Starlette", "Litestar", "get_wsgi_application", "get_asgi_application"}
MOST_MODULES = 2000
FACTORY = re.compile(r"(create|make|build|get)_?\w*app\w*|app_factory|factory")


class CannotInspect(Exception):
    """There is no Flask application to inspect. The text has the reason, `cure` the remedy.

    The result is `error` where it could not be served either. An empty `cure` means that nothing needs to be written.
    `instead` is the target that was probably meant.
    """

    def __init__(self, text: str, result: str = "unknown", cure: str | None = None, instead: str = "") -> None:
        super().__init__(text)
        self.result, self.cure, self.instead = result, cure, instead


def load(target: str) -> Any:
    """The object gunicorn would serve, by gunicorn's grammar."""
    module, _unused, expression = target.partition(":")
    expression = expression or "application"
    try:
        parsed = ast.parse(expression, mode="eval").body
    except SyntaxError:
        raise CannotInspect(f"wsgi: {expression} is neither a name nor a call", "error", EXAMPLE) from None
    if isinstance(parsed, ast.Name):
        name, call = parsed.id, None
    elif isinstance(parsed, ast.Call) and isinstance(parsed.func, ast.Name):
        try:
            name = parsed.func.id
            call = ([ast.literal_eval(a) for a in parsed.args], {str(k.arg): ast.literal_eval(k.value) for k in parsed.keywords})
        except ValueError:
            raise CannotInspect(f"wsgi: {name}(…) may be called with literal values only", "error", EXAMPLE) from None
    else:
        raise CannotInspect(f"wsgi: {expression} must be a name or the call of one", "error", EXAMPLE)
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        # Only where the named module itself is missing.
        candidates = module_candidates(module, Path.cwd()) if error.name and (module == error.name or module.startswith(f"{error.name}.")) else []
        if not candidates:
            raise
        raise CannotInspect(f"wsgi: there is no module {module}", "error", *_line(candidates)) from None
    try:
        application = getattr(imported, name)
    except AttributeError:
        raise CannotInspect(f"wsgi: the module {module} has no {name}", "error", *_candidates(module, imported)) from None
    if call is not None:
        application = application(*call[0], **call[1])
    if call is None and inspect.isfunction(application) and not is_asgi(application):
        try:
            inspect.signature(application).bind({}, None)
        except TypeError:
            instead = f"{module}:{name}()"
            raise CannotInspect(f"wsgi: {module}:{name} is a function that makes the application", "error", f'wsgi: "{instead}"', instead) from None
    if not callable(application):
        raise CannotInspect(f"wsgi: {module}:{expression} gives {kind_of(application)}, which is no application", "error", *_candidates(module, imported))
    return application


def _candidates(module: str, imported: Any) -> tuple[str, str]:
    """The line for what the module has that could be served, applications before functions that make one, and the first of them."""
    names = vars(imported).items()
    targets = [name for name, value in names if is_flask(value)]
    targets += [f"{name}()" for name, value in names if inspect.isfunction(value) and FACTORY.fullmatch(name)]
    return _line([f"{module}:{name}" for name in targets])


def _line(targets: list[str]) -> tuple[str, str]:
    """The line for some targets, the most likely one first, and this one."""
    if not targets:
        return EXAMPLE, ""
    first, *others = targets
    return f'wsgi: "{first}"' + (f" # or {', '.join(map(json.dumps, others))}" if others else ""), first


def module_candidates(wanted: str, source: Path) -> list[str]:
    """What modules of a source could be served, without running them: those with a name like the wanted one first."""
    targets: list[str] = []
    for directory, below, names in os.walk(source):
        below[:] = sorted(name for name in below if name.isidentifier() and name not in FOREIGN | TESTS)
        for name in sorted(names)[:MOST_MODULES]:
            path = Path(directory, name)
            if path.suffix == ".py" and path.stem.isidentifier():
                parts = path.relative_to(source).with_suffix("").parts
                targets += [f"{'.'.join(parts[:-1] if parts[-1] == '__init__' else parts)}:{target}" for target in _defined(path)]
    return sorted(targets, key=lambda target: -difflib.SequenceMatcher(None, wanted, target.partition(":")[0]).ratio())[:4]


def _defined(path: Path) -> list[str]:
    """The applications and the functions that make one at the top of a file."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    called = {target.id: node.value.func for node in body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
              for target in node.targets if isinstance(target, ast.Name)}
    targets = [name for name, function in called.items() if getattr(function, "id", getattr(function, "attr", "")) in CLASSES]
    # A factory without arguments that must be given.
    return targets + [f"{node.name}()" for node in body if isinstance(node, ast.FunctionDef) and FACTORY.fullmatch(node.name)
                      and len(node.args.args) <= len(node.args.defaults) and all(node.args.kw_defaults)]


def is_flask(thing: Any) -> bool:
    """Whether an object is an application of Flask, without an import of Flask."""
    return any(kind.__name__ == "Flask" and kind.__module__.startswith("flask") for kind in type(thing).__mro__)


def is_asgi(thing: Any) -> bool:
    """Whether an object is called as ASGI prescribes. FastAPI, Starlette, Quart and others are; nothing is called to find out."""
    if isinstance(thing, type):
        return False
    call = next((vars(kind)["__call__"] for kind in type(thing).__mro__ if "__call__" in vars(kind)), None)
    return inspect.iscoroutinefunction(thing) or inspect.iscoroutinefunction(call)


def interface(target: str, application: Any, worker_class: str) -> str:
    """How an application is called, `wsgi` or `asgi`; an error where the chosen class of workers calls it otherwise."""
    kind = "asgi" if is_asgi(application) else "wsgi"
    if {"asgi": "asgi", "gthread": "wsgi"}.get(worker_class, kind) != kind:
        raise CannotInspect(f"wsgi: {target} is {'an ASGI' if kind == 'asgi' else 'a WSGI'} application ({kind_of(application)}), and "
                            f"gunicorn_app.worker_class is {worker_class}", "error", "leave out worker_class")
    return kind


def kind_of(thing: Any) -> str:
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
        raise CannotInspect(f"{kind_of(root)} is no Flask application, and Flask is not installed; it is served, and the checks, "
                            "which are for Flask, were left out", cure="") from None
    layers: dict[int, Layered] = {}
    seen: set[int] = set()

    def inner(node: Any) -> list[Any]:
        """The objects to which a layer may pass a request."""
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
            layers.setdefault(id(owner), Layered(owner, above))
            return
        if id(node) in seen or len(above) > 30:
            return
        seen.add(id(node))
        if isinstance(node, Flask):
            way = vars(node).get("wsgi_app")
            if way is not None:
                walk(way, above)
            layers.setdefault(id(node), Layered(node, above if way is None else [*above, way]))
            return
        for following in inner(node):
            walk(following, [*above, node])

    walk(root, [])
    if not layers:
        raise CannotInspect(f"wsgi names no Flask application but {kind_of(root)}, and none was found below it; it is served, "
                            "and the checks, which are for Flask, were left out", cure="")
    return list(layers.values())
