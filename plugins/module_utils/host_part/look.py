"""One look at a host: for which of its parts, and of the calls of some modules, a run with the same arguments would do nothing.

A playbook asks once, and each task whose arguments are those of the last run then needs no call of its own.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Container, Mapping
from functools import partial
from typing import Any, NoReturn

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.certificates import due, own
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import remembered, units
from ansible_collections.bulwark.flask.plugins.module_utils.host_part.complete import HOST_PARTS
from ansible_collections.bulwark.flask.plugins.module_utils.host_part.part import Part
from ansible_collections.bulwark.flask.plugins.module_utils.release import deploy
from ansible_collections.bulwark.flask.plugins.module_utils.secrets import credentials, run


class Differs(Exception):
    """A part is not as its last run left it, or has something to report."""


class Observer:
    """Takes the place of the module for a part that is only looked at."""

    check_mode, _diff = True, False

    def __init__(self, params: dict[str, Any], module: Any) -> None:
        # A command that is not there would end the module.
        self.params, self.run_command = params, partial(module.run_command, handle_exceptions=False)

    def warn(self, text: str) -> NoReturn:
        """A run would report this."""
        raise Differs(text)

    def fail_json(self, **result: Any) -> NoReturn:
        """A run would fail with this."""
        raise Differs(result)


def _with_sealed(record: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the contents of sensitive files, read from the host and compared with their digests."""
    params, contents = record["params"], remembered.unpack(record["params"]["_contents"])
    for number, file in enumerate(params["files"]):
        if file["dest"] in record["sealed"]:
            found = base64.b64encode(fs.read_regular(file["dest"]) or b"").decode()
            if remembered.digest(record["salt"], found) != record["sealed"][file["dest"]]:
                raise Differs(file["dest"])
            contents[number] = found
    return {**params, "_contents": remembered.pack(contents)}


def _is_part_as_left(record: dict[str, Any], module: Any) -> bool:
    observer: Any = Observer(_with_sealed(record), module)
    return Part(observer, units.wanted_of(observer.params["units"])).is_as_left()


# Parts of roles of site.yml that no application has.
OF_THE_HOST = (*HOST_PARTS, "acme_cert")
MODULES: dict[str, Callable[[dict[str, Any], Any], bool]] = {
    "host_part": _is_part_as_left,
    "generated_secrets": lambda record, module: run.is_as_left(Observer(record["params"], module)),
    "credential_files": lambda record, _module: credentials.is_as_left(record["params"]),
    "acme_certificate": lambda record, module: due.is_as_left(Observer(record["params"], module)),
    "own_certificate": lambda record, module: own.is_as_left(Observer(record["params"], module)),
    "release": lambda record, _module: deploy.is_as_left(record["params"]),
}


def unchanged(state_dir: str, key: str, module: Any, applications: Container[str], source_secrets: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The parts and calls for which a run with the same arguments would do and report nothing, with digests of these by `key`.

    Those of other applications than these, and of roles that are not in site.yml, are not looked at.
    :param source_secrets: by application, the secrets with which its source is asked for; the host keeps none of them
    """
    folder, found = os.path.join(state_dir, remembered.FOLDER), {}
    for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        application = remembered.application_of(file)
        if application not in applications if application else file.removesuffix(".json") not in OF_THE_HOST:
            continue
        try:
            record = fs.read_json(os.path.join(folder, file))
            if record.get("module") == "release":
                record["params"]["source_secrets"] = (source_secrets or {}).get(application)
            if MODULES[record.get("module", "host_part")](record, module):
                found[file.removesuffix(".json")] = remembered.digest(key, record["digest"])
        except Exception:  # noqa: BLE001, S112 - whatever is wrong with it, its own run finds and reports
            continue
    return found
