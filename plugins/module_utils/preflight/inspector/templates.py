"""Read the application's own templates, without rendering them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple


class Template(NamedTuple):
    """A template of the application's own: its name, where it is, its text, and its tree or None."""

    name: str
    file: str
    text: str
    tree: Any
    broken_line: int


def templates(app: Any, domain: str) -> list[Template]:
    """All templates of the application and of its own blueprints."""
    try:
        return _templates(app)
    except RuntimeError:  # a loader of themes, which asks the current request for the application
        with app.test_request_context(base_url=f"https://{domain}/"):
            return _templates(app)


def _templates(app: Any) -> list[Template]:
    from jinja2 import TemplateSyntaxError

    own = Path(app.root_path)
    loaders = [app.jinja_loader] + [b.jinja_loader for b in app.blueprints.values()]
    if type(app.jinja_env.loader).__module__ != "flask.templating":
        loaders.append(app.jinja_env.loader)
    by_file: dict[str, Template] = {}
    for loader in loaders:
        for name in _template_names(loader):
            try:
                text, file, _unused = loader.get_source(app.jinja_env, name)
            except Exception:  # noqa: BLE001, S112 a picture beside the templates, or a loader that lists what it cannot read
                continue
            path = Path(file or name)
            if (file or name) in by_file or "site-packages" in path.parts and own not in path.parents:
                continue  # a template of a package
            shown = str(path.relative_to(own)) if own in path.parents else name
            try:
                by_file[file or name] = Template(name, shown, text, app.jinja_env.parse(text, name), 0)
            except TemplateSyntaxError as error:
                by_file[file or name] = Template(name, shown, text, None, error.lineno)
    return list(by_file.values())


def _template_names(loader: Any) -> list[str]:
    try:
        return loader.list_templates() if loader is not None else []
    except (TypeError, OSError):  # a loader that does not support this
        return []
