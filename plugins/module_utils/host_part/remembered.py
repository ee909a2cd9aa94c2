"""The arguments of the parts of a host, and of some modules, kept there by their last runs. See look.py.

Contents of sensitive files are kept as digests.
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
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.application_layout import PARTS, STATE

FOLDER = "remembered"
# Modules that keep their arguments, besides host_part.
MODULES = ("generated_secrets", "credential_files", "acme_certificate", "own_certificate", "release")


def digest(key: str, text: str) -> str:
    """A digest that can be compared by who has the key."""
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def path_of(state_dir: str, name: str) -> str:
    """The file of a part."""
    return os.path.join(state_dir, FOLDER, f"{name}.json")


def application_of(file: str) -> str:
    """The application to which a file belongs; empty if it is the host's."""
    role, dash, rest = file.removesuffix(".json").partition("-")
    return rest.partition(".")[0] if dash and role in (*PARTS, *MODULES) else ""


def unpack(packed: str) -> list[Any]:
    """The contents of files, from an argument of a part."""
    return list(json.loads(zlib.decompress(base64.b64decode(packed))))


def pack(contents: list[Any]) -> str:
    """The contents of files, as an argument of a part."""
    return base64.b64encode(zlib.compress(json.dumps(contents).encode())).decode()


def digest_in(path: str) -> Any:
    """The digest that a file has. There is none where the file is missing or damaged."""
    try:
        return fs.read_json(path)["digest"]
    except (OSError, TypeError, KeyError):
        return None


def remember(state_dir: str, params: dict[str, Any]) -> None:
    """Keep the arguments of a part that is in effect; `_digest` is the controller's digest of them."""
    name, given = params["name"], params["_digest"]
    path = path_of(state_dir, name)
    if not given or any("@" in venv["index_url"] for venv in params["venvs"]):  # credentials
        fs.unlink(path)
        return
    if digest_in(path) == given:
        return
    salt, contents = secrets.token_hex(16), unpack(params["_contents"]) if params["_contents"] else []
    sealed = {}
    for number, file in enumerate(params["files"]):
        if file["sensitive"] and contents[number] is not None:
            sealed[file["dest"]] = digest(salt, contents[number])
            contents[number] = None
    kept = {key: value for key, value in params.items() if not key.startswith("_")}
    fs.make_private_directory(os.path.dirname(path))
    fs.write_json(path, {"salt": salt, "digest": given, "sealed": sealed, "params": {**kept, "_contents": pack(contents)}})


def remember_call(module: str, what: str, params: dict[str, Any]) -> None:
    """Keep the arguments of a module that has just succeeded; there is no secret among them."""
    path = path_of(STATE, f"{module}-{what}")
    if params["_digest"] and digest_in(path) != params["_digest"]:
        kept = {key: value for key, value in params.items() if not key.startswith("_")}
        fs.make_private_directory(os.path.dirname(path))
        fs.write_json(path, {"digest": params["_digest"], "module": module, "params": kept})


def forget(state_dir: str, application: str, but: Container[str] = ()) -> None:
    """Remove what is kept of an application, except of these parts and calls."""
    folder = os.path.join(state_dir, FOLDER)
    for file in os.listdir(folder) if os.path.isdir(folder) else []:
        if application_of(file) == application and file.removesuffix(".json") not in but:
            fs.unlink(os.path.join(folder, file))
