"""Where a certificate is stored on a host: the link that is served, certbot's files, the placeholder. No Ansible imports."""

from __future__ import annotations

import grp
import hashlib
import http.client
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.certificates.certbot import settings_of

FILES = ("fullchain.pem", "privkey.pem")
RELOAD = "/usr/local/sbin/acme-cert-reload"
# Debian's group for programs that read keys and do not run as root.
GROUP = "ssl-cert"


def directory(path: Path, mode: int) -> None:
    """Make a directory with this mode, whatever the umask is."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)


def is_whole(folder: Path) -> bool:
    """Whether certificate and key both exist."""
    return all((folder / name).exists() for name in FILES)


def is_readable(folder: Path) -> bool:
    """Whether the web server's group can read the key."""
    key = (folder / FILES[1]).stat()
    try:
        return key.st_gid == grp.getgrnam(GROUP).gr_gid and bool(key.st_mode & stat.S_IRGRP)
    except KeyError:
        return False


def make_readable(folder: Path) -> None:
    """Make a certificate and its key readable by the web server's group, as acme-cert-reload does."""
    real = (folder / FILES[1]).resolve().parent
    for path in {*folder.parents[:2], real.parent}:
        path.chmod(path.stat().st_mode & 0o777 | 0o111)
    for path in {folder, real, *real.glob("*.pem")}:
        shutil.chown(path, group=GROUP)
        path.chmod(0o750 if path.is_dir() else 0o640)


