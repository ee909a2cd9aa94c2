#!/usr/bin/python
"""Make a release live without losing a request."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_switch
short_description: Make a release of an application live without losing a request
version_added: "0.1.0"
description:
  - Starts an instance of the release beside the live one, waits until it answers on its own socket,
    moves the link the web server talks to, drains the old instance and stops it.
  - A failure at any step before the move leaves the live instance untouched, and prints what the
    application itself said.
  - The same happens, with a new instance of the same release, when one of the watched files has
    changed since the live instance started. That is how new settings and secrets reach the process.
  - A run that was interrupted is repeated and heals; instances nobody talks to are stopped.
options:
  name:
    description: The application, also its group and the name of its journal namespace.
    type: str
    required: true
  release:
    description: Id of a finished release below O(base)/releases, or V(live) for the one that is live, if any.
    type: str
    required: true
  base:
    description: Where the application's releases and instances are. Default V(/srv/<name>).
    type: path
  unit:
    description: Name of the unit template without C(@); V(gunicorn-<name>) by default.
    type: str
  host:
    description: Host header of the health request, one of the application's own domains.
    type: str
    default: localhost
  watch:
    description: Files whose change asks for a new instance.
    type: list
    elements: path
    default: []
  health_path:
    description: Path that is asked before the switch.
    type: str
    default: /
  health_status:
    description: Status that is expected. 0 accepts everything below 500.
    type: int
    default: 0
  health_timeout_seconds:
    description: How long a new instance may take until it answers well.
    type: int
    default: 60
  drain_seconds:
    description: How long requests in flight may take before the old instance is stopped.
    type: int
    default: 30
  keep:
    description: How many releases stay on disk.
    type: int
    default: 5
attributes:
  check_mode:
    description: Predicts whether a switch would happen; starts nothing.
    support: full
author:
  - The bulwark.flask authors
"""

EXAMPLES = r"""
- name: Go live
  bulwark.flask.release_switch:
    name: shop
    release: "{{ build.release }}"
    host: shop.example.com
    health_path: /healthz
    watch: [/etc/flask-secrets/shop.env, /etc/gunicorn/shop.conf.py]
"""

RETURN = r"""
instance:
  description: The live instance.
  type: str
  returned: success
previous:
  description: The instance that was live before, or null.
  type: str
  returned: success
steps:
  description: Seconds each step took.
  type: dict
  returned: when something was switched
pruned:
  description: Releases that were removed.
  type: list
  elements: str
  returned: success
"""

import fcntl
import grp
import http.client
import shutil
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import health
from ansible_collections.bulwark.flask.plugins.module_utils.application_log import explain
from ansible_collections.bulwark.flask.plugins.module_utils.instances import (
    Instances,
    file_state,
    open_connections,
)

QUIET_SECONDS = 1.0  # a client that read the old link needs far less to connect


