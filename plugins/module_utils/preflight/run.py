"""Inspect a release before it is activated: its source, its packages, and the application itself.

A program in the application's place imports it: in its sandbox, as its account, with its environment and its packages.
The operator's policy is applied here, as root.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.preflight import packing, policy, tools
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.units import Ran
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.sandbox import Sandbox
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.history import read
from ansible_collections.bulwark.flask.plugins.module_utils.release.writes import entry_of, written

AUDIT, AUDITED = "/usr/local/sbin/pip-audit-app", Path("/etc/pip-audit")
REPORT = "preflight.json"
DEPLOYMENT = Path("/etc/gunicorn/deployment.py")
KEYS = ("check", "result", "found", "why", "fix")


class Inspection:
    """One release under one policy."""

    def __init__(self, options: dict[str, Any], release: Path, gid: int, hidden: Callable[[str], str]) -> None:
        self.options = options
        self.name = options["name"]
        self.policy = options["policy"]
        self.seconds = options["inspection_timeout_seconds"]
        self.release = release
        self.gid = gid
        self.hidden = hidden
        self.findings: list[dict[str, Any]] = []
        self.bandit_output = ""
        self.facts = tools.Facts()
        self.report: policy.Report | None = None

    @property
    def is_off(self) -> bool:
        """Whether the policy turns the inspection off."""
        return self.policy.get("mode") == "off"

    @property
    def source(self) -> Path:
        """The application's working directory."""
        below = self.release / "src"
        return below / self.options["subdirectory"] if self.options.get("subdirectory") else below

    # --- checks without running it ------------------------------------------------------------------

    def inspect_source(self) -> None:
        """A static pass, by an account that can read the release and nothing else."""
        program = self.options["bandit"]
        if not program:
            return
        account = f"{self.name}-build"
        sandbox = Sandbox(self.name, account, self.seconds)
        confinement = ["SupplementaryGroups=" + self.name, f"InaccessiblePaths=-/var/lib/{self.name}"]
        try:
            _unused, text = sandbox.run(tools.bandit_command(program, str(self.source), self.options["files"]), step="preflight", folder=Path("/"),
                                        properties=confinement, check=False)
        except ReleaseError as error:
            text = str(error)
        # Other output comes before its report.
        self.bandit_output = text[text.find("{"):] if "{" in text else "no report"

    @contextmanager
    def auditing(self) -> Iterator[None]:
        """Look for known vulnerabilities of its packages while the block runs, where the host has the role pip_audit."""
        if not (os.access(AUDIT, os.X_OK) and (AUDITED / f"{self.name}.json").exists()):
            self.findings += tools.audit_findings({"state": "could-not-audit", "reason": "pip-audit is not set up on this host"})
            yield
            return
        with subprocess.Popen([AUDIT, self.name, "--release", str(self.release)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
            try:
                yield
                report = self._report(running)
            finally:
                running.kill()
        self.findings += tools.audit_findings(report)

    def _report(self, running: subprocess.Popen[str]) -> dict[str, Any]:
        """The report of an audit."""
        try:
            return dict(json.loads(running.communicate(timeout=self.seconds)[0]))
        except subprocess.TimeoutExpired:
            return {"state": "could-not-audit", "reason": f"it took longer than inspection_timeout_seconds, {self.seconds} s"}
        except (ValueError, TypeError):
            return {"state": "could-not-audit", "reason": "it gave no report"}

    # --- the application itself ----------------------------------------------------------------------

    def prepare(self, folder: Path) -> list[str]:
        """Write the inspector where the application can read it. Returns the command that runs it."""
        question: dict[str, Any] = {
            "wsgi": self.options["wsgi"], "source": str(self.source), "domains": self.options["domains"],
            "proxies": self.policy.get("proxies", 1), "body_max_mb": self.options["body_max_mb"], "account": self.name,
            "shared": self.options["shared"],
        }
        settings = DEPLOYMENT.with_name(f"{self.name}.settings.json")
        if DEPLOYMENT.exists() and settings.exists():
            question["deployment"] = [str(DEPLOYMENT), str(settings)]
        program, asked = folder / "inspector.zip", folder / "question.json"
        fs.write(program, packing.inspector_zip(), gid=self.gid, mode=0o640)
        fs.write_json(asked, question, gid=self.gid, mode=0o640)
        return [str(self.release / "venv" / "bin" / "python"), str(program), str(asked)]

    def remember(self) -> None:
        """Reuse the findings about the release itself from its first inspection; only its settings can differ."""
        kept = read(self.release / REPORT)
        self.findings += [{key: row[key] for key in KEYS if key in row}
                          for group in ("blocking", "warnings", "waived", "passed") for row in kept.get(group, [])
                          if row["check"] in ("static_analysis", "dependencies")]

    def places(self, ran: Ran) -> list[str]:
        """Paths below the release that the application writes to and cannot: its settings and its errors name them."""
        settings, subdirectory = tools.inspector_facts(ran.output).places, self.options.get("subdirectory") or ""
        return [entry for path in settings if (entry := entry_of(path, subdirectory))] + written(f"{ran.output}\n{ran.errors}", subdirectory)

    def read(self, ran: Ran, advice: Callable[[str], str]) -> None:
        """Read the inspector's findings, or its failure; `advice` has the remedy of a known failure."""
        printed = self.hidden("\n".join(ran.errors.rstrip().splitlines()[-20:]))
        if ran.result == "timeout" and self.policy.get("mode") != "warn":
            raise ReleaseError("preflight", f"The inspection was ended after {self.seconds} s; most of it is the import of {self.options['wsgi']}. "
                                            f"To allow more: app_release: {{inspection_timeout_seconds: {5 * self.seconds}}}"
                                            + (f"\nThe application printed:\n{printed}" if printed else ""))
        try:
            failed = json.loads(ran.output)["exception"]
        except (ValueError, TypeError, KeyError):
            if self.policy.get("mode") != "warn":
                raise ReleaseError("preflight", f"The inspection of the application ended early ({ran.result}, exit status "
                                                f"{ran.status}):\n{printed}{advice(printed)}") from None
            failed = None
        if failed:
            # The inspector has removed secrets from its report, but not from the application's own output.
            text = "\n".join(part for part in (failed["traceback"].rstrip(), f"{failed['type']}: {failed['text']}",
                                               printed and f"The application printed:\n{printed}{advice(printed)}") if part)
            raise ReleaseError("preflight", f"{self.options['wsgi']} cannot be imported:\n{text}{advice(text)}")
        self.findings += tools.inspector_findings(ran.output)
        self.facts = tools.inspector_facts(ran.output)

    def evaluate(self) -> dict[str, Any]:
        """Apply the policy and store the report with the release."""
        if self.bandit_output:
            self.findings += tools.bandit_findings(self.bandit_output, str(self.source), self.facts)
        self.report = policy.evaluate(self.findings, self.policy, datetime.date.today())
        obstacles = self.facts.obstacles
        report = {**self.report.as_dict(), "interface": self.facts.interface, "preload": obstacles == (), "not_preloaded": list(obstacles or ())}
        text = json.dumps(report, indent=2, sort_keys=True) + "\n"
        fs.write(self.release / REPORT, text.encode(), gid=self.gid, mode=0o640)
        return {**report, "table": self.report.table(passed=False)}

    @property
    def blocks(self) -> bool:
        """Whether there is an error without a waiver."""
        return self.report is not None and not self.report.ok

    @property
    def can_start(self) -> bool:
        """Whether wsgi names an application."""
        return self.report is not None and all(row["check"] != policy.CHECKS[0].id for row in self.report.blocking)

    def refusal(self) -> str:
        """The reason why the release is not activated, and the remedy."""
        if self.report is None:
            return "The application was not inspected."
        lines = self.report.permitting_settings(self.facts.from_prefixed_env, self.options["domains"])
        wrong, remedy = ("is not safe to serve", "Correct it, or allow this release with") if self.can_start else ("cannot be served", "Write")
        block = f"{remedy} these lines in the application's entry:\n\n{lines}\n\n" if lines else ""
        return f"The application {wrong}:\n{self.report.table(passed=False)}\n{block}Whole report: {self.release / REPORT}"
