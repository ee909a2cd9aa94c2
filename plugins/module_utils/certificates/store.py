"""Where a certificate lives on a host: the link that is served, certbot's files, the self-signed one. No Ansible imports."""

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
# Debian's group for programs that read keys and are not root.
GROUP = "ssl-cert"


def directory(path: Path, mode: int) -> None:
    """Have a directory with this mode, whatever root's umask is."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)


def is_whole(folder: Path) -> bool:
    """Whether certificate and key are both there."""
    return all((folder / name).exists() for name in FILES)


def is_open(folder: Path) -> bool:
    """Whether the web server's group can read the key."""
    key = (folder / FILES[1]).stat()
    try:
        return key.st_gid == grp.getgrnam(GROUP).gr_gid and bool(key.st_mode & stat.S_IRGRP)
    except KeyError:
        return False


def let_in(folder: Path) -> None:
    """Have the web server's group read a certificate and its key, as acme-cert-reload does."""
    real = (folder / FILES[1]).resolve().parent
    for path in {*folder.parents[:2], real.parent}:
        path.chmod(path.stat().st_mode & 0o777 | 0o111)
    for path in {folder, real, *real.glob("*.pem")}:
        shutil.chown(path, group=GROUP)
        path.chmod(0o750 if path.is_dir() else 0o640)


class Certificate:
    """One certificate and its places."""

    def __init__(self, name: str, root: Path = Path("/")) -> None:
        self.name = name
        self.link = root / "etc/ssl/acme-cert" / name
        self.config = root / "etc/acme-cert"
        self.live = self.config / "live" / name
        self.renewal = self.config / "renewal" / f"{name}.conf"
        self.state = root / "var/lib/acme-cert"
        self.webroot = self.state / "webroot"
        self.own = self.state / "bootstrap" / name
        self.elsewhere = self.state / "elsewhere" / name
        self.told = self.state / f"served-{name}"
        self.to_revoke = self.state / "to-revoke" / name

    def prepare(self) -> None:
        """Have the directories; those the web server's workers read are open to them."""
        for path, mode in ((self.link.parent, 0o755), (self.state, 0o755), (self.webroot, 0o755), (self.own.parent, 0o711)):
            directory(path, mode)

    def serve(self, folder: Path) -> None:
        """Point the link at a directory, atomically."""
        fs.link(self.link, folder)

    def serves(self, folder: Path) -> bool:
        """Whether the link points to this directory."""
        return self.link.is_symlink() and os.readlink(self.link) == str(folder)

    def put_by_hand(self) -> str:
        """What is wrong when somebody's own directory is where the link belongs; else empty."""
        return "" if self.link.is_symlink() or not self.link.exists() else (
            f"{self.link} is no link: somebody put a certificate there by hand. Move it elsewhere and "
            "name that place in the web server's configuration, or remove it.")

    def take(self, folder: Path) -> None:
        """Have the certificate of a directory as one of our own, and serve it."""
        self.prepare()
        directory(self.own, 0o750)
        for file in FILES:
            fs.write(self.own / file, (folder / file).read_bytes())
        let_in(self.own)
        self.serve(self.own)

    def kept(self) -> dict[str, str]:
        """The settings certbot keeps, none if there is no certificate it could renew."""
        kept = settings_of(self.renewal.read_text(encoding="utf-8")) if self.renewal.is_file() else {}
        return kept if kept.get("server") and is_whole(self.live) else {}

    def doom(self) -> None:
        """Note that the authority's certificate is to be revoked: a run that is interrupted once it has replaced it
        leaves that to the next, which would not know it otherwise."""
        for path in (self.to_revoke.parent, self.to_revoke):
            directory(path, 0o700)
        shutil.copyfile((self.live / "cert.pem").resolve(), self.to_revoke / (self.live / "cert.pem").resolve().name)

    def doomed(self) -> list[Path]:
        """Certificates that are to be revoked."""
        return sorted(self.to_revoke.glob("*.pem"))

    def account(self, server: str, account: str = "") -> Path:
        """Where certbot keeps an account of an authority, or all of them."""
        address = urlsplit(server)
        return self.config / "accounts" / (address.netloc + address.path) / account

    def has_account(self) -> bool:
        """Whether the account a renewal would use is still there."""
        kept = self.kept()
        return bool(kept) and self.account(kept["server"], kept.get("account", "none")).is_dir()

    def put_account_aside(self, server: str) -> None:
        """Move the accounts of an authority that does not know them: one that was set up anew."""
        if self.account(server).is_dir():
            shutil.move(str(self.account(server)), str(self._aside() / "account"))

    def _aside(self) -> Path:
        directory(self.state / "damaged", 0o700)
        aside = self.state / "damaged" / f"{self.name}-{time.strftime('%Y%m%dT%H%M%S')}-{time.monotonic_ns()}"
        aside.mkdir()
        return aside

    def put_damage_aside(self) -> None:
        """Move what an interrupted certbot left: it would fail after the authority has been asked, or make a second one."""
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
        """Whether the web server has yet to be told of the certificate in a directory."""
        if not self.serves(folder) or not self.told.exists():
            return True
        now = hashlib.sha256((self.link / "fullchain.pem").read_bytes()).hexdigest()
        return self.told.read_text(encoding="utf-8").split()[:1] != [now]

    def local_answer(self, domain: str, port: int = 80) -> str:
        """How this host's own web server answers a challenge for a domain; empty when it answers well."""
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
                answer = connection.getresponse()
                good = answer.status == 200 and answer.read() == b"local"
                return "" if good else f"This host's own web server answers a challenge for {domain} with {answer.status}."
            except (OSError, http.client.HTTPException) as error:
                return f"This host's own web server does not answer a challenge for {domain}: {error or type(error).__name__}."
            finally:
                connection.close()


def have_served(module: Any, certificate: Certificate, folder: Optional[Path] = None) -> None:
    """Have the web server serve the certificate of a directory, or the authority's. Keys from elsewhere that are served no
    more go; where it refuses, what was served before stays."""
    rc, out, err = module.run_command([RELOAD, certificate.name, *([str(folder)] if folder else [])])
    for other in certificate.elsewhere.iterdir() if certificate.elsewhere.is_dir() else ():
        if not certificate.serves(other):
            shutil.rmtree(other)
    if rc:
        said = f"The certificate is good, but the web server could not take it:\n{(out + err)[-2000:]}"
        module.fail_json(msg=said, reason=said)