class Certificate:
    """A certificate and its paths."""

    def __init__(self, name: str, root: Path = Path("/")) -> None:
        self.name = name
        self.link = root / "etc/ssl/acme-cert" / name
        self.config = root / "etc/acme-cert"
        self.live = self.config / "live" / name
        self.renewal = self.config / "renewal" / f"{name}.conf"
        self.state = root / "var/lib/acme-cert"
        self.webroot = self.state / "webroot"
        self.placeholder = self.state / "placeholder" / name
        self.external = self.state / "external" / name
        self.served = self.state / f"served-{name}"
        self.to_revoke = self.state / "to-revoke" / name
        self.damaged = self.state / "damaged" / name

    def prepare(self) -> None:
        """Make the directories; the web server's workers can read theirs."""
        for path, mode in ((self.link.parent, 0o755), (self.state, 0o755), (self.webroot, 0o755), (self.placeholder.parent, 0o711)):
            directory(path, mode)

    def serve(self, folder: Path) -> None:
        """Point the link at a directory, atomically."""
        fs.link(self.link, folder)

    def serves(self, folder: Path) -> bool:
        """Whether the link points to this directory."""
        return self.link.is_symlink() and os.readlink(self.link) == str(folder)

    def is_served(self) -> bool:
        """Whether nginx can read a whole certificate at the link. A directory that was put there by hand stays."""
        return is_whole(self.link) and bool(is_readable(self.link) or self.foreign_directory())

    def foreign_directory(self) -> str:
        """The problem when a directory is in place of the link; empty otherwise."""
        return "" if self.link.is_symlink() or not self.link.exists() else (
            f"{self.link} is a directory, not a link: a certificate was put there by hand. Move it and change its path in "
            "the web server's configuration, or remove it.")

    def take(self, folder: Path) -> None:
        """Copy the certificate of a directory to the placeholder's place, and serve it."""
        self.prepare()
        directory(self.placeholder, 0o750)
        for file in FILES:
            fs.write(self.placeholder / file, (folder / file).read_bytes())
        make_readable(self.placeholder)
        self.serve(self.placeholder)

    def kept(self) -> dict[str, str]:
        """certbot's settings of the certificate; empty if it has none that it could renew."""
        kept = settings_of(self.renewal.read_text(encoding="utf-8")) if self.renewal.is_file() else {}
        return kept if kept.get("server") and is_whole(self.live) else {}

    def mark_for_revocation(self) -> None:
        """Copy the certificate to the list of those to revoke, so that the next run knows it if this one is interrupted."""
        for path in (self.to_revoke.parent, self.to_revoke):
            directory(path, 0o700)
        shutil.copyfile((self.live / "cert.pem").resolve(), self.to_revoke / (self.live / "cert.pem").resolve().name)

    def marked_for_revocation(self) -> list[Path]:
        """The certificates to revoke."""
        return sorted(self.to_revoke.glob("*.pem"))

    def account(self, server: str, account: str = "") -> Path:
        """certbot's directory of an account with a CA, or of all its accounts there."""
        address = urlsplit(server)
        return self.config / "accounts" / (address.netloc + address.path) / account

    def has_account(self) -> bool:
        """Whether the account that a renewal would use exists."""
        kept = self.kept()
        return bool(kept) and self.account(kept["server"], kept.get("account", "none")).is_dir()

    def move_unknown_accounts(self, server: str) -> None:
        """Move accounts that the CA does not know to the damaged files, for example after it was set up again."""
        if self.account(server).is_dir():
            shutil.move(str(self.account(server)), str(self._aside() / "account"))

    def _aside(self) -> Path:
        for path in (self.damaged.parent, self.damaged):
            directory(path, 0o700)
        aside = self.damaged / f"{time.strftime('%Y%m%dT%H%M%S')}-{time.monotonic_ns()}"
        aside.mkdir()
        return aside

    def move_damaged_files(self) -> None:
        """Move files of an interrupted certbot: it would fail after its request, or make a second lineage."""
        left = [path for path in (self.renewal, self.live, self.config / "archive" / self.name)
                if path.exists() or path.is_symlink()]
        if not left or self.kept():
            return
        if self.serves(self.live) and is_whole(self.live):
            self.take(self.live)
        aside = self._aside()
        for path in left:
            shutil.move(str(path), str(aside / path.parent.name))

    def reload_is_due(self, folder: Path) -> bool:
        """Whether the web server does not serve the certificate of a directory yet."""
        if not self.serves(folder) or not self.served.exists():
            return True
        now = hashlib.sha256((self.link / "fullchain.pem").read_bytes()).hexdigest()
        return self.served.read_text(encoding="utf-8").split()[:1] != [now]

    def local_problem(self, domain: str, port: int = 80) -> str:
        """The problem with this host's response to a challenge for a domain; empty if it is correct."""
        folder = self.webroot / ".well-known" / "acme-challenge"
        folder.mkdir(parents=True, exist_ok=True)
        for path in (folder, folder.parent):
            path.chmod(0o755)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix="local-") as token:
            os.fchmod(token.fileno(), 0o644)
            token.write("local")
            token.flush()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("GET", f"/.well-known/acme-challenge/{Path(token.name).name}", headers={"Host": f"[{domain}]" if ":" in domain else domain})
                response = connection.getresponse()
                good = response.status == 200 and response.read() == b"local"
                return "" if good else f"This host's own web server responds to a challenge for {domain} with {response.status}."
            except (OSError, http.client.HTTPException) as error:
                return f"This host's own web server does not respond to a challenge for {domain}: {error or type(error).__name__}."
            finally:
                connection.close()


def serve_certificate(module: Any, certificate: Certificate, folder: Optional[Path] = None) -> None:
    """Serve the certificate of a directory, or the CA's, and remove external keys that are no longer served.

    When the web server rejects its configuration, the old certificate stays and the module fails.
    """
    rc, out, err = module.run_command([RELOAD, certificate.name, *([str(folder)] if folder else [])])
    for other in certificate.external.iterdir() if certificate.external.is_dir() else ():
        if not certificate.serves(other):
            shutil.rmtree(other)
    if rc:
        reason = f"The certificate is valid, but the web server cannot use it:\n{(out + err)[-2000:]}"
        module.fail_json(msg=reason, reason=reason)
