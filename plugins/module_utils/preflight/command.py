"""Inspect a directory on the machine at hand, as a deploy inspects a release. Needs Python alone, and no host.

The application is imported by its own interpreter, with what the deployment lays over it. There is no sandbox here: what
needs one, such as a write beside the code, is not seen.
"""

from __future__ import annotations

import argparse
import datetime
import getpass
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLLECTION = Path(__file__).resolve().parents[3]
if __name__ == "__main__":
    # As a program it may lie in a clone, whose directory can have any name.
    sys.path.pop(0)
    for name, place in (("ansible_collections", []), ("ansible_collections.bulwark", []), ("ansible_collections.bulwark.flask", [str(COLLECTION)])):
        package = types.ModuleType(name)
        package.__path__ = place
        sys.modules[name] = package

from ansible_collections.bulwark.flask.plugins.module_utils.preflight import formats, packing, policy, tools
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.redact import Redactor
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.pages import Pages
from ansible_collections.bulwark.flask.plugins.module_utils.safe_settings import safe_settings

DEPLOYMENT = COLLECTION / "roles/gunicorn_app/files/deployment.py"
GOOD, REFUSED, NOT_INSPECTED = 0, 1, 2
NOT_SEEN = ("Not seen here: what the sandbox of the server forbids. The server's own secrets and environment may differ; "
            "a SECRET_KEY was made up where FLASK_SECRET_KEY is not set.")


class CannotInspect(Exception):
    """There is no result. The text says why, and what to do."""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(
        prog="inspect", description="Inspect a Flask application as a deploy does, before the first one and in a pipeline.",
        epilog="Exit status: 0 a deploy would let it pass, 1 it would refuse it, 2 it could not be inspected.")
    options.add_argument("directory", type=Path, help="the application's directory: where gunicorn would be started")
    options.add_argument("--wsgi", help="what gunicorn would serve, such as shop:app or shop:create_app()")
    options.add_argument("--entry", help="file with the application's entry of flask_apps, as JSON, or as YAML where PyYAML is installed; - is the "
                                         "standard input. Its wsgi, domains, env, config, body_max_mb, app_release and gunicorn_app count")
    options.add_argument("--python", type=Path, help="the application's interpreter; by default that of .venv or venv beside it, or of the active environment")
    options.add_argument("--format", choices=formats.FORMATS, default="text")
    options.add_argument("--output", type=Path, help="write the result to this file, and the text to the standard output")
    options.add_argument("--timeout", type=int, default=120, metavar="SECONDS", help="120 by default")
    return options


def read_entry(path: str | None) -> dict[str, Any]:
    """The application's entry."""
    if path is None:
        return {}
    text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    try:
        entry = json.loads(text)
    except ValueError:
        try:
            import yaml
        except ImportError:
            raise CannotInspect(f"{path} is no JSON, and {sys.executable} has no PyYAML; write JSON, or run: pip install pyyaml") from None
        entry = yaml.safe_load(text)
    if not isinstance(entry, dict):
        raise CannotInspect(f"{path} must hold one entry of flask_apps, such as {{wsgi: \"shop:create_app()\"}}")
    return entry


def interpreter(directory: Path, wanted: Path | None) -> Path:
    """The interpreter that has the application's packages."""
    if wanted is not None:
        program = shutil.which(wanted)
        if program is None:
            raise CannotInspect(f"--python {wanted} is no program")
        return Path(program).absolute()  # not resolved: a link in bin is what makes a virtual environment
    active = os.environ.get("VIRTUAL_ENV")
    places = [directory / ".venv", directory / "venv", *([Path(active)] if active else [])]
    return next((place / "bin/python" for place in places if (place / "bin/python").exists()), Path(sys.executable))


