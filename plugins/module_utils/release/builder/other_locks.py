"""Lock files of Poetry and Pipenv as the text of a requirements file, with their hashes. No Ansible imports."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError

POETRY, PIPENV = "poetry.lock", "Pipfile.lock"
EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
ALWAYS, NEVER = 'python_version >= "3"', 'python_version < "3"'


def as_requirements(name: str, text: str, groups: Collection[str], extras: Collection[str]) -> str:
    """The packages that a lock file names for the application and the chosen groups and extras."""
    try:
        return _pipenv(json.loads(text), groups) if name == PIPENV else _poetry(text, groups, extras)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReleaseError("dependencies", f"{name} cannot be read: {type(error).__name__}: {error}. {_other_way(name)}") from error


def _other_way(name: str) -> str:
    command = "pipenv requirements --hash" if name == PIPENV else "poetry export"
    return f"Run `{command} > requirements.txt`, commit the file, and write app_release: {{requirements: requirements.txt}}."


def _line(requirement: str, marker: str, hashes: list[str]) -> str:
    parts = [f"{requirement} ; {marker}" if marker else requirement, *(f"--hash={one}" for one in hashes)]
    return " \\\n    ".join(parts)


def _address(requirement: str, kind: str, place: Mapping[str, Any], commit: str) -> str:
    """A requirement that comes from a repository, a URL or a directory of the source."""
    url = str(place.get("url") or place.get(kind) or place.get("path"))
    if kind == "git":
        below = f"#subdirectory={place['subdirectory']}" if place.get("subdirectory") else ""
        return f"{requirement} @ git+{url.removeprefix('git+')}@{commit}{below}"
    if kind in ("directory", "path"):
        return url if url.startswith(".") else f"./{url}"
    return f"{requirement} @ {url}"


def _poetry(text: str, groups: Collection[str], extras: Collection[str]) -> str:
    import tomllib  # Python 3.11, which every supported host has

    lock = tomllib.loads(text)
    version = str(lock["metadata"]["lock-version"])
    if tuple(map(int, version.split("."))) < (2, 1):
        raise ReleaseError("dependencies", f"{POETRY} has the format {version}, which does not say what each package is for. Run `poetry lock` "
                                           f"with Poetry 2 and commit the file. Otherwise: {_other_way(POETRY)}")
    wanted, lines = {"main", *groups}, []
    for package in lock["package"]:
        of = [group for group in package["groups"] if group in wanted]
        if not of:
            continue
        given = package.get("markers", "")
        markers = [given.get(group, "") for group in of] if isinstance(given, Mapping) else [given]
        marker = "" if "" in markers else " or ".join(f"({one})" for one in dict.fromkeys(markers))
        if package.get("optional") and not EXTRA.search(marker):
            continue
        marker = EXTRA.sub(lambda match: ALWAYS if match.group(1) in extras else NEVER, marker)
        source = package.get("source", {})
        kind = source.get("type", "legacy")
        if kind == "legacy":
            lines.append(_line(f"{package['name']}=={package['version']}", marker, [file["hash"] for file in package["files"]]))
        else:
            lines.append(_line(_address(package["name"], kind, source, str(source.get("resolved_reference"))), marker, []))
    return "\n".join(lines) + "\n"


def _pipenv(lock: Mapping[str, Any], groups: Collection[str]) -> str:
    lines = []
    for group in ("default", *groups):
        if group not in lock:
            raise ReleaseError("dependencies", f"{PIPENV} has no group {group}; it has {', '.join(key for key in lock if key != '_meta')}.")
        for name, package in lock[group].items():
            kind = next((kind for kind in ("git", "file", "path") if package.get(kind)), "")
            full = f"{name}[{','.join(package['extras'])}]" if package.get("extras") else name
            if kind == "path" and str(package["path"]) in (".", "./"):
                continue  # the project itself, which is served from its source
            requirement = _address(full, kind, package, str(package.get("ref"))) if kind else f"{full}{package['version']}"
            lines.append(_line(requirement, package.get("markers", ""), [] if kind else package.get("hashes", [])))
    return "\n".join(lines) + "\n"
