"""A source that is a git repository, fetched as the build account.

A deploy key or token is in a file below /run that only the build account can read, while git runs, and is removed before
any code of the application or its dependencies runs. It is never in argv or in the environment. The mirror is in a
directory of root's that such code can only read. git and ssh read no configuration of the host or the account, and git
runs no hooks, so that such code cannot catch a key at the next fetch.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.hints import hint
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.sandbox import tail
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.base import Host, Source

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
ABBREVIATED = re.compile(r"[0-9a-f]{7,63}")
# Servers that take tokens of accounts, projects or installations accept any name with them.
TOKEN_USER = "x-access-token"
GITCONFIG = """[safe]
\tdirectory = *
[protocol]
\tallow = never
[protocol "https"]
\tallow = always
[protocol "ssh"]
\tallow = always
[protocol "file"]
\tallow = user
[advice]
\tdetachedHead = false
"""
# Above the configuration of every repository, also that of submodules.
OVERRIDES = {"core.hooksPath": "/dev/null", "core.fsmonitor": "false"}
LFS_PROGRAM = "/usr/bin/git-lfs"
# Messages of git and ssh, and the explanation for the operator.
MEANINGS = [
    (r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
     "the server's SSH host key is not the expected one; compare it with the server's, then correct host_key"),
    (r"invalid format|error in libcrypto|Load key",
     "deploy_key is not a private key that ssh can read (it must have no passphrase and end with a newline)"),
    (r"Permission denied \(|Authentication failed|could not read Username|HTTP Basic: Access denied|error: 40[13]",
     "the server refused access; check that deploy_key or token may read this repository"),
    (r"Repository not found|does not appear to be a git repository|repository '.*' not found|does not exist",
     "there is no such repository, or the key may not see it"),
    (r"Could not resolve host|Connection (refused|timed out|reset)|No route to host|Network is unreachable|Failed to connect",
     "the server could not be reached from the host"),
]


def explain(text: str) -> str:
    """The explanation of a failure of git."""
    return next((meaning for pattern, meaning in MEANINGS if re.search(pattern, text, re.IGNORECASE)),
                "git could not read it")


def credentials(url: str, token: str) -> str:
    """A line for git's credential store: it gives the token to this server alone. A token may be written as user:token."""
    user, separator, password = token.partition(":")
    if not separator:
        user, password = TOKEN_USER, token
    return f"https://{quote(user, safe='')}:{quote(password, safe='')}@{urlsplit(url).netloc}"


def pick_ref(listing: str, version: str) -> str | None:
    """The commit a branch or tag stands for in the output of `git ls-remote`; branches win."""
    refs = {}
    for line in listing.splitlines():
        commit, _unused, name = line.partition("\t")
        if COMMIT.fullmatch(commit):
            refs[name] = commit
    for name in (version, f"refs/heads/{version}", f"refs/tags/{version}^{{}}", f"refs/tags/{version}"):
        if name in refs:
            return refs[name]
    return None


