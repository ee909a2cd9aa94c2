"""Run the commands of a build as the build account, inside a systemd sandbox.

Dependencies run code while they are installed. That code has the network and its own release directory. It cannot read
secrets or other applications, or gain privileges. `places` has what differs between commands.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.bulwark.flask.plugins.module_utils import fs, systemd_sandbox
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.hints import hint
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError

TAIL_LINES = 20
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
OWN_LINES = """
# Files of a release are readable to the application and the web server.
UMask=0022
InaccessiblePaths=-/etc/gunicorn -/var/log
# git's ssh reads its configuration.
ReadOnlyPaths=-/etc/ssh
# Compilers and Node.js size themselves by /proc/meminfo and /proc/cpuinfo, generate code, and ask for network interfaces.
ProcSubset=all
MemoryDenyWriteExecute=no
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
# Installers and tests of packages open ports of their own.
SocketBindDeny=
# Link-local addresses, such as the metadata service of a cloud.
IPAddressDeny=169.254.0.0/16 fe80::/10 fd00:ec2::254
# Installers change owners, priorities and limits.
SystemCallFilter=~@mount @module @raw-io @reboot @swap @clock @debug @obsolete
# A build gives way to what serves clients.
CPUWeight=20
IOWeight=20
MemoryMax=75%
TasksMax=2048
OOMScoreAdjust=500
"""
PROPERTIES = systemd_sandbox.properties(OWN_LINES)
# systemd-run returns it for a command that a signal ended. A command can return it itself.
SIGNALLED = 255
RESOLVERS = re.compile(r"^nameserver\s+(169\.254\.[0-9.]+|fe80:[0-9a-f:]+)", re.MULTILINE)


class Sandbox:
    """Runs commands for one application, one at a time, until the time is up."""

    runtime = Path("/run")

    def __init__(self, name: str, account: str, timeout_seconds: int) -> None:
        self.unit = f"flask-build-{name}.service"
        self.account = account
        self.timeout_seconds = timeout_seconds
        self.ends = time.monotonic() + timeout_seconds
        self.log: Path | None = None

    @property
    def ids(self) -> tuple[int, int]:
        """The user and group id of the build account."""
        user = pwd.getpwnam(self.account)
        return user.pw_uid, user.pw_gid

    @contextmanager
    def private_folder(self, runtime: Path | None = None) -> Iterator[Path]:
        """A directory that only the build account can enter, for keys; it is gone afterwards."""
        folder = (runtime or self.runtime) / f"{self.unit.replace('.service', '')}-{os.getpid()}"
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def write_private(self, folder: Path, files: Mapping[str, str]) -> None:
        """Files in it, and the directory itself, for the build account alone."""
        uid, gid = self.ids
        for name, text in files.items():
            path = folder / name
            path.touch(mode=0o600)
            path.write_text(text)
            os.chown(path, uid, gid)
        os.chown(folder, uid, gid)

    def stop_leftover(self) -> None:
        """End a command that a killed run left behind."""
        subprocess.run(["systemctl", "stop", "--quiet", self.unit], capture_output=True, check=False)

    @staticmethod
    def resolvers(path: Path = Path("/etc/resolv.conf")) -> list[str]:
        """Directives that allow the name servers of the host with a link-local address."""
        try:
            return [f"IPAddressAllow={address}" for address in RESOLVERS.findall(path.read_text(errors="replace"))]
        except FileNotFoundError:
            return []

    def _command(self, argv: list[str], folder: Path, properties: list[str], variables: dict[str, str]) -> list[str]:
        remaining = max(1, int(self.ends - time.monotonic()))
        command = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--unit={self.unit}",
                   "--service-type=exec", f"--working-directory={folder}", f"--property=User={self.account}",
                   f"--property=RuntimeMaxSec={remaining}"]
        command += [f"--property={item}" for item in PROPERTIES + self.resolvers() + properties]
        # Only the name: systemd-run takes the value from its own environment, so no value is in argv.
        command += [f"--setenv={key}" for key in sorted(variables)]
        # systemd replaces variables in the words of a command; `$$` is a dollar.
        return [*command, "--", *[word.replace("$", "$$") for word in argv]]

    def run(self, argv: list[str], *, step: str, folder: Path, properties: list[str], env: dict[str, str] | None = None,
            check: bool = True, given: str = "", explain: str = "") -> tuple[int, str]:
        """Run one command; returns its exit status and its output, which also goes to the log."""
        if time.monotonic() >= self.ends:
            raise ReleaseError(step, f"The build was given up after {self.timeout_seconds} s.")
        # PrivateTmp: it is gone with the command.
        variables = {"HOME": "/tmp", "LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin", **(env or {})}
        variables |= {key: os.environ[key] for key in PROXIES if os.environ.get(key)}
        began = time.time()
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as stdin:
            stdin.write(given.encode())
            stdin.seek(0)
            try:
                rc = subprocess.run(
                    self._command(argv, folder, properties, variables), stdin=stdin, stdout=output,
                    stderr=subprocess.STDOUT, check=False, env={**os.environ, **variables},
                    timeout=max(1, self.ends - time.monotonic()) + 15,
                ).returncode
            except subprocess.TimeoutExpired:
                rc = 124
                self.stop_leftover()
            text = fs.read_end(output)
        if rc == SIGNALLED:
            text += self._end(began)
        self._write_log(argv, rc, text)
        if rc and time.monotonic() >= self.ends - 0.5:
            raise ReleaseError(step, f"The build was given up after {self.timeout_seconds} s, while it ran "
                                     f"{' '.join(argv[:4])}.\n{tail(text)}")
        if rc and check:
            raise ReleaseError(step, failure(explain or "A command of the build failed", argv, rc, text))
        return rc, text

    def _end(self, began: float) -> str:
        """What systemd says of a command that was killed, which says nothing itself."""
        subprocess.run(["journalctl", "--sync"], stdin=subprocess.DEVNULL, capture_output=True, check=False)  # systemd's lines may be on their way
        done = subprocess.run(["journalctl", "--quiet", "--output=cat", f"--since=@{began:.3f}", f"--unit={self.unit}"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return "".join(f"{line}\n" for line in done.stdout.splitlines() if "code=killed" in line or "OOM killer" in line)

    def _write_log(self, argv: list[str], rc: int, text: str) -> None:
        if self.log is not None:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(f"$ {' '.join(argv)}\n{text.rstrip()}\n[exit status {rc}]\n\n")


def failure(explain: str, argv: list[str], rc: int, text: str) -> str:
    """The message of a command that failed."""
    return f"{explain} ({short(argv)} ended with {rc}):\n{tail(text)}{hint(text)}"


def trusting(bundle: str) -> dict[str, str]:
    """The variables that name the trusted certificates for Python, uv, curl, git and Node.js."""
    return dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"), bundle)


def tail(text: str) -> str:
    """The last lines of a command's output, indented."""
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines()[-TAIL_LINES:]) or "  (no output)"


def short(argv: list[str]) -> str:
    """The name of a command with its first words."""
    return " ".join([os.path.basename(argv[0]), *[word for word in argv[1:3] if not word.startswith(("-", "/"))]])
