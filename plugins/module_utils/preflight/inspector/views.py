"""Analyse the source of a view function without running it."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from typing import Any, Callable, Iterator


def validates_a_form(view: Callable[..., Any], method: str) -> bool:
    """Whether a view constructs a form that checks a CSRF token, and validates it, where it handles a method of HTTP."""
    return any(_validates_a_form(function) for function in _functions(view, method))


def _functions(view: Callable[..., Any], method: str) -> Iterator[Any]:
    """The functions that handle a request: the view itself, or the methods of its class."""
    kind = getattr(view, "view_class", None)
    if kind is None:
        yield inspect.unwrap(view)
    else:
        yield from (inspect.unwrap(getattr(kind, name)) for name in (method.lower(), "dispatch_request")
                    if inspect.isfunction(getattr(kind, name, None)))


def _validates_a_form(function: Any) -> bool:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return False
    names = dict(getattr(function, "__globals__", {}))
    for node in ast.walk(tree):  # forms that the view imports itself
        if isinstance(node, ast.ImportFrom):
            names.update(_imported(node, function))
    forms = {target.id for node in ast.walk(tree) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
             and _checks_tokens(_value(node.value.func, names), node.value)
             for target in node.targets if isinstance(target, ast.Name)}
    return any(isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("validate_on_submit", "validate")
               and isinstance(node.func.value, ast.Name) and node.func.value.id in forms for node in ast.walk(tree))


def _imported(node: ast.ImportFrom, function: Any) -> dict[str, Any]:
    """What an import inside a function would bring, from the modules that are loaded already."""
    package = function.__globals__.get("__package__") or ""
    parts = package.split(".")
    base = ".".join(parts[:len(parts) - node.level + 1]) if node.level else ""
    module = sys.modules.get(".".join(part for part in (base, node.module or "") if part))
    return {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names if hasattr(module, alias.name)}


def _value(node: ast.AST, names: dict[str, Any]) -> Any:
    """The object that a name or a dotted name stands for, or None."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        try:
            return getattr(_value(node.value, names), node.attr, None)
        except Exception:  # noqa: BLE001 a proxy such as current_user has attributes only during a request
            return None
    return None


def _checks_tokens(kind: Any, call: ast.Call) -> bool:
    """Whether a class is a form of Flask-WTF whose token is neither switched off in its class nor by its caller."""
    if not isinstance(kind, type) or not any(base.__module__.startswith("flask_wtf") and base.__name__ == "FlaskForm" for base in kind.__mro__):
        return False
    if getattr(getattr(kind, "Meta", None), "csrf", True) is False:
        return False
    return not any(keyword.arg in ("meta", "csrf_enabled", None) for keyword in call.keywords)
