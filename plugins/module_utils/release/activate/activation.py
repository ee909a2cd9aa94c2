"""Activate a finished release of an application without losing a request, or change nothing.

Start an instance beside the live one, wait until it responds, move the link the web server talks to, drain
the old instance and stop it. The caller holds the application's deploy lock. No Ansible imports.
"""

from __future__ import annotations

import grp
import http.client
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.redact import Redactor
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.run import Inspection
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.tools import Facts
from ansible_collections.bulwark.flask.plugins.module_utils.release import history, symptoms
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate import advice, tasks
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.health import BROWSER, HealthCheck
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.instances import (
    Instances,
    file_state,
    open_connections,
)
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.log_excerpt import explain
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.pages import Pages
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.rollback import Candidates
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.units import Units
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder import hints
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.history import Record
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import Releases
from ansible_collections.bulwark.flask.plugins.module_utils.release.options import Options
from ansible_collections.bulwark.flask.plugins.module_utils.release.shared import RECORD, Shared
from ansible_collections.bulwark.flask.plugins.module_utils.release.writes import written
from ansible_collections.bulwark.flask.plugins.module_utils.secrets.environment import values_in

LONGEST_KEPT_SECONDS = 5  # nginx closes an idle connection after half a second
QUIET_SECONDS = 0.3  # a client that read the old link needs far less to connect
LOOK_AHEAD_SECONDS = 10
FAILURE_LOG = "failure.log"
ONCE, DONE = "prepare_once", "prepared.json"  # the step, and the record of its commands below the application's base
PAGES = "pages.json"
LONGEST_OUTPUT = 8000  # characters of an application's output in a message
LONGEST_PAGE = 2 * 2**20


