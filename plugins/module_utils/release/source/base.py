"""Bring the source of a release to the host, and say what it is before anything is fetched."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.sandbox import Sandbox
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import ReleaseError, sha256_of
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.unpack import ArchiveError, unpack

KINDS = ("git", "path", "archive", "package")
PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._,-]+\])?==[A-Za-z0-9][A-Za-z0-9.!+_-]*")
# Runs in the sandbox; the address comes by stdin, as it may hold a token.
DOWNLOAD = """
import shutil, sys, urllib.request
url, path = sys.stdin.read().splitlines()
try:
    with urllib.request.urlopen(url, timeout=60) as answer, open(path, "wb") as file:
        shutil.copyfileobj(answer, file)
except (OSError, ValueError) as error:
    sys.exit(f"{error}")
"""


def kind_of(source: dict[str, Any]) -> str:
    """Which of the four kinds a source is."""
    found = [kind for kind in KINDS if source.get(kind)]
    if len(found) != 1:
        raise ReleaseError("source", f"source needs exactly one of {', '.join(KINDS)}; it has {', '.join(found) or 'none'}.")
    return found[0]


def check(source: dict[str, Any]) -> str:
    """The kind of a source, once it is known to be well-formed."""
    kind = kind_of(source)
    if kind == "package" and not PACKAGE.fullmatch(source["package"]):
        raise ReleaseError("source", f"package needs one exact version, name==1.2, not {source['package']!r}.")
    if (kind == "git" and source["git"].startswith("-")) or str(source.get("version") or "").startswith("-"):
        raise ReleaseError("source", "neither the repository nor the version can start with a dash.")
    if is_url(source):
        if not source["archive"].startswith("https://"):
            raise ReleaseError("source", "an archive is only fetched over https.")
        if not source.get("sha256"):
            raise ReleaseError("source", "an archive from a URL needs its sha256: only then is it sure what is deployed.")
    if source.get("sha256") and not re.fullmatch(r"[0-9a-fA-F]{64}", source["sha256"]):
        raise ReleaseError("source", "sha256 needs 64 hexadecimal digits.")
    return kind


def is_url(source: dict[str, Any]) -> bool:
    """Whether the source is an archive the host fetches itself."""
    return bool(re.match(r"[a-z+]+://", str(source.get("archive") or "")))


def split_credentials(url: str) -> tuple[str, str | None]:
    """A repository's URL without user and password, and the URL git's credential store needs."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.username is None:
        return url, None
    host = parts.netloc.rpartition("@")[2]
    password = parts.password or ""
    bare = urlunsplit((parts.scheme, host, parts.path, parts.query, parts.fragment))
    return bare, f"{parts.scheme}://{parts.username}:{password}@{host}"


def public(url: str) -> str:
    """A URL as it may be shown: without user, password and query."""
    parts = urlsplit(url)
    if not parts.scheme or not parts.netloc:
        return url
    user = f"{parts.username}@" if parts.scheme == "ssh" and parts.username else ""
    return urlunsplit((parts.scheme, user + parts.netloc.rpartition("@")[2], parts.path, "", ""))


def unpack_to(archive: Path, destination: Path, strip: bool, shown: str) -> None:
    """Unpack an archive of the operator's; what is wrong with it is said in one sentence."""
    try:
        unpack(archive, destination, strip)
    except ArchiveError as error:
        raise ReleaseError("source", f"{shown}: {error}.") from error


def download(sandbox: Sandbox, url: str, sha256: str, destination: Path, ca_bundle: str) -> None:
    """Fetch an archive as the build account, compare its hash, and unpack it."""
    uid, gid = sandbox.ids
    with tempfile.TemporaryDirectory(dir=sandbox.cache, prefix="download-") as folder:
        os.chown(folder, uid, gid)
        file = Path(folder, "archive")
        sandbox.run(["/usr/bin/python3", "-I", "-c", DOWNLOAD], step="source", folder=Path("/"),
                    properties=[f"ReadWritePaths={folder}"], env={"SSL_CERT_FILE": ca_bundle},
                    given=f"{url}\n{file}\n", explain=f"{public(url)} could not be downloaded")
        found = sha256_of(file)
        if found != sha256.lower():
            raise ReleaseError("source", f"{public(url)} is not the expected file: "
                                         f"its sha256 is {found}, not {sha256.lower()}.")
        unpack_to(file, destination, True, public(url))
