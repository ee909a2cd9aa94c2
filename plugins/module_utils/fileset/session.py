"""A set of files in one run: plan it, refuse it, or write and validate it and restore everything on failure.

file_set, host_part and guarded_files share it.
"""

from __future__ import annotations

import base64
import json
import shlex
import shutil
import signal
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import systemd_bus
from ansible_collections.bulwark.flask.plugins.module_utils.fileset import plan as fileplan
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.diff import diff_of
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Change, Entry, Problem
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.transaction import Store, Transaction
from ansible_collections.bulwark.flask.plugins.module_utils.redaction import hide

# Other runs wait for the lock that is held while a command runs; 124 is the status of coreutils' timeout.
COMMAND_SECONDS, TIMED_OUT = 600, 124
STATE_DIR = "/var/lib/file_set"
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
COMMANDS: dict[str, Any] = {"type": "list", "elements": "list", "default": []}
# The options of every module that writes a set; `_contents` comes from its action plugin.
SPEC: dict[str, Any] = {
    "files": {"type": "list", "elements": "dict", "options": {
        "dest": {"type": "str", "required": True},
        "template": {"type": "str"},
        "content": {"type": "str", "no_log": True},
        "link": {"type": "str"},
        "state": {"type": "str", "choices": ["directory", "absent"]},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str"},
        "sensitive": {"type": "bool", "default": False},
        "backup": {"type": "bool", "default": False},
        "vars": {"type": "dict", "default": {}},
    }},
    "_contents": {"type": "str", "no_log": True},
    "purge": {"type": "list", "elements": "dict", "default": [], "options": {
        "path": {"type": "str", "required": True},
        "patterns": {"type": "list", "elements": "str", "required": True},
        "remove_empty": {"type": "bool", "default": False},
    }},
    "validate": COMMANDS,
    "apply": COMMANDS,
    "state_dir": {"type": "path", "default": STATE_DIR},
}


class Interrupted(BaseException):
    """A signal ends the run; everything is restored first."""


def _interrupt(number: int, frame: Any) -> None:
    raise Interrupted(signal.Signals(number).name)