class Activation:
    """One application: its live release, and the activation of another one."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.name = options.name
        self.by = options.by
        self.base = options.base
        try:
            self.gid = grp.getgrnam(self.name).gr_gid
        except KeyError:
            self.gid = 0
        self.units = Units(options.unit)
        self.instances = Instances(self.base, self.gid)
        self.releases = Releases(self.base)
        self.record = Record(self.base)
        self.tasks = tasks.Tasks(options, self.units, self.instances, self.releases, self.hidden)
        self.shared = Shared(self.name, options.shared, detected=history.read(self.base / RECORD).get("found", []))
        self.steps: dict[str, float] = {}
        self.warnings: list[str] = []
        self.report: dict[str, Any] = {}
        self.facts = Facts()
        self.page_lines: list[str] = []
        self.clock = time.monotonic()

    def timed(self, step: str) -> None:
        """Record the duration of a step, which may be taken more than once."""
        self.steps[step] = round(self.steps.get(step, 0) + time.monotonic() - self.clock, 2)
        self.clock = time.monotonic()

    def took(self) -> float:
        """Seconds of all steps together."""
        return round(sum(self.steps.values()), 2)

    def hidden(self, text: str) -> str:
        """The end of an application's output, without the secrets of its environment."""
        files = [Path(path) for path in self.options.restart_on_change if path.endswith(".env")]
        environment: dict[str, str] = {}
        for path in files:
            if path.exists():
                environment.update(values_in(path.read_text(encoding="utf-8", errors="replace")))
        return Redactor(environment).redact(text).strip()[-LONGEST_OUTPUT:]

    # --- state -----------------------------------------------------------------------------------

    def live_release(self) -> str | None:
        """The live release."""
        live = self.instances.live()
        return self.instances.release_of(live) if live else None

    def orphans(self) -> list[str]:
        """Instances on disk that are not live, left by an interrupted run."""
        return [name for name in self.instances.all() if name != self.instances.live()]

    def needs_switch(self, release: str) -> bool:
        """Whether a release is not live, or its live instance has other settings than those on disk."""
        live = self.instances.live()
        return not (
            live
            and self.instances.release_of(live) == release
            and self.instances.stamp(live) == file_state(self.options.restart_on_change)
            and self.units.is_serving(live)
            and self.instances.socket(live).is_socket()
        )

    def candidates(self) -> Candidates:
        """The releases that a rollback can activate."""
        return Candidates(self.releases, self.record, self.live_release())

    # --- after an interruption -------------------------------------------------------------------

    def is_complete(self) -> bool:
        """Whether no run was killed, so that `recover` has nothing to do."""
        live = self.live_release()
        return not (self.record.running_file.exists() or self.orphans() or self.instances.temporary()) and bool(live and self.record.state(live))

    def recover(self) -> bool:
        """Complete or undo the steps of a killed run; returns whether there were any."""
        left = self.record.recover()
        live = self.live_release()
        if live and not self.record.state(live):
            self.record.set_status(live, history.GOOD, str(left.get("by", self.by)))
        if left.get("action") == "rollback" and live and left.get("release") == live and left.get("previous"):
            self._mark_rolled_back(str(left["previous"]), str(left["by"]))
        if instance := self.instances.live():
            self.instances.keep_connections(instance)
        orphans = self.orphans()
        for orphan in orphans:
            self.retire(orphan)
        removed = self.instances.remove_temporary()
        return bool(left or orphans or removed)

    def retire(self, instance: str) -> None:
        """Let an instance finish its requests, then stop and remove it."""
        if not instance.endswith(tasks.SUFFIX):
            self.drain(instance)
        self.units.stop(instance)
        self.instances.remove(instance)

    def _mark_rolled_back(self, release: str, by: str) -> None:
        self.record.set_status(release, history.ROLLED_BACK, by, "rolled back")

    # --- before a release serves -------------------------------------------------------------------

    def inspect(self, release: str, whole: bool, look_ahead: bool = True) -> None:
        """Refuse a release that the policy does not allow; `whole` includes its source and packages.

        With `look_ahead`, a refusal has what would stop the release next.
        """
        inspection = Inspection(self.options.as_dict(), self.releases.folder / release, self.gid, self.hidden)
        if inspection.is_off:
            return
        if whole:
            inspection.inspect_source()
        else:
            inspection.remember()
        # The audit waits for the network, so it is a process beside this one. A thread would not do: one that is killed while it starts
        # a process can leave a copy of this process, which holds the lock of deploys for ever.
        with inspection.auditing() if whole else nullcontext(), self.tasks.instance(release) as task:
            folder = self.instances.folder / task
            argv = inspection.prepare(folder)
            ran = self.tasks.run(task, argv, self.options.inspection_timeout_seconds)
            while self._keep(release, inspection.places(ran)):
                ran = self.tasks.run(task, argv, self.options.inspection_timeout_seconds)
            inspection.read(ran, self.advice)
        self.report, self.facts = inspection.evaluate(), inspection.facts
        self.timed("preflight")
        if inspection.blocks:
            raise ReleaseError("preflight", inspection.refusal() + (self._look_ahead(release) if look_ahead and inspection.can_start else ""))

    def _look_ahead(self, release: str) -> str:
        """What would stop a refused release next, so that one run tells all. No client reaches the instance."""
        if self.options.pre_activate:  # they may make what it needs
            return ""
        try:
            self.retire(self.start(release, min(LOOK_AHEAD_SECONDS, self.options.health_timeout_seconds)))
        except ReleaseError as error:
            # Within these seconds, no response can mean that the start is slow.
            if TimeoutError.__name__ not in str(error).splitlines()[0]:
                return f"\n{error}"
        return ""

    def commands(self, release: str, step: str, failed: Callable[[str], None]) -> None:
        """Run the operator's commands of a step; `failed` is called with a message for each that fails."""
        done = history.read(self.base / DONE).get("done", []) if step == ONCE else []
        lines = [line for line in getattr(self.options, step) if line not in done]
        if not lines:
            return
        with self.tasks.instance(release) as task:
            for line in lines:
                ran = self.tasks.command(release, task, line)
                # Nothing uses what these make yet, so they are safe to repeat.
                while not ran.ok and step in (ONCE, "prepare") and self._keep(release, self._written(ran.errors)):
                    ran = self.tasks.command(release, task, line)
                if ran.ok and step == ONCE:
                    done.append(line)
                    fs.write_json(self.base / DONE, {"done": done}, gid=self.gid, mode=0o640)
                if not ran.ok:
                    failed(f"A command of {step} failed ({ran.result}, exit status {ran.status}): {line}\n"
                           f"{tasks.output_of(ran)}{self.advice(ran.errors)}")
        self.timed(step)

    def run_before(self, release: str, step: str) -> None:
        """Run the commands before the activation; the first failure ends the deploy."""
        def failed(text: str) -> None:
            raise ReleaseError(step, text)
        self.commands(release, step, failed)

    def _prepare(self, release: str) -> None:
        """Run the commands before the import.

        Where one fails, the inspection may find a place that it writes to; otherwise the message has what the inspection refuses too, so
        that one run tells all.
        """
        try:
            self.run_before(release, ONCE)
            self.run_before(release, "prepare")
        except ReleaseError as error:
            kept, refusal = list(self.shared.detected), ""
            try:
                self.inspect(release, whole=True, look_ahead=False)
            except ReleaseError as refused:
                refusal = str(refused) if self.report else ""  # otherwise it was not imported, which the command may have been for
            if self.shared.detected != kept:
                self._prepare(release)
            elif refusal:
                raise ReleaseError(error.step, f"{error}\n{refusal}") from error
            else:
                raise

    def run_after(self, release: str) -> None:
        """Run the commands after the activation; a failure is a warning."""
        self.commands(release, "post_activate", lambda text: self.warnings.append(f"{release} is live. {text}"))

    # --- start and health ----------------------------------------------------------------------------

    def start(self, release: str, seconds: int | None = None) -> str:
        """Start an instance beside the live one and wait until it responds, `health_timeout_seconds` by default; returns its name."""
        seconds = self.options.health_timeout_seconds if seconds is None else seconds
        instance, wrong, log = self._try(release, seconds)
        while wrong and self._keep(release, self._written(log)):
            instance, wrong, log = self._try(release, seconds)
        if not wrong:
            return instance
        raise ReleaseError("health", f"It did not pass its health check: {wrong}\nThe application's own log:\n{log}{self.advice(log)}")

    def _try(self, release: str, seconds: int) -> tuple[str, str, str]:
        """Start an instance; returns its name and, where it does not respond, the reason and its log. That one is removed."""
        instance = self.instances.next_name(release)
        self.instances.create(instance, release)
        self.instances.write_stamp(instance, file_state(self.options.restart_on_change))
        began = time.time()
        wrong = self.units.start(instance)
        self.timed("start")
        check = self._health_check(instance, seconds)
        wrong = f"systemd could not start it: {wrong}" if wrong else check.wait()
        self.timed("health")
        if not wrong:
            if check.restarted:
                self.warnings.append(f"A worker of {release} could not load the application; after a restart all workers could. This happens where "
                                     "each worker creates the same tables at its import: let a command in prepare create them.")
            return instance, "", ""
        log = self._application_log(instance, began)
        self.units.stop(instance)
        self.instances.remove(instance)
        return instance, wrong, log

    def _health_check(self, instance: str, seconds: int = 0) -> HealthCheck:
        return HealthCheck(replace(self.options, health_timeout_seconds=seconds), str(self.instances.socket(instance)),
                           lambda restarts: self.units.ended(instance, restarts), lambda: self.instances.loaded(instance))

    def fetch_pages_once(self, instance: str, release: str) -> bool:
        """Fetch the pages of a new instance; problems are reported only. Returns whether they wrote to a place that is kept from now on."""
        if not self.options.fetch_pages:
            return False
        folder, began, log = self.releases.folder / release, time.time(), ""
        try:
            check = self._health_check(instance)
            report = Pages(check.fetch(10, LONGEST_PAGE, BROWSER), self.options.domains[0]).look(folder / "src", self._template_folders(folder))
            report.methods = check.methods(10)
            fs.write_json(folder / PAGES, report.as_dict(), gid=self.gid, mode=0o640)
            log = self._application_log(instance, began) if any(status >= 500 for _unused, status in report.pages) else ""
            self.page_lines = [*report.lines(), *self.advice(log).splitlines()]
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.warnings.append(f"The pages of {release} could not be fetched ({type(error).__name__}: {error})")
        self.timed("pages")
        return self._keep(release, self._written(log))

    def _template_folders(self, release: Path) -> list[Path]:
        """The templates of the packages that serve pages; the application's own process has named them."""
        venv, folders = (release / "venv").resolve(), [Path(folder).resolve() for folder in self.facts.template_folders]
        return [folder for folder in folders if venv in folder.parents]

    def advice(self, text: str) -> str:
        """The lines that cure a failure that the text shows, each on a line of its own."""
        messages = [self.shared.advice(text, self.options.subdirectory), advice.packages(text), advice.python_packages(text),
                    advice.tables(text, self.facts.commands), advice.directories(text, str(self.shared.target.parent)), *symptoms.advice([text]),
                    *hints.library(text)]
        return "".join(f"\n{one}" for one in messages if one)

    def _written(self, text: str) -> list[str]:
        return written(text, self.options.subdirectory)

    def _keep(self, release: str, paths: list[str]) -> bool:
        """Keep what the application writes to these paths of a release from now on; returns whether there is a new one."""
        folder = self.releases.folder / release
        if not self.shared.find(folder, folder / "src" / self.options.subdirectory, paths):
            return False
        fs.write_json(self.base / RECORD, {"found": self.shared.detected}, gid=self.gid, mode=0o640)
        self._prepare_shared(release)
        return True

    def _prepare_shared(self, release: str) -> None:
        """Create the shared paths; the application may have removed them. The build does not know those that were found."""
        folder, account = self.releases.folder / release, pwd.getpwnam(self.name)
        self.shared.link(folder, folder / "src" / self.options.subdirectory, self.gid)
        state = self.shared.target.parent
        if not state.exists():
            state.mkdir(mode=0o700)
            os.chown(state, account.pw_uid, account.pw_gid)
        self.shared.prepare(self.releases.folder / release, account.pw_uid, account.pw_gid)

    def _application_log(self, instance: str, since: float) -> str:
        """The log of the application while it started."""
        namespace = f"--namespace={self.name}"
        subprocess.run(["journalctl", "--sync", namespace], capture_output=True, check=False)
        lines: list[str] = []
        # Before there is a process, systemd's own lines say why; they are in the system's journal.
        for place in ([namespace], []):
            command = ["journalctl", *place, f"--unit={self.units.service(instance)}", "--quiet", f"--since=@{int(since)}", "--lines=200",
                       "--output=cat", "--no-pager"]
            lines = lines or subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout.splitlines()
        return self.hidden(explain(lines, "/src/"))

    # --- activation ----------------------------------------------------------------------------------

    def drain(self, instance: str) -> None:
        """Wait until no client is connected to an instance."""
        socket, quiet_since = self.instances.socket(instance), time.monotonic()
        end = quiet_since + self.options.drain_seconds
        while time.monotonic() < end and time.monotonic() - quiet_since < QUIET_SECONDS:
            if open_connections(socket):
                quiet_since = time.monotonic()
            time.sleep(0.05)

    def activate(self, release: str, action: str, entry: dict[str, Any] | None = None) -> None:
        """Activate a finished release. `action` is deploy, restart or rollback.

        A rollback is neither inspected nor prepared: the release has served before, and it must be fast.
        """
        self.clock = time.monotonic()  # a build before it has counted its own time
        previous, before = self.instances.live(), self.live_release()
        entry = entry or self.record.begin(action, self.by, release=release, previous=before, commit=self._commit(release))
        entry |= {"release": release, "previous": before}
        new = before != release
        try:
            self._prepare_shared(release)
            if action == "deploy" and new:
                self._prepare(release)
            if action != "rollback":
                self.inspect(release, new)
            if action == "deploy" and new:
                self.run_before(release, "pre_activate")
            instance = self.start(release)
            while new and self.fetch_pages_once(instance, release):
                self.retire(instance)
                instance = self.start(release)
            self.units.enable(instance)
        except (ReleaseError, OSError) as error:
            self._failed(release, entry, error)
            raise ReleaseError(getattr(error, "step", "switch"), f"Release {release} was not activated.\n{error}\n{self.unchanged_release(release)}") from error
        if previous and not self.instances.end_kept_connections(previous, LONGEST_KEPT_SECONDS):
            self.warnings.append(f"{previous} kept connections for more than {LONGEST_KEPT_SECONDS} s, so it may have served requests after the activation.")
        self.instances.make_live(instance)
        self.timed("swap")
        self.record.set_status(release, history.GOOD, self.by)
        if action == "rollback" and before and new:
            self._mark_rolled_back(before, self.by)
        if action == "deploy" and new:
            self.run_after(release)
        self._retire_previous(previous)
        self.record.end(entry, "live", seconds=self.took(), steps=self.steps)

    def _retire_previous(self, previous: str | None) -> None:
        """Retire the instance that was live; a failure here affects no client."""
        if previous not in self.instances.all():
            return
        try:
            self.drain(str(previous))
            self.timed("drain")
            self.units.stop(str(previous))
            self.instances.remove(str(previous))
            self.timed("stop")
        except (ReleaseError, OSError) as error:
            self.warnings.append(f"{previous} could not be stopped; the next run tries again: {error}")

    def _failed(self, release: str, entry: dict[str, Any], error: Exception) -> None:
        """Store the output of a failure. A release with the status good keeps it."""
        step = getattr(error, "step", "switch")
        try:
            fs.write(self.releases.folder / release / FAILURE_LOG, f"{history.moment()} {step}\n{error}\n".encode(), mode=0o640)
            if self.record.state(release) != history.GOOD:
                self.record.set_status(release, history.FAILED, self.by, step)
            self.record.end(entry, "failed", step=step, reason=str(error).splitlines()[0],
                            seconds=self.took(), steps=self.steps)
        except OSError as full:
            self.warnings.append(f"The failure could not be recorded: {full}")

    def unchanged_release(self, release: str) -> str:
        """The release that is live now, and the paths of the logs."""
        live = self.live_release()
        return (f"{'Clients still reach ' + live if live else 'No release is live yet'}. The release stays in {self.releases.folder / release} "
                f"with {FAILURE_LOG}; its log: journalctl --namespace={self.name} -u '{self.units.unit}@{release}*'")

    def _commit(self, release: str) -> str | None:
        return history.read(self.releases.folder / release / "manifest.json").get("commit")

    def to_prune(self) -> list[str]:
        """The releases beyond those to keep."""
        keep = {self.candidates().previous(), self.live_release()}
        return [name for name in self.instances.releases_to_prune(self.options.keep_releases) if name not in keep]

    def prune(self) -> list[str]:
        """Remove the releases beyond those to keep; returns them."""
        pruned = self.to_prune()
        for release in pruned:
            shutil.rmtree(self.releases.folder / release)
        return pruned

    def answer(self, **more: Any) -> dict[str, Any]:
        """The return values of modules that activate."""
        release = self.live_release()
        pages = history.read(self.releases.folder / release / PAGES) if release else {}
        return {"instance": self.instances.live(), "release": release, "steps": self.steps,
                "report": self.report, "pages": pages, "page_lines": self.page_lines, "warnings": self.warnings,
                "kept": [str(self.shared.target), *self.shared.detected] if self.shared.detected else [], **more}
