"""A source that is a package of the index, with one exact version."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.bulwark.flask.plugins.module_utils.release.source.base import Host, Source

PIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._,-]+\])?==[A-Za-z0-9][A-Za-z0-9.!+_-]*")


class Package(Source):
    """A package. It is installed into the venv and has no directory of its own."""

    kind = "package"
    is_tree = False

    def validate(self) -> list[str]:
        """The version must be exact, so that the source is reproducible."""
        return [] if PIN.fullmatch(self.address) else ["package must name one version, such as shop==1.2"]

    def identify(self, host: Host, complete: bool) -> str | None:
        """Its name and version."""
        return self.address

    def fetch(self, host: Host, identity: str, destination: Path) -> None:
        """Nothing: the installer fetches it."""
