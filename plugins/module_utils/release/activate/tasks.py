"""Commands in the sandbox of an application, with its account and its environment. No Ansible imports.

They run in an instance of the release that serves no clients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from ansible_collections.bulwark.flask.plugins.module_utils.release import history
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.instances import Instances
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.units import Ran, Units
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import Releases
from ansible_collections.bulwark.flask.plugins.module_utils.release.options import Options

SUFFIX = ".task"  # ends the name of an instance that runs commands instead of serving
OUTPUT_LINES = 40


class Tasks:
    """Commands for releases of one application; `hidden` removes secrets from an output."""

    def __init__(self, options: Options, units: Units, instances: Instances, releases: Releases, hidden: Callable[[str], str]) -> None:
        self.options = options
        self.units = units
        self.instances = instances
        self.releases = releases
        self.hidden = hidden

    @contextmanager
    def instance(self, release: str) -> Iterator[str]:
        """An instance of the release for commands, removed at the end."""
        name = f"{release}{SUFFIX}"
        if name in self.instances.all():
            self._remove(name)
        self.instances.create(name, release)
        try:
            yield name
        finally:
            self._remove(name)

    def _remove(self, name: str) -> None:
        self.units.stop(name)
        self.instances.remove(name)

    def run(self, instance: str, argv: list[str], timeout_seconds: int, **environment: str) -> Ran:
        """Run one program to its end."""
        return self.units.run_once(instance, argv, self.instances.folder / instance, timeout_seconds, environment)

    def command(self, release: str, instance: str, line: str) -> Ran:
        """Run one command of the operator; its output is kept with the release."""
        folder = self.releases.folder / release
        venv = folder / "venv"
        ran = self.run(instance, ["/bin/sh", "-euc", line], self.options.command_timeout_seconds,
                       PATH=f"{venv}/bin:/usr/local/bin:/usr/bin:/bin", FLASK_APP=self.options.wsgi, VIRTUAL_ENV=str(venv))
        ran = replace(ran, output=self.hidden(ran.output), errors=self.hidden(ran.errors))
        with open(folder / "commands.log", "a", encoding="utf-8") as log:
            log.write("\n".join([f"{history.moment()} $ {line}", *filter(None, (ran.output, ran.errors)), f"[{ran.result}, exit status {ran.status}]", ""]))
        return ran


def output_of(ran: Ran) -> str:
    """The last lines of a command's output, indented."""
    lines = (ran.output.rstrip() + "\n" + ran.errors.rstrip()).strip().splitlines()[-OUTPUT_LINES:]
    return "\n".join(f"  {line}" for line in lines) or "  (no output)"
