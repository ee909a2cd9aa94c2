"""Inspect a Flask application: `<venv>/bin/python inspector.zip question.json`.

Runs in the application's place: its account, its environment, its venv, its source directory as working directory. It
inspects the live application object, however it was configured. It needs only the standard library and the
application's packages, and works with old versions of Python and Flask.

No view of the application runs: while requests are made, stubs take the views' places. No value of a secret is
printed. The standard output is one JSON document; all else that the application prints goes to the standard error.

Question: {"wsgi": "shop:create_app()", "source": directory, "domains": [...], "proxies": 1, "body_max_mb": 16,
"account": "shop", "shared": ["instance"], "sealed": whether nothing else of the source can be written,
"deployment": [deployment.py, settings file] or nothing}
Answer: {"inspector": 1, "python": "3.13.5", "flask": "3.1.3" or null, "interface": "wsgi",
"asgi" or "" where it could not be loaded, "exception": null or {type, text, traceback},
"imported": [files of the source], "not_served": [[file, first and last line of code that no request runs]],
"from_prefixed_env": bool, "commands": [the application's own commands of `flask`],
"template_folders": [those that packages bring], "places": [paths that settings or databases name for data and that cannot be
written], "obstacles": [why workers cannot be forked after the import] or null where it was not imported, "findings": [{check, result, found, why, fix}, ...]}.
Every check has at least one finding. Its result is pass, warning, error, or unknown where nothing could be seen. A
target that is no Flask application has one finding, of the check `application`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import json
import os
import platform
import runpy
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.checks.places import missing_databases, unwritable
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.checks.proxy import served
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.forking import Forking
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.loading import CannotInspect, flask_apps, interface, is_flask, kind_of, load
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import Check, finding
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.redact import Redactor
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.subject import Subject, version
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.table import APPLICATION, CHECKS

OWN_FILES = str(Path(__file__).parent)
# Their templates are no pages of the application that is made with them.
FRAMEWORKS = {"aiohttp", "bottle", "django", "falcon", "fastapi", "flask", "litestar", "pyramid", "quart", "starlette", "werkzeug"}
VOCABULARY = " ".join(text for check in CHECKS for text in (check.id, check.title, check.why, check.fix))


def explain(error: BaseException, redactor: Redactor) -> dict[str, str]:
    """An exception of the application: its text without secrets, and its frames without lines of source."""
    text = "the application called sys.exit" + (f": {error.code}" if error.code is not None else "") if isinstance(error, SystemExit) else str(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if not frame.filename.startswith((OWN_FILES, "<frozen")) and frame.filename not in (importlib.__file__, runpy.__file__)]
    trace = "\n".join(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames[-20:])
    return {"type": type(error).__name__, "text": redactor.redact(text)[:2000], "traceback": redactor.redact(trace)}


def findings(subject: Subject) -> Iterator[dict[str, str]]:
    """The findings of every check in one application."""
    for check in CHECKS:
        seen: list[tuple] = []
        try:
            for one in check.run(subject):  # type: ignore[misc]
                seen.append(one)
        except Exception as error:  # noqa: BLE001 a check that fails must not hide the others; its text may hold values
            last = traceback.extract_tb(error.__traceback__)[-1]
            seen.append(("unknown", f"the check itself failed: {type(error).__name__} at {Path(last.filename).name}:{last.lineno}",
                         "report this to the maintainers of the collection"))
        for result, text, *cure in seen or [("pass", check.title)]:
            if result == "pass" and check.setting and subject.set_by_deployment(check.setting[0]):
                text += " (set by the deployment)"
            yield finding(check, result, text, cure[0] if cure else _cure(check, subject))


def _cure(check: Check, subject: Subject) -> str:
    known = {"proxies": subject.question.get("proxies", 1), "body_max_mb": subject.question.get("body_max_mb"), "hosts": json.dumps(served(subject.domains))}
    return functools.reduce(lambda text, name: text.replace(f"{{{name}}}", str(known[name])), known, check.fix)


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Import the application and inspect it."""
    redactor = Redactor(os.environ, VOCABULARY)
    result: dict[str, Any] = {"inspector": 1, "python": platform.python_version(), "flask": version("flask"), "interface": "", "findings": [],
                              "exception": None, "imported": [], "not_served": [], "from_prefixed_env": False, "commands": [], "template_folders": [],
                              "places": [], "obstacles": None}
    databases: list[Any] = []
    sys.addaudithook(lambda event, args: databases.append(args[0]) if event == "sqlite3.connect" else None)
    try:
        deployment = _deployment(question)
        try:
            applications = _applications(question["wsgi"], deployment, result, question)
        except CannotInspect as error:
            result["findings"] = [finding(APPLICATION, error.result, str(error), error.cure)]
            # The rest is told at once.
            applications = _applications(error.instead, deployment, result, question) if error.instead else []
    except CannotInspect:
        pass
    except BaseException as error:  # noqa: B036 importing runs the application's code, which may also call sys.exit
        if not result["findings"]:
            result["exception"] = explain(error, redactor)
            result["findings"] = [finding(APPLICATION, "unknown", f"the application cannot be imported: {type(error).__name__}", "see the exception")]
        result["places"] = _places([thing for thing in gc.get_objects() if is_flask(thing)], question)
    else:
        result["places"] += _places([layered.app for layered in applications], question)
        for layered in applications:
            redactor.add_config(layered.app.config)
        for layered in applications:
            name = f"{layered.app.import_name}: " if len(applications) > 1 else ""
            subject = Subject(layered, question, redactor, deployment)
            result["imported"] = subject.imported_files()
            result["not_served"] += subject.not_served()
            result["from_prefixed_env"] |= "from_prefixed_env" in subject.source.names
            result["commands"] += sorted(layered.app.cli.commands)
            result["template_folders"] += subject.foreign_template_folders()
            for one in findings(subject):
                result["findings"].append({**one, "found": redactor.redact(name + one["found"]), "fix": redactor.redact(one["fix"])})
    # SQLite's error has no path, and code may name its database itself.
    result["places"] = list(dict.fromkeys([*result["places"], *map(str, missing_databases(databases, question))]))
    return result


