"""The arguments of the parts of a host, kept there by their last runs, so that one call can see for all of them that nothing is to do.

A playbook asks once, and each task of `host_part` whose arguments are the same then needs no call of its own. Contents of sensitive
files are kept as digests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import zlib
from collections.abc import Container
from functools import partial
from typing import Any, NoReturn

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.application_layout import PARTS
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import units
from ansible_collections.bulwark.flask.plugins.module_utils.host_part.part import Part

FOLDER = "remembered"


def digest(key: str, text: str) -> str:
    """A digest that can be compared by who has the key."""
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def path_of(state_dir: str, name: str) -> str:
    """The file of a part."""
    return os.path.join(state_dir, FOLDER, f"{name}.json")


def _unpack(packed: str) -> list[Any]:
    return list(json.loads(zlib.decompress(base64.b64decode(packed))))


def _pack(contents: list[Any]) -> str:
    return base64.b64encode(zlib.compress(json.dumps(contents).encode())).decode()


def remember(state_dir: str, params: dict[str, Any]) -> None:
    """Keep the arguments of a part that is in effect; `_digest` is the controller's digest of them."""
    name, given = params["name"], params["_digest"]
    path = path_of(state_dir, name)
    if not given or any("@" in venv["index_url"] for venv in params["venvs"]):  # credentials
        fs.unlink(path)
        return
    if (fs.read_json(path) or {}).get("digest") == given:
        return
    salt, contents = secrets.token_hex(16), _unpack(params["_contents"]) if params["_contents"] else []
    sealed = {}
    for number, file in enumerate(params["files"]):
        if file["sensitive"] and contents[number] is not None:
            sealed[file["dest"]] = digest(salt, contents[number])
            contents[number] = None
    kept = {key: value for key, value in params.items() if not key.startswith("_")}
    fs.make_private_directory(os.path.dirname(path))
    fs.write_json(path, {"salt": salt, "digest": given, "sealed": sealed, "params": {**kept, "_contents": _pack(contents)}})


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

    fail_json = warn


def _with_sealed(record: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the contents of sensitive files, read from the host and compared with their digests."""
    params, contents = record["params"], _unpack(record["params"]["_contents"])
    for number, file in enumerate(params["files"]):
        if file["dest"] in record["sealed"]:
            found = base64.b64encode(fs.read_regular(file["dest"]) or b"").decode()
            if digest(record["salt"], found) != record["sealed"][file["dest"]]:
                raise Differs(file["dest"])
            contents[number] = found
    return {**params, "_contents": _pack(contents)}


def unchanged(state_dir: str, key: str, module: Any, applications: Container[str]) -> dict[str, str]:
    """The parts of the host for which a run with the same arguments would do and report nothing, with digests of these by `key`.

    Parts of other applications than these are not looked at.
    """
    folder, parts = os.path.join(state_dir, FOLDER), {}
    for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        role, dash, application = file.removesuffix(".json").partition("-")
        if dash and role in PARTS and application not in applications:
            continue
        try:
            record = fs.read_json(os.path.join(folder, file))
            observer: Any = Observer(_with_sealed(record), module)
            if Part(observer, units.wanted_of(observer.params["units"])).is_as_left():
                parts[file.removesuffix(".json")] = digest(key, record["digest"])
        except Exception:  # noqa: BLE001, S112 - whatever is wrong with it, its own run finds and reports
            continue
    return parts
