"""The table of all kinds of sources, and the rules that hold for each of them. No Ansible imports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.archive import Archive
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.base import Source
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.git import Git
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.package import Package
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.path import Directory

KINDS: dict[str, type[Source]] = {kind.kind: kind for kind in (Git, Directory, Archive, Package)}
RIGHT = f"give exactly one of {', '.join(KINDS)}, such as {{git: https://…, version: main}}"
USER_IN_URL = re.compile(r"\s*(?!ssh:)[\w+]+://[^/\s]*@|ssh://[^/\s]*:[^/\s]*@")


def problems(where: str, value: Any, on_controller: bool = True) -> list[str]:
    """Problems of a source. Files and directories are checked on the controller only."""
    if not isinstance(value, Mapping):
        return [f"{where} must be a mapping; {RIGHT}"]
    given = [kind for kind in KINDS if value.get(kind)]
    if len(given) != 1:
        return [f"{where} has {' and '.join(given) or 'none of what it needs'}; {RIGHT}"]
    source = KINDS[given[0]](value)
    if USER_IN_URL.match(source.address):
        return [f"{where}.{source.kind} has a user or password in its address, which would end up in logs; "
                "use token for https://, or git@host:path with a deploy_key"]
    extras = {extra for kind in KINDS.values() for extra in kind.extras}
    messages = [*source.validate(), *(source.missing() if on_controller else [])]
    messages += [f"{key} does not go with {source.kind}; leave it out" for key in source.options if key in extras - set(source.extras)]
    return [f"{where}.{text}" for text in messages]


def parse(value: Any, on_controller: bool) -> Source:
    """A valid source; otherwise one error with all problems."""
    messages = problems("source", value, on_controller)
    if messages:
        raise ReleaseError("source", "\n".join(messages))
    return next(KINDS[kind](value) for kind in KINDS if value.get(kind))
