"""Complete runs: whether the host, or an application, is up to date, so that the roles of site.yml need not run for it.

It is, when its inputs are those of its last complete run, and a run of each of its parts would do nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.application_layout import PARTS
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import remembered

FOLDER = "complete"
# In place of an application: the roles of site.yml that run once for a host.
HOST = ""
HOST_PARTS = ("nginx_server", "session_store", "alarm_channel")
# Without applications that have a store, there is none.
HOST_NEEDS = {"nginx_server", "alarm_channel"}


def path_of(state_dir: str, name: str) -> str:
    """The file of an application, or of the host."""
    return os.path.join(state_dir, FOLDER, f"application-{name}.json" if name else "host.json")


def needs(name: str, calls: Iterable[str] = ()) -> set[str]:
    """The parts and calls without which nothing is known of an application, or of the host. `calls` are those that not every application needs."""
    parts = {f"{role}-{name}" for role in PARTS}
    return {*parts, f"generated_secrets-{name}.generated.env", f"release-{name}", *calls} if name else HOST_NEEDS


def digests(state_dir: str, names: Iterable[str]) -> dict[str, str]:
    """Those of these parts and calls of which the arguments are kept, with the digests of these."""
    found = {name: remembered.digest_in(remembered.path_of(state_dir, name)) for name in names}
    return {name: digest for name, digest in found.items() if digest}


def stopped(base: str) -> Any:
    """What the strict policy would stop on the pages of the live release; the site's configuration depends on it."""
    return (fs.read_json(os.path.join(base, "current", "release", "pages.json")) or {}).get("stopped") or []


def write(state_dir: str, name: str, base: str, inputs: str, calls: Iterable[str] = ()) -> bool:
    """Record a complete run; returns whether it can be one. `inputs` is a digest of the inputs, `calls` are as in needs."""
    path, needed = path_of(state_dir, name), needs(name, calls)
    parts = digests(state_dir, needed if name else HOST_PARTS)
    if not (inputs and needed <= set(parts)):
        fs.unlink(path)
        return False
    if name:
        remembered.forget(state_dir, name, needed)
    fs.make_private_directory(os.path.dirname(path))
    fs.write_json(path, {"inputs": inputs, "parts": parts, "stopped": stopped(base) if name else []})
    return True


def _is_as_left(state_dir: str, name: str, base: str, key: str, unchanged: Mapping[str, str]) -> str:
    """The inputs of the last complete run, or nothing when the host is not as that run left it."""
    record = fs.read_json(path_of(state_dir, name))
    parts: dict[str, str] = record["parts"]
    same = digests(state_dir, parts if name else HOST_PARTS) == parts and all(unchanged.get(part) == remembered.digest(key, own) for part, own in parts.items())
    return str(record["inputs"]) if same and (not name or stopped(base) == record["stopped"]) else ""


def up_to_date(state_dir: str, bases: Mapping[str, str], key: str, unchanged: Mapping[str, str]) -> dict[str, str]:
    """The applications that are as their last complete run left them, and the host, with digests of their inputs by `key`.

    :param unchanged: the parts for which a run would do nothing, as look.unchanged returns them
    """
    found = {}
    for name, base in {HOST: "", **bases}.items():
        try:
            inputs = _is_as_left(state_dir, name, base, key, unchanged)
        except (OSError, TypeError, KeyError, AttributeError):  # there is none, or it is damaged
            continue
        if inputs:
            found[name] = remembered.digest(key, inputs)
    return found


def forget(state_dir: str, name: str) -> None:
    """Remove the record of an application."""
    fs.unlink(path_of(state_dir, name))
