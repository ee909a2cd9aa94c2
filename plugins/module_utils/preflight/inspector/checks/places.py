"""Where the application writes. A release is read-only, so that its own directory is no place for data."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath
from typing import Any, Iterator

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import Seen, check

# Settings that name a directory or a file to write.
WRITTEN = re.compile(r"UPLOAD\w*(FOLDER|DIR|PATH|DEST)|MEDIA\w*(FOLDER|DIR|PATH|ROOT)|CACHE_DIR|SESSION_FILE_DIR|DATABASE(_FILE|_PATH)?"
                     r"|(SQLITE|DB)_(FILE|PATH)|LOG_(FILE|DIR|FOLDER|PATH)|WHOOSH_BASE|UPLOADED_\w+_DEST")
TEMPORARY = {Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")}  # noqa: S108 named, not used
SQLITE = re.compile(r"sqlite(\+\w+)?:///(?!:memory:)(?P<path>[^?]+)")


@check("every place that the settings name for data can be written", "error", "a release is read-only; uploads or the database fail",
       "shared: [instance, uploads] in the entry")
def writable_places(subject: Any) -> Seen:
    source, shared = Path(subject.question["source"]).resolve(), list(subject.question.get("shared") or [])
    below, kept = [], {source, Path(os.environ.get("STATE_DIRECTORY", source))}
    for setting, path in named(subject.app):
        if "DATABASE" in setting and TEMPORARY & set(path.parents) and not kept & set(path.parents):
            prefix = "sqlite:///" if SQLITE.match(os.fspath(subject.config[setting])) else ""
            yield ("warning", f"{setting} is {path}: every new instance has an empty directory of its own there",
                   f'config: {{{setting}: "{prefix}/var/lib/{subject.question["account"]}/{path.name}"}}')
    for setting, path in unwritable(subject.app, subject.question):
        if source in path.parents:
            below.append((setting, path.relative_to(source)))
        else:
            yield ("error", f"{setting} is {path}, where the application cannot write",
                   f"let {setting} lead below the directory that the environment variable STATE_DIRECTORY names")
    entries = list(dict.fromkeys([*shared, *(_entry(path) for _setting, path in below)]))
    for setting, path in below:
        if subject.question.get("sealed"):  # a deploy finds it
            yield "warning", f"{setting} is {path}, below the release; a deploy keeps it elsewhere, unless it has code", f"shared: [{', '.join(entries)}]"
        else:
            yield "error", f"{setting} is {path}, which the application cannot write", f"shared: [{', '.join(entries)}]"


def unwritable(app: Any, question: dict) -> list:
    """The settings that name a place for data which cannot be written, each with the path."""
    source, shared = Path(question["source"]).resolve(), list(question.get("shared") or [])
    return [(setting, path) for setting, path in named(app) if not _can_be_written(path, source, shared, bool(question.get("sealed")))]


def missing_databases(databases: list, question: dict) -> list:
    """The files of SQLite that were opened, are not there, and cannot be made. One that is there may be only read."""
    source, shared = Path(question["source"]).resolve(), list(question.get("shared") or [])
    paths = [Path(os.fsdecode(name)).absolute() for name in databases
             if isinstance(name, (str, bytes, os.PathLike)) and os.fsdecode(name) not in ("", ":memory:") and not os.fsdecode(name).startswith("file:")]
    return [path for path in paths if not path.exists() and not _can_be_written(path, source, shared, bool(question.get("sealed")))]


def _entry(path: PurePath) -> str:
    """The entry of `shared` for a path below the source: a file's directory, as more files come; but never the whole source."""
    return str(path.parent if path.suffix and len(path.parts) > 1 else path)


def _can_be_written(path: Path, source: Path, shared: list[str], sealed: bool) -> bool:
    """Whether this process may write it, or make it. `sealed` asks what would hold if the source were a release."""
    if sealed and source in path.parents:
        return any(source / entry in (path, *path.parents) for entry in shared)
    path = path.resolve()
    if path.is_dir():
        return os.access(path, os.W_OK)
    parent = next(parent for parent in path.parents if parent.exists())
    return parent.is_dir() and os.access(parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def named(app: Any) -> Iterator[tuple]:
    """The settings that name a place for data, each with the path in force."""
    for name, value in sorted(app.config.items(), key=str):
        if not isinstance(name, str) or not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
            continue
        text = os.fspath(value)
        match = SQLITE.match(text) if isinstance(text, str) else None
        if match and name != "SQLALCHEMY_DATABASE_URI":
            yield name, Path(match["path"]).absolute()
        elif isinstance(text, str) and WRITTEN.fullmatch(name) and "://" not in text and text != ":memory:":
            yield name, Path(text).absolute()
    if "sqlalchemy" in app.extensions and SQLITE.match(str(app.config.get("SQLALCHEMY_DATABASE_URI", ""))):
        # Where a relative one leads depends on the version of Flask-SQLAlchemy.
        with app.app_context():
            database = app.extensions["sqlalchemy"].engine.url.database
        if database and database != ":memory:":
            yield "SQLALCHEMY_DATABASE_URI", Path(database).absolute()