class Command:
    """One run."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.entry = read_entry(arguments.entry)
        self.release: Mapping[str, Any] = self.entry.get("app_release") or {}
        self.server: Mapping[str, Any] = self.entry.get("gunicorn_app") or {}
        self.source = (arguments.directory / self.entry.get("subdirectory", "")).resolve()
        if not self.source.is_dir():
            raise CannotInspect(f"{self.source} is no directory")
        self.wsgi = arguments.wsgi or self.entry.get("wsgi")
        if not self.wsgi:
            raise CannotInspect("Name what gunicorn would serve: --wsgi shop:app, or --wsgi 'shop:create_app()'")
        self.python = interpreter(self.source, arguments.python)
        self.seconds = arguments.timeout
        self.domains = list(self.entry.get("domains") or ["localhost"])
        self.body_max_mb = int(self.entry.get("body_max_mb", 16))
        self.policy = self.release.get("policy") or {}
        if wrong := policy.problems(self.policy, "app_release.policy"):
            raise CannotInspect("\n".join(wrong))
        self.environment = self._environment()
        self.redactor = Redactor(self.environment)
        self.facts = tools.Facts()

    def _environment(self) -> dict[str, str]:
        """That of this process, with what the entry says. A key is made up as on a host."""
        given = {name: value if isinstance(value, str) else json.dumps(value) for name, value in (self.entry.get("env") or {}).items()}
        own = {name: value for name, value in os.environ.items() if name not in ("FLASK_DEBUG", "FLASK_ENV", "FLASK_APP", "PYTHONPATH", "PYTHONHOME")}
        generated = (self.entry.get("app_secrets") or {}).get("generated") or {}
        made_up = {name: secrets.token_hex(32) for name in ["FLASK_SECRET_KEY", *generated] if not own.get(name)}
        if "FLASK_SECRET_KEY" in made_up and not own.get("SECRET_KEY"):
            made_up.setdefault("SECRET_KEY", made_up["FLASK_SECRET_KEY"])
        return {**own, **made_up, **given, "PYTHONDONTWRITEBYTECODE": "1"}

    def _settings(self) -> dict[str, Any]:
        """What the deployment lays over the application."""
        return {"defaults": safe_settings(self.domains, self.body_max_mb) if self.server.get("safe_settings", True) else {},
                "config": self.entry.get("config") or {}, "refuse_cross_site": self.server.get("cross_site_requests", "refuse") == "refuse",
                "trusted_origins": self.server.get("trusted_origins") or [], "worker_class": self.server.get("worker_class", "auto"),
                "workers": self.server.get("workers", 0)}

    def run(self) -> policy.Report:
        """Inspect it and weigh the findings."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "inspector.zip").write_bytes(packing.inspector_zip())
            (folder / "settings.json").write_text(json.dumps(self._settings()), encoding="utf-8")
            question = {"wsgi": self.wsgi, "source": str(self.source), "domains": self.domains, "proxies": self.policy.get("proxies", 1),
                        "body_max_mb": self.body_max_mb, "account": getpass.getuser(),
                        "shared": self.entry.get("shared", ["instance"]), "sealed": True, "deployment": [str(DEPLOYMENT), str(folder / "settings.json")]}
            (folder / "question.json").write_text(json.dumps(question), encoding="utf-8")
            (folder / "state").mkdir()
            answer, printed = self._ask([str(self.python), str(folder / "inspector.zip"), str(folder / "question.json")], folder / "state")
        try:
            failed, has_flask = json.loads(answer)["exception"], json.loads(answer)["flask"] or json.loads(answer)["interface"] == "asgi"
        except (ValueError, TypeError, KeyError):
            raise CannotInspect(f"The inspection ended early. The application printed:\n{printed}") from None
        if failed:
            raise CannotInspect("\n".join(part for part in (f"{self.wsgi} cannot be imported by {self.python}:", failed["traceback"].rstrip(),
                                                            f"{failed['type']}: {failed['text']}", printed and f"The application printed:\n{printed}") if part))
        if not has_flask:
            raise CannotInspect(f"{self.python} has no Flask; name the application's own interpreter with --python")
        self.facts = tools.inspector_facts(answer)
        findings = tools.inspector_findings(answer) + self._bandit() + self._audit()
        return policy.evaluate(findings, self.policy, datetime.date.today())

    def _ask(self, argv: list[str], state: Path) -> tuple[str, str]:
        """The inspector's answer and what the application printed."""
        try:
            done = subprocess.run(argv, cwd=self.source, env={**self.environment, "STATE_DIRECTORY": str(state)}, capture_output=True, text=True,
                                  errors="replace", timeout=self.seconds, check=False, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise CannotInspect(f"The inspection was ended after {self.seconds} s; most of it is the import of {self.wsgi}. "
                                f"To allow more: --timeout {5 * self.seconds}") from None
        return done.stdout, "\n".join(self.redactor.redact(done.stderr).rstrip().splitlines()[-20:])

    def _tool(self, name: str) -> str | None:
        return shutil.which(name, path=os.pathsep.join([str(self.python.parent), str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

    def _output(self, argv: list[str], **environment: str) -> str:
        """What a tool printed; its exit status says what it found."""
        try:
            return subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=self.seconds, check=False, stdin=subprocess.DEVNULL,
                                  env={**os.environ, **environment}).stdout
        except subprocess.TimeoutExpired:
            return ""

    def _bandit(self) -> list[dict[str, str]]:
        program = self._tool("bandit")
        if program is None:
            return [tools.finding(tools.STATIC_ANALYSIS, "unknown", "bandit is not installed here", "pip install bandit, then repeat")]
        text = self._output(tools.bandit_command(program, str(self.source)))
        return tools.bandit_findings(text[text.find("{"):] if "{" in text else "", str(self.source), self.facts)

    def _audit(self) -> list[dict[str, str]]:
        program = self._tool("pip-audit")
        if program is None:
            return [tools.finding(tools.DEPENDENCIES, "unknown", "pip-audit is not installed here", "pip install pip-audit, then repeat")]
        text = self._output([program, "--format", "json", "--progress-spinner", "off"], PIPAPI_PYTHON_LOCATION=str(self.python))
        return tools.audit_findings(tools.as_audit_report(text))

    def policy_of_pages(self) -> list[str]:
        """What a strict policy would stop in the templates."""
        pages = Pages(lambda path: (404, {}, ""), self.domains[0])
        return pages.report([], pages.read(self.source, map(Path, self.facts.template_folders))).lines()

    def text(self, report: policy.Report) -> str:
        """The result for a terminal."""
        parts = [f"{self.wsgi} in {self.source}, by {self.python}", report.table(passed=False), *self.policy_of_pages(), NOT_SEEN]
        if not report.ok:
            parts.append("A deploy would refuse it. Correct it, or let it through by these lines in the application's entry of flask_apps:\n\n"
                         + report.permitting_settings(self.facts.from_prefixed_env, self.domains))
        return "\n\n".join(parts)


def main(arguments: Sequence[str]) -> int:
    """Entry point."""
    options = parser().parse_args(arguments)
    try:
        command = Command(options)
        report = command.run()
        text = command.text(report)
        result = text if options.format == "text" else formats.write(options.format, report, command.source)
        if options.output:
            options.output.write_text(f"{result}\n", encoding="utf-8")
    except (CannotInspect, OSError) as error:
        print(error, file=sys.stderr)
        return NOT_INSPECTED
    print(text if options.output else result)
    return GOOD if report.ok else REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