class Switch:
    """One application's instances and the systemd units that run them."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.options = module.params
        self.name = self.options["name"]
        self.unit = self.options["unit"] or f"gunicorn-{self.name}"
        base = Path(self.options["base"] or f"/srv/{self.name}")
        try:
            gid = grp.getgrnam(self.name).gr_gid
        except KeyError:
            gid = 0
        self.instances = Instances(base, gid)
        self.steps: dict[str, float] = {}

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        """Run systemctl; a failure ends the run in systemd's own words."""
        _, out, err = self.module.run_command(["systemctl", *arguments], check_rc=check)
        return (out or err).strip()

    def service(self, instance: str) -> str:
        return f"{self.unit}@{instance}.service"

    def socket_unit(self, instance: str) -> str:
        return f"{self.unit}@{instance}.socket"

    def properties(self, unit: str) -> dict[str, str]:
        text = self.systemctl("show", "-p", "ActiveState,SubState,NRestarts,Result,UnitFileState", unit)
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def is_serving(self, instance: str) -> bool:
        """Whether an instance runs, listens, and comes back after a reboot."""
        units = [self.properties(self.service(instance)), self.properties(self.socket_unit(instance))]
        return all(unit.get("ActiveState") == "active" and unit.get("UnitFileState") == "enabled" for unit in units)

    def strangers(self) -> list[str]:
        """Instances that are left of an interrupted run: on disk, but not live."""
        return [name for name in self.instances.all() if name != self.instances.live()]

    def needs_switch(self) -> bool:
        live = self.instances.live()
        return not (
            live
            and self.instances.release_of(live) == self.options["release"]
            and self.instances.stamp(live) == file_state(self.options["watch"])
            and self.is_serving(live)
        )

    def application_log(self, instance: str, since: float) -> str:
        """What the application said while it started, readable."""
        self.module.run_command(["journalctl", "--sync", f"--namespace={self.name}"])
        text = self.module.run_command(
            ["journalctl", f"--namespace={self.name}", f"--unit={self.service(instance)}", "--quiet",
             f"--since=@{int(since)}", "--lines=200", "--output=cat", "--no-pager"])[1]
        return explain(text.splitlines(), "/src/")

    def start(self, release: str) -> str:
        """Start an instance beside the live one and wait until it answers."""
        instance = self.instances.next_name(release)
        self.instances.create(instance, release)
        self.instances.write_stamp(instance, file_state(self.options["watch"]))
        began = time.time()
        answer = self.first_good_answer(instance, began)
        if answer is None:
            return instance
        log = self.application_log(instance, began)
        self.stop(instance)
        self.module.fail_json(
            msg=f"Release {release} of {self.name} did not pass its health check and was not made live: {answer}\n"
                f"{self.live_words()}\n"
                f"The application's own log:\n{log}\n"
                f"The release stays in {self.instances.releases / release} for inspection; "
                f"more with: journalctl --namespace={self.name} -u '{self.unit}@*'",
        )
        raise AssertionError("fail_json does not return")

    def live_words(self) -> str:
        live = self.instances.live()
        return f"Visitors still get {live}." if live else "No release is live yet."

    def first_good_answer(self, instance: str, began: float) -> str | None:
        """None when the instance answers well in time, otherwise what is wrong with it."""
        rc, _, err = self.module.run_command(
            ["systemctl", "start", self.socket_unit(instance), self.service(instance)])
        if rc:
            return f"systemd could not start it: {err.strip()}"
        options, last = self.options, "no answer"
        socket = str(self.instances.socket(instance))
        while time.time() - began < options["health_timeout_seconds"]:
            state = self.properties(self.service(instance))
            if state["ActiveState"] == "failed" or int(state["NRestarts"] or 0) or state["SubState"] == "auto-restart":
                return f"the process ended while it started ({state['Result']})"
            try:
                status, body = health.get(socket, options["health_path"], options["host"], 5)
            except (OSError, http.client.HTTPException) as error:
                last = f"no answer ({type(error).__name__})"
            else:
                if health.is_good(status, options["health_status"]):
                    return None
                last = f"status {status}: {body[:300].strip()}"
            time.sleep(0.1)
        return f"GET {options['health_path']} gave {last} for {options['health_timeout_seconds']} s"

    def drain(self, instance: str) -> None:
        """Wait until nobody is connected to an instance any more."""
        socket, quiet_since = self.instances.socket(instance), time.monotonic()
        end = quiet_since + self.options["drain_seconds"]
        while time.monotonic() < end and time.monotonic() - quiet_since < QUIET_SECONDS:
            if open_connections(socket):
                quiet_since = time.monotonic()
            time.sleep(0.05)

    def stop(self, instance: str) -> None:
        """Stop an instance for good: gunicorn finishes what it has begun."""
        units = [self.socket_unit(instance), self.service(instance)]
        self.systemctl("disable", "--quiet", *units)
        self.systemctl("stop", *units)
        self.module.run_command(["systemctl", "reset-failed", *units])
        self.instances.remove(instance)

    def timed(self, step: str, began: float) -> float:
        self.steps[step] = round(time.monotonic() - began, 2)
        return time.monotonic()

    def run(self) -> dict[str, object]:
        """Bring the host to the wanted state; returns what the module answers."""
        options, previous = self.options, self.instances.live()
        clock, changed = time.monotonic(), False
        for stranger in self.strangers():
            changed = True
            self.drain(stranger)
            self.stop(stranger)
        if self.needs_switch():
            changed = True
            instance = self.start(options["release"])
            clock = self.timed("start", clock)
            self.systemctl("enable", "--quiet", self.socket_unit(instance), self.service(instance))
            self.instances.make_live(instance)
            clock = self.timed("swap", clock)
            if previous and previous in self.instances.all():
                self.drain(previous)
                clock = self.timed("drain", clock)
                self.stop(previous)
                clock = self.timed("stop", clock)
        pruned = self.instances.releases_to_prune(options["keep"])
        for release in pruned:
            shutil.rmtree(self.instances.releases / release)
        return {"changed": changed or bool(pruned), "instance": self.instances.live(), "previous": previous,
                "steps": self.steps, "pruned": pruned}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "release": {"type": "str", "required": True},
            "base": {"type": "path"},
            "unit": {"type": "str"},
            "host": {"type": "str", "default": "localhost"},
            "watch": {"type": "list", "elements": "path", "default": []},
            "health_path": {"type": "str", "default": "/"},
            "health_status": {"type": "int", "default": 0},
            "health_timeout_seconds": {"type": "int", "default": 60},
            "drain_seconds": {"type": "int", "default": 30},
            "keep": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    switch = Switch(module)
    instances, release = switch.instances, module.params["release"]
    if release == "live":
        if instances.live() is None:
            module.exit_json(changed=False, instance=None, previous=None, pruned=[])
        release = module.params["release"] = instances.release_of(instances.live())
    if module.check_mode:
        fresh = not (instances.releases / release / "manifest.json").exists()
        changed = fresh or bool(switch.strangers()) or switch.needs_switch()
        module.exit_json(changed=changed, instance=instances.live(), previous=instances.live(), pruned=[])
    if not (instances.releases / release / "manifest.json").exists():
        module.fail_json(msg=f"{release} is not a finished release of {switch.name} in {instances.releases}")
    with open(instances.base / ".switch.lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            module.fail_json(msg=f"Another run is switching {switch.name} right now; try again when it is done.")
        module.exit_json(**switch.run())


if __name__ == "__main__":
    main()
