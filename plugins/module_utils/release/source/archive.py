"""A source that is a tar or zip archive: a file on the controller, or an https URL that the host fetches."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import sha256_of
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.base import Host, Local, Source, public, unpack_to

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
# Runs in the sandbox. The address comes by stdin, as its query may hold a token.
DOWNLOAD = """
import shutil, sys, urllib.request
url, path = sys.stdin.read().splitlines()
try:
    with urllib.request.urlopen(url, timeout=60) as response, open(path, "wb") as file:
        shutil.copyfileobj(response, file)
except (OSError, ValueError) as error:
    sys.exit(f"{error}")
"""


class Archive(Source):
    """An archive. When everything in it is in one directory, that directory is the source."""

    kind = "archive"
    extras = ("sha256",)

    @property
    def is_url(self) -> bool:
        """Whether the host fetches it."""
        return "://" in self.address

    @property
    def sha256(self) -> str:
        """The expected hash, or empty."""
        return str(self.options.get("sha256", "")).lower()

    def validate(self) -> list[str]:
        """A URL needs a hash, which identifies the deployed contents."""
        problems = []
        path = urlsplit(self.address).path if self.is_url else self.address
        if not path.lower().endswith(SUFFIXES):
            problems.append(f"archive must end in one of {', '.join(SUFFIXES)}")
        if self.is_url and not re.fullmatch(r"https://[^\s/]+/\S+", self.address):
            problems.append("archive must be an https:// URL or a file on the controller")
        elif self.is_url and not self.sha256:
            problems.append("sha256 is missing; a URL needs the hash of its contents (sha256sum prints it)")
        if self.sha256 and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            problems.append("sha256 must be 64 hexadecimal digits; put them in quotes")
        return problems

    @property
    def path(self) -> Path:
        """The file on the controller."""
        return Path(os.path.abspath(os.path.expanduser(self.address)))

    def missing(self) -> list[str]:
        """A file must be there."""
        return [] if self.is_url or self.path.is_file() else [f"archive: there is no file {self.path} on the controller"]

    def read_local(self) -> Local | None:
        """A file's hash is its identity."""
        if self.is_url:
            return None
        digest = sha256_of(self.path)
        if self.sha256 not in ("", digest):
            raise ReleaseError("source", f"source: {self.path} is not the expected file: its sha256 is {digest}.")
        return Local(digest, {"from": str(self.path)})

    def pack(self, folder: Path) -> Path:
        """The archive itself."""
        return self.path

    def identify(self, host: Host, complete: bool) -> str | None:
        """The hash of its contents."""
        return self.sha256 if self.is_url else host.local.digest if host.local else None

    def fetch(self, host: Host, identity: str, destination: Path) -> None:
        """Unpack what was uploaded; a URL is downloaded as the build account and compared with its hash first."""
        if host.local:
            unpack_to(Path(host.local.upload), destination, True, self.shown)
            return
        uid, gid = host.sandbox.ids
        with tempfile.TemporaryDirectory(dir=host.cache.folder, prefix="download-") as folder:
            os.chown(folder, uid, gid)
            file = Path(folder, "archive")
            host.sandbox.run(["/usr/bin/python3", "-I", "-c", DOWNLOAD], step="source", folder=Path("/"),
                             properties=[f"ReadWritePaths={folder}"], env={"SSL_CERT_FILE": host.ca_bundle},
                             given=f"{self.address}\n{file}\n", explain=f"{self.shown} could not be downloaded")
            actual = sha256_of(file)
            if actual != self.sha256:
                raise ReleaseError("source", f"{self.shown} is not the expected file: its sha256 is {actual}, not {self.sha256}.")
            unpack_to(file, destination, True, self.shown)

    def split_secrets(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """A URL's query may hold a signature."""
        shown = public(self.address)
        return {**self.options, "archive": shown}, {"archive": self.address} if shown != self.address else {}
