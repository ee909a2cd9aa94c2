"""A source that is a directory on the controller."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.bulwark.flask.plugins.module_utils.release.source import pack as packing
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.base import Host, Local, Source, unpack_to


class Directory(Source):
    """A directory. In a git work tree, .gitignore decides what is packed; secrets never are."""

    kind = "path"

    def validate(self) -> list[str]:
        """No rules: every text can be a path."""
        return []

    @property
    def path(self) -> Path:
        """The directory on the controller."""
        return Path(os.path.abspath(os.path.expanduser(self.address)))

    def missing(self) -> list[str]:
        """The directory must be there."""
        return [] if self.path.is_dir() else [f"path: there is no directory {self.path} on the controller"]

    def read_local(self) -> Local:
        """A hash of names and contents is its identity."""
        entries, keys = packing.entries(self.path)
        return Local(packing.tree_digest(entries), {"from": str(self.path), **packing.git_state(self.path)}, keys)

    def pack(self, folder: Path) -> Path:
        """A .tar.gz of it."""
        packed = folder / "source.tar.gz"
        packing.pack(packing.entries(self.path)[0], packed)
        return packed

    def identify(self, host: Host, complete: bool) -> str | None:
        """The hash that the controller has computed."""
        return host.local.digest if host.local else None

    def fetch(self, host: Host, identity: str, destination: Path) -> None:
        """Unpack what was uploaded."""
        if host.local:
            unpack_to(Path(host.local.upload), destination, False, self.address)
