"""Inspect a release before it goes live: its source, its packages, and the application itself.

The application is imported by a program that runs in its place: its sandbox, its account, its
environment, its packages. What it reports is judged here, as root, by the operator's policy.
"""

from __future__ import annotations

import datetime
import inspect
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils import app_inspector, fs, preflight
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.units import Ran
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.sandbox import Sandbox
from ansible_collections.bulwark.flask.plugins.module_utils.release.history import read
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import ReleaseError

AUDIT = "/usr/local/sbin/pip-audit-app"
REPORT = "preflight.json"
LOOK_SECONDS = 120
KEYS = ("check", "result", "found", "why", "fix")


class Inspection:
    """One release under one policy."""

    def __init__(self, options: dict[str, Any], release: Path, gid: int, hidden: Callable[[str], str]) -> None:
        self.options = options
        self.name = options["name"]
        self.policy = options["policy"]
        self.release = release
        self.gid = gid
        self.hidden = hidden
        self.findings: list[dict[str, Any]] = []
        self.report: preflight.Report | None = None

    @property
    def is_off(self) -> bool:
        """Whether the operator wants none."""
        return self.policy.get("mode") == "off"

    @property
    def source(self) -> Path:
        """The application's working directory."""
        below = self.release / "src"
        return below / self.options["subdirectory"] if self.options.get("subdirectory") else below

    # --- what can be seen without running it -------------------------------------------------------

    def look_at_source(self) -> None:
        """A static pass, by an account that can read the release and nothing else."""
        program = self.options["bandit"]
        if not program:
            return
        account = f"{self.name}-build"
        sandbox = Sandbox(self.name, account, Path("/var/cache") / account, LOOK_SECONDS)
        confinement = ["SupplementaryGroups=" + self.name, f"InaccessiblePaths=-/var/lib/{self.name}"]
        try:
            _, text = sandbox.run(preflight.bandit_command(program, str(self.source)), step="preflight", folder=Path("/"),
                                  properties=confinement, check=False)
        except ReleaseError as error:
            text = str(error)
        # What it says about itself comes before its report.
        self.findings += preflight.bandit_findings(text[text.find("{"):], str(self.source))

    def look_at_packages(self) -> None:
        """Known vulnerabilities of the packages it brings, where the host has the audit."""
        if not (os.access(AUDIT, os.X_OK) and Path(f"/etc/pip-audit/{self.name}.json").exists()):
            self.findings += preflight.audit_findings({"state": "could-not-audit", "reason": "pip-audit is not set up on this host"})
            return
        try:
            done = subprocess.run([AUDIT, self.name, "--release", str(self.release)], capture_output=True, text=True,
                                  check=False, timeout=LOOK_SECONDS)
            report = json.loads(done.stdout)
        except (subprocess.TimeoutExpired, ValueError) as error:
            report = {"state": "could-not-audit", "reason": f"no report ({type(error).__name__})"}
        self.findings += preflight.audit_findings(report)

    # --- the application itself ----------------------------------------------------------------------

    def prepare(self, folder: Path) -> list[str]:
        """Lay the inspector where the application can read it; the command that runs it."""
        question = {
            "wsgi": self.options["wsgi"], "source": str(self.source), "domains": self.options["domains"],
            "proxies": self.policy.get("proxies", 1), "body_max_mb": self.options["body_max_mb"],
            "csrf": self.policy.get("csrf", "flask_wtf"), "account": self.name,
        }
        program, asked = folder / "inspector.py", folder / "question.json"
        fs.write(program, inspect.getsource(app_inspector).encode(), gid=self.gid, mode=0o640)
        fs.write_json(asked, question, gid=self.gid, mode=0o640)
        return [str(self.release / "venv" / "bin" / "python"), str(program), str(asked)]

    def remember(self) -> None:
        """Take over what was found in the release itself when it was new; only its settings are."""
        kept = read(self.release / REPORT)
        self.findings += [{key: row[key] for key in KEYS if key in row}
                          for group in ("blocking", "warnings", "waived", "passed") for row in kept.get(group, [])
                          if row["check"] in ("static_analysis", "dependencies")]

    def read(self, ran: Ran, advice: Callable[[str], str]) -> None:
        """Take what the inspector found, or that it could not look; `advice` has the cure of a failure it knows."""
        try:
            failed = json.loads(ran.output)["exception"]
        except (ValueError, TypeError, KeyError):
            words = self.hidden("\n".join(ran.errors.rstrip().splitlines()[-20:]))
            if self.policy.get("mode") != "warn":
                raise ReleaseError("preflight", f"The inspection of the application ended early ({ran.result}, exit status "
                                                f"{ran.status}):\n{words}{advice(words)}") from None
            failed = None
        if failed:
            text = "\n".join(part for part in (failed["traceback"].rstrip(), f"{failed['type']}: {failed['text']}") if part)
            raise ReleaseError("preflight", f"{self.options['wsgi']} cannot be imported:\n{self.hidden(text)}{advice(text)}")
        self.findings += preflight.inspector_findings(ran.output)

    def judge(self) -> dict[str, Any]:
        """Weigh the findings by the policy and keep the report with the release."""
        self.report = preflight.judge(self.findings, self.policy, datetime.date.today())
        report = self.report.as_dict()
        text = json.dumps(report, indent=2, sort_keys=True) + "\n"
        fs.write(self.release / REPORT, text.encode(), gid=self.gid, mode=0o640)
        return {**report, "table": self.report.table(passed=False)}

    @property
    def blocks(self) -> bool:
        """Whether there is an error that nothing lets through."""
        return self.report is not None and not self.report.ok

    def refusal(self) -> str:
        """Why it does not go live, and what to write."""
        assert self.report is not None
        return (f"The application is not safe to serve:\n{self.report.table(passed=False)}\nMend it, or waive a check with a reason and an "
                f"end: app_release: {{policy: {{waivers: [{{check: …, reason: …, until: …}}]}}}}. Whole report: {self.release / REPORT}")

