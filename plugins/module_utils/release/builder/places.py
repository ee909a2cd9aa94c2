"""The two places in which a build runs programs.

- In the first, uv downloads wheels. It has the credentials of indexes and a cache that all builds of the application use.
  The kernel executes no other program there, so no code of a package runs, whatever its files tell uv.
- In the second, code of packages and of the source runs. Its home, its caches and its temporary files are thrown away. It
  reaches no unix socket, so that it can pass no open file to a running application.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import Cache

NO_UNIX_SOCKETS = "RestrictAddressFamilies=~AF_UNIX"


@dataclass(frozen=True)
class Place:
    """Properties of the unit, beside those of every build, and variables of the environment."""

    properties: list[str]
    env: dict[str, str] = field(default_factory=dict)

    def running_programs(self) -> Place:
        """Where any program of the host may run."""
        return Place([item for item in self.properties if not item.startswith(("NoExecPaths=", "ExecPaths="))], self.env)

    def with_unix_sockets(self) -> Place:
        """Where no code of others runs. Python's processes talk over unix sockets."""
        return Place([item for item in self.properties if item != NO_UNIX_SOCKETS], self.env)

    def also(self, properties: list[str], env: Mapping[str, str]) -> Place:
        """With more of both."""
        return Place([*self.properties, *properties], {**self.env, **env})


def _hidden(release: Path, name: str) -> list[str]:
    """What neither sees: other applications, all caches, the application's state."""
    hidden = ["TemporaryFileSystem=/srv:ro"] if Path("/srv") in release.parents else []
    return [*hidden, "TemporaryFileSystem=/var/cache:ro", f"InaccessiblePaths=-/var/lib/{name}"]


def for_downloads(release: Path, name: str, cache: Cache, uv: str) -> Place:
    """Where uv installs wheels into the venv."""
    venv, program = release / "venv", Path(uv).resolve().parent
    return Place([*_hidden(release, name), f"BindReadOnlyPaths={release}", f"BindPaths={venv} {cache.wheels}", f"ReadWritePaths={venv} {cache.wheels}",
                  "NoExecPaths=/", f"ExecPaths={program} /usr/lib -/usr/lib64 -/lib -/lib64"],
                 {"UV_CACHE_DIR": str(cache.wheels)})


def for_foreign_code(release: Path, name: str, cache: Cache) -> Place:
    """Where packages are built from source and the operator's commands run."""
    home = release / "home"
    return Place([*_hidden(release, name), f"BindPaths={release}", f"ReadWritePaths={release}", f"BindReadOnlyPaths=-{cache.mirrors}",
                  NO_UNIX_SOCKETS, "SystemCallFilter=~io_uring_setup io_uring_enter io_uring_register"],
                 {"HOME": str(home), "UV_CACHE_DIR": f"{home}/uv"})
