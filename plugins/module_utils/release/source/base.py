"""The interface of all kinds of sources: rules, identity, transfer to the host. No Ansible imports.

A new kind is a subclass of Source in a file of its own and a line in `kinds.KINDS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.sandbox import Sandbox
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import Cache, Releases
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.unpack import ArchiveError, unpack


@dataclass(frozen=True)
class Local:
    """A source that is on the controller.

    digest identifies its contents; note is what the manifest records; left_out are private keys that are not packed;
    upload is where the host received it, or empty.
    """

    digest: str
    note: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    upload: str = ""


@dataclass(frozen=True)
class Host:
    """The host's paths and accounts that a source uses."""

    sandbox: Sandbox
    releases: Releases
    cache: Cache
    ca_bundle: str
    local: Local | None = None


class Source(ABC):
    """One source of an entry. A subclass implements one kind."""

    kind: ClassVar[str] = ""
    extras: ClassVar[tuple[str, ...]] = ()  # further options besides the one with the kind's name
    secrets: ClassVar[tuple[str, ...]] = ()  # options that must not be logged
    packages: ClassVar[tuple[str, ...]] = ()  # Debian packages it needs on the host
    programs: ClassVar[tuple[str, ...]] = ()  # packages that must be installed before its identity is known
    is_tree: ClassVar[bool] = True  # whether it has a directory of code; otherwise it is one requirement

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = {key: value for key, value in options.items() if value not in (None, "")}
        self.address = str(self.options[self.kind])

    @abstractmethod
    def validate(self) -> list[str]:
        """Problems of the options, each beginning with the option's name."""

    def missing(self) -> list[str]:
        """Problems on the controller; none for a source that the host fetches."""
        return []

    def read_local(self) -> Local | None:
        """The source's contents, when it is on the controller."""
        return None

    def pack(self, folder: Path) -> Path:
        """The file to upload, for a source on the controller; `folder` is for temporary files."""
        raise NotImplementedError

    @abstractmethod
    def identify(self, host: Host, complete: bool) -> str | None:
        """The identity of the source's present contents. `complete` allows a fetch."""

    @abstractmethod
    def fetch(self, host: Host, identity: str, destination: Path) -> None:
        """Put the code into an empty directory."""

    @property
    def shown(self) -> str:
        """The address as it may be shown."""
        return public(self.address)

    def split_secrets(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The options that may be logged, and those that may not. Merged, they are the whole source."""
        hidden = {key: value for key, value in self.options.items() if key in self.secrets}
        return {key: value for key, value in self.options.items() if key not in hidden}, hidden


def public(url: str) -> str:
    """A URL without password and query."""
    parts = urlsplit(url)
    if not parts.scheme or not parts.netloc:
        return url
    user = f"{parts.username}@" if parts.scheme == "ssh" and parts.username else ""
    return urlunsplit((parts.scheme, user + parts.netloc.rpartition("@")[2], parts.path, "", ""))


def unpack_to(archive: Path, destination: Path, strip: bool, shown: str) -> None:
    """Unpack an archive; an error has its name as the operator wrote it."""
    try:
        unpack(archive, destination, strip)
    except ArchiveError as error:
        raise ReleaseError("source", f"{shown}: {error}.") from error