def catch_signals() -> None:
    """Have a signal raise Interrupted."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)


def entries_of(params: dict[str, Any]) -> list[Entry]:
    """The set that the controller has checked and rendered."""
    packed = params.get("_contents")
    contents: list[Optional[str]] = json.loads(zlib.decompress(base64.b64decode(packed))) if packed else []
    return [
        Entry(
            dest=f["dest"], owner=f["owner"], group=f["group"], mode=int(f["mode"], 8), link=f["link"] or "",
            kind=f["state"] or ("link" if f["link"] else "file"), data=base64.b64decode(content or ""),
            sensitive=f["sensitive"], backup=f["backup"],
        )
        for f, content in zip(params["files"] or [], contents)
    ]


class Session:
    """One set of files in one run of a module."""

    def __init__(self, module: AnsibleModule, extra: Optional[list[Entry]] = None) -> None:
        self.module = module
        self.entries = entries_of(module.params) + (extra or [])
        self.dests = [entry.dest for entry in self.entries]
        self.store = Store(module.params.get("state_dir") or STATE_DIR)
        self.everything = self.entries
        self.changes: list[Change] = []
        self.recovered: list[str] = []
        self.validated = False

    @property
    def paths(self) -> list[str]:
        """Paths that change, without backups."""
        return [change.path for change in self.changes if change.want.kind != "backup"]

    def run(self, command: list[Any], introduction: str) -> str:
        """Run one command and return its output. A failure is a Problem with the output, without secrets."""
        words = [str(word) for word in command]
        try:
            limit = ["timeout", "--kill-after=10", str(COMMAND_SECONDS)] if shutil.which(words[0]) else []
            rc, out, err = systemd_bus.patient(lambda: self.module.run_command(
                limit + words, handle_exceptions=False, errors="replace", environ_update={"LC_ALL": "C.UTF-8"}))
        except OSError as error:
            rc, out, err = 127, "", fileplan.clear_error(error, words[0])
        if rc == 0:
            return str(out)
        secrets = [e.data for e in self.entries if e.sensitive]
        secrets += [c.now.data for c in self.changes if c.entry.sensitive and c.now.data]
        texts = [data.decode("utf-8", "replace") for data in secrets]
        out, err = hide(out, texts), hide(err, texts)
        printed = err or out or "(it printed nothing)"
        if rc == TIMED_OUT:
            jobs = " `systemctl list-jobs` names the units that are waited for." * (words[0] == "systemctl")
            printed = f"It did not end within {COMMAND_SECONDS} seconds and was stopped.{jobs}\n{printed}"
        if systemd_bus.LOST.search(err):
            printed = f"{systemd_bus.ADVICE}\n{printed}"
        raise Problem(f"{introduction}: `{shlex.join(words)}` failed with status {rc}:\n{printed}", command=words,
                      rc=rc, stdout=out, stderr=err)

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Hold the lock of the host's sets, after recovery from an interrupted run."""
        with self.store.locked():
            self.recovered, foreign = self.store.recover()
            for paths, text in ((self.recovered, "Put back"), (foreign, "Left alone, because they were changed since")):
                if paths:
                    self.module.warn(f"An earlier run was interrupted. {text}: {', '.join(paths)}")
            yield

    def plan(self, final: bool) -> None:
        """Compare the host with the set; a plan that cannot be carried out is a Problem. `final` is False in check mode."""
        self.everything = self.entries + fileplan.unmanaged_files(
            self.module.params.get("purge") or [], self.entries, self.store.former.is_created)
        self.changes = fileplan.make_plan(self.everything, None if final else self.store.due())
        problems = fileplan.problems(self.everything, self.changes, final)
        if problems:
            self.changes = []
            raise Problem("Nothing was changed, because:\n" + "\n".join(f"- {problem}" for problem in problems))
        self.changes = fileplan.add_backups(self.changes, self.store.managed())

    def ours(self) -> set[str]:
        """Files written by this or an earlier run."""
        gone = {entry.dest for entry in self.everything if entry.kind == "absent"}
        return self.store.managed() - gone | {entry.dest for entry in self.entries if entry.kind == "file"}

    def write(self, owe: bool) -> None:
        """Write the set and validate it, or restore everything. With `owe`, record that the change is not in effect yet."""
        if not self.changes:
            self.store.note_managed(self.ours(), final=True)
            return
        transaction = Transaction(self.store, self.dests, self.changes)
        try:
            transaction.write()
            for command in self.module.params["validate"]:
                self.run(command, "Validation")
            transaction.commit(owe, self.ours())
        except BaseException as error:
            if transaction.committed:
                raise
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            paths, self.changes = self.paths, []
            reason = f"The run was ended by {error}" if isinstance(error, Interrupted) else str(error)
            try:
                transaction.rollback()
            except Problem as left:
                raise Problem(f"{reason}\n{left}", would_change=paths) from error
            if isinstance(error, (Problem, Interrupted)):
                raise Problem(f"{reason}\nEverything is as it was before. These would have changed: {', '.join(paths)}",
                              would_change=paths, **getattr(error, "details", {})) from error
            raise
        self.validated = bool(self.module.params["validate"])

    def result(self) -> dict[str, Any]:
        """The return values about files, also on failure."""
        values: dict[str, Any] = {
            "changed": bool(self.changes or self.recovered), "changed_files": self.paths, "validated": self.validated,
            "backup_files": [change.path for change in self.changes if change.want.kind == "backup"],
        }
        if self.module._diff:
            values["diff"] = [part for change in self.changes for part in diff_of(change)]
        return values

    def execute(self) -> None:
        """Write the set and run its commands."""
        raise NotImplementedError

    def predict(self) -> None:
        """Predict `execute`, for check mode."""
        self.plan(final=False)

    def finish(self) -> NoReturn:
        """Execute, or predict in check mode, and exit the module with the result."""
        catch_signals()
        failure: dict[str, Any] = {}
        try:
            (self.predict if self.module.check_mode else self.execute)()
        except Problem as error:
            failure = {"msg": str(error), **error.details}
        except Interrupted as error:
            failure = {"msg": f"The run was ended by {error}; the next one finishes what is left"}
        except OSError as error:
            failure = {"msg": fileplan.clear_error(error, self.store.folder)}
        if failure:
            self.module.fail_json(**{**self.result(), **failure})
        self.module.exit_json(**self.result())