class Git(Source):
    """A commit, branch or tag of a repository."""

    kind = "git"
    extras = ("version", "deploy_key", "host_key", "token")
    secrets = ("deploy_key", "token")
    packages = ("git", "openssh-client")
    programs = ("/usr/bin/git",)

    def validate(self) -> list[str]:
        """The address is encrypted or a file; each credential goes with its own protocol."""
        problems, url = [], self.address
        https, ssh = re.fullmatch(r"https://[^\s/]+/\S+", url), re.fullmatch(r"ssh://[^\s/]+/\S+|[\w.-]+@[\w.-]+:\S+", url)
        if re.match(r"(http|git|ftp)://", url):
            problems.append("git is fetched without encryption; use https:// or git@host:path")
        elif not (https or ssh or re.fullmatch(r"file:///\S+", url)):
            problems.append("git is not the address of a repository; write https://host/path or git@host:path")
        else:
            if self.options.get("deploy_key") and not ssh:
                problems.append("deploy_key is for SSH; write the address as git@host:path, or leave the key out")
            if self.options.get("token") and not https:
                problems.append("token is for https://; write the address as https://host/path, or leave the token out")
        version, key = self.options.get("version"), self.options.get("deploy_key")
        if version is not None and not re.fullmatch(r"[^\s-]\S*", str(version)):
            problems.append("version must be a branch, tag or commit, such as main")
        if isinstance(version, (int, float)):
            problems.append("version was read as a number; put it in quotes")
        if key and not re.search(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s.*-----END [A-Z ]*PRIVATE KEY-----", str(key), re.DOTALL):
            problems.append("deploy_key must be the private key itself, of many lines, not its file's name; keep it in a vault")
        if re.search(r"\s", str(self.options.get("token", ""))):
            problems.append("token must be the token itself, or user:token, without spaces and lines; keep it in a vault")
        return problems

    def identify(self, host: Host, complete: bool) -> str | None:
        """The commit; None for an abbreviated one that only a fetch can complete."""
        asked = str(self.options.get("version", ""))
        if COMMIT.fullmatch(asked):
            return asked
        known = host.releases.commit_starting_with(asked) if ABBREVIATED.fullmatch(asked) else None
        if known:
            return known
        repository = Repository(self, host)
        commit = repository.resolve(asked or "HEAD")
        return repository.complete(asked) if commit is None and complete else commit

    def fetch(self, host: Host, identity: str, destination: Path) -> None:
        """The commit with its submodules."""
        Repository(self, host).checkout(identity, destination)


class Repository:
    """One repository, mirrored on the host."""

    def __init__(self, source: Git, host: Host, runtime: Path = Path("/run")) -> None:
        self.sandbox = host.sandbox
        self.source = source
        self.url = source.address
        self.host_key = source.options.get("host_key")
        self.known_hosts = host.releases.known_hosts
        self.ca_bundle = host.ca_bundle
        self.runtime = runtime
        self.cache = host.cache
        self.mirror = host.cache.mirrors / f"{hashlib.sha256(self.url.encode()).hexdigest()[:16]}.git"

    @contextmanager
    def access(self) -> Iterator[dict[str, str]]:
        """The environment of git for one access to the server; secrets are removed afterwards."""
        with self.sandbox.private_folder(self.runtime) as folder:
            yield self._write_access(folder)
            if not self.host_key and (folder / "known_hosts").stat().st_size and self.known_hosts.parent.is_dir():
                self._keep_known_hosts(folder / "known_hosts")

    def _write_access(self, folder: Path) -> dict[str, str]:
        known = self.host_key or (self.known_hosts.read_text() if self.known_hosts.exists() else "")
        strict = "yes" if self.host_key else "accept-new"
        ssh = [f"Host *\n  BatchMode yes\n  ConnectTimeout 20\n  StrictHostKeyChecking {strict}\n"
               f"  UserKnownHostsFile {folder}/known_hosts\n  GlobalKnownHostsFile /etc/ssh/ssh_known_hosts\n"]
        files = {"known_hosts": known.rstrip() + "\n" if known else "", "gitconfig": GITCONFIG}
        key, token = self.source.options.get("deploy_key"), self.source.options.get("token")
        if key:
            ssh.append(f"  IdentityFile {folder}/key\n  IdentitiesOnly yes\n")
            files["key"] = key.replace("\r\n", "\n").rstrip("\n") + "\n"
        if token:
            files["credentials"] = credentials(self.url, token) + "\n"
            files["gitconfig"] += f'[credential]\n\thelper = "store --file={folder}/credentials"\n'
        files["ssh_config"] = "".join(ssh) + "Include /etc/ssh/ssh_config\n"
        self.sandbox.write_private(folder, files)
        overrides = {f"GIT_CONFIG_{part}_{number}": text for number, pair in enumerate(OVERRIDES.items()) for part, text in zip(("KEY", "VALUE"), pair)}
        return {**overrides, "GIT_CONFIG_COUNT": str(len(OVERRIDES)), "GIT_CONFIG_NOSYSTEM": "1",
                "HOME": str(folder), "GIT_CONFIG_GLOBAL": f"{folder}/gitconfig", "GIT_TERMINAL_PROMPT": "0",
                "GIT_SSH_COMMAND": f"ssh -F {folder}/ssh_config", "GIT_SSL_CAINFO": self.ca_bundle,
                "GIT_LFS_SKIP_SMUDGE": "1"}  # files of Git LFS are fetched once the repository knows its server

    def _keep_known_hosts(self, seen: Path) -> None:
        """Remember the first host key a server showed, where builds cannot change it."""
        text = seen.read_text(errors="replace")
        if self.known_hosts.exists() and self.known_hosts.read_text() == text:
            return
        fs.write(self.known_hosts, text.encode())

    def _run(self, env: dict[str, str], *arguments: str, writable: list[Path], check: bool = True) -> tuple[int, str]:
        paths = " ".join(str(path) for path in [*writable, Path(env["HOME"])])
        rc, text = self.sandbox.run(["git", *arguments], step="source", folder=Path("/"), env=env, check=False,
                                    properties=[f"ReadWritePaths={paths}"])
        if rc and check:
            raise ReleaseError("source", f"{self.url}: {explain(text)}. git said:\n{tail(text)}{hint(text)}")
        return rc, text

    def resolve(self, version: str) -> str | None:
        """The commit a version stands for, in one exchange with the server; None for an abbreviated commit."""
        with self.access() as env:
            patterns = [version] if version == "HEAD" else [version, f"{version}^{{}}"]
            _unused, listing = self._run(env, "ls-remote", "--quiet", self.url, *patterns, writable=[])
        commit = pick_ref(listing, version)
        if commit is None and not ABBREVIATED.fullmatch(version):
            raise ReleaseError("source", f"{self.url} has no branch, tag or commit {version}.")
        return commit

    def complete(self, abbreviated: str) -> str:
        """The full commit of an abbreviated one."""
        with self.access() as env:
            return self._update_mirror(env, abbreviated)

    def checkout(self, commit: str, destination: Path) -> None:
        """Put a commit with its submodules into an empty directory."""
        writable = [self.cache.mirrors, destination]
        with self.access() as env:
            self._update_mirror(env, commit)
            repository = f"--git-dir={destination}/.git"
            for command in (
                ["clone", "--quiet", "--shared", "--no-checkout", str(self.mirror), str(destination)],
                [repository, f"--work-tree={destination}", "checkout", "--quiet", "--detach", commit],
                [repository, "config", "remote.origin.url", self.url],
            ):
                self._run(env, *command, writable=writable)
            if (destination / ".gitmodules").is_file():
                self._run(env, "-C", str(destination), "submodule", "--quiet", "update", "--init", "--recursive",
                          writable=writable)
            if os.path.exists(LFS_PROGRAM):
                self._run(env, "-C", str(destination), "lfs", "pull", writable=writable)
                if (destination / ".gitmodules").is_file():
                    self._run(env, "-C", str(destination), "submodule", "--quiet", "foreach", "--recursive", "git lfs pull", writable=writable)

    def _update_mirror(self, env: dict[str, str], wanted: str) -> str:
        """Make sure the mirror has a commit, asking the server only when it lacks it; returns it in full."""
        mirror, writable = f"--git-dir={self.mirror}", [self.cache.mirrors]
        if not self.mirror.is_dir():
            self._run(env, "init", "--quiet", "--bare", str(self.mirror), writable=writable)
        fetch = [mirror, "fetch", "--quiet", "--force", "--no-write-fetch-head", self.url]
        commit = self._find(env, wanted)
        if not commit:
            self._run(env, *fetch, "--prune", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", writable=writable)
            commit = self._find(env, wanted)
        if not commit and COMMIT.fullmatch(wanted):
            self._run(env, *fetch, f"+{wanted}:refs/deployed/{wanted}", writable=writable, check=False)
            commit = self._find(env, wanted)
        if not commit:
            raise ReleaseError("source", f"{self.url} has no branch, tag or commit {wanted}.")
        return commit

    def _find(self, env: dict[str, str], wanted: str) -> str | None:
        """A commit in the mirror, in full."""
        rc, commit = self._run(env, f"--git-dir={self.mirror}", "rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}",
                               writable=[self.cache.mirrors], check=False)
        return None if rc else commit.strip()


def remove_stale_access(unit: str) -> None:
    """Remove the directory of keys of a run that was killed while git ran."""
    prefix = unit.replace(".service", "")
    for folder in Path("/run").glob(f"{prefix}-[0-9]*"):
        if not Path("/proc", folder.name.rpartition("-")[2]).exists():
            shutil.rmtree(folder)