def _applications(wsgi: str, deployment: Any, result: dict[str, Any], question: dict[str, Any]) -> list[Any]:
    """Import what would be served; returns the applications of Flask in it, with their settings."""
    before = Forking()
    target = load(wsgi)
    result["obstacles"] = before.obstacles()
    result["template_folders"] = _package_of(target)
    result["interface"] = interface(wsgi, target, deployment.worker_class if deployment is not None else "auto")
    if result["interface"] == "asgi":
        result["places"] = _places([target], question)  # those of Quart have such settings
        raise CannotInspect(f"{wsgi} is an ASGI application ({kind_of(target)}) and is served as such; "
                            "the checks are for Flask and were left out", cure="")
    applications = flask_apps(target)
    if deployment is not None:
        deployment.finish()
    return applications


def _package_of(target: Any) -> list[str]:
    """The directory of the installed package whose class or function is the application."""
    module = target.__module__ if hasattr(target, "__code__") else type(target).__module__
    name = str(module).partition(".")[0]
    paths = [str(path) for path in getattr(sys.modules.get(name), "__path__", [])]
    return [path for path in paths if name not in FRAMEWORKS and {"site-packages", "dist-packages"} & set(Path(path).parts)]


def _places(applications: list[Any], question: dict[str, Any]) -> list[str]:
    """The places for data that cannot be written; those of an application that is half made, as far as its settings are there."""
    paths: list[str] = []
    for app in applications:
        with contextlib.suppress(Exception):
            paths += [str(path) for _setting, path in unwritable(app, question)]
    return list(dict.fromkeys(paths))


def _deployment(question: dict[str, Any]) -> Any:
    """The settings that gunicorn's configuration adds, installed before the application is imported."""
    if not question.get("deployment"):
        return None
    program, settings = question["deployment"]
    deployment = runpy.run_path(program)["Deployment"](settings)
    deployment.install()
    return deployment


def main() -> None:
    """Write the report to the standard output, which the application itself cannot reach."""
    with open(sys.argv[1], encoding="utf-8") as stream:
        question = json.load(stream)
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Everything of the inspector is imported. From here on the application's names are the only ones.
    for name in [name for name in sys.modules if name.split(".")[0] == "ansible_collections"]:
        del sys.modules[name]
    sys.path[0] = question["source"]  # as gunicorn does
    sys.argv = ["gunicorn"]  # an application may read the command line
    output.write(json.dumps(answer(question)) + "\n")
    output.flush()
    for standard in (sys.stdout, sys.stderr):  # the application may have closed or replaced them
        with contextlib.suppress(Exception):
            standard.flush()
    os._exit(0)  # threads and exit handlers of the application do not matter here
