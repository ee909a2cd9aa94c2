"""Keys and tokens exist only while git runs. The HTTPS server is a real one."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.sandbox import Sandbox
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import Cache, Releases
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.base import Host
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.git import Git, Repository, credentials

TOKEN = "glpat-s3cr%t:/@x"


class GitServer(BaseHTTPRequestHandler):
    """git http-backend behind TLS and basic authentication."""

    root: Path
    password: str

    def serve(self) -> None:
        given = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if given.partition(":")[2] != self.password:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = {"GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
               "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
               "CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
               "PATH": os.environ["PATH"], "REMOTE_ADDR": "127.0.0.1", "GIT_CONFIG_COUNT": "1",
               "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        output = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=env, check=True).stdout
        head, _, content = output.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = serve

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class PlainSandbox(Sandbox):
    """Runs commands as they are, and remembers each with what lay in the directory of keys then."""

    unit = "flask-build-test.service"
    ids = (os.getuid(), os.getgid())  # type: ignore[assignment]

    def __init__(self) -> None:
        self.seen: list[tuple[list[str], dict[str, str], dict[str, tuple[str, int]]]] = []

    def run(self, argv: list[str], *, env: dict[str, str], folder: Path, **_: Any) -> tuple[int, str]:  # type: ignore[override]
        files = {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in Path(env["HOME"]).iterdir()}
        self.seen.append((argv, env, files))
        done = subprocess.run(argv, cwd=folder, env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, str]]:
    """A repository that only the token may read: its URL, the server's certificate, its newest commit."""
    root = tmp_path_factory.mktemp("server")
    work, name = root / "work", {"GIT_CONFIG_GLOBAL": "/dev/null", "PATH": os.environ["PATH"]}
    for argv in (["init", "-q", "-b", "main", str(work)], ["-C", str(work), "-c", "user.name=a", "-c", "user.email=a@b",
                 "commit", "-q", "--allow-empty", "-m", "first"], ["clone", "-q", "--bare", str(work), str(root / "shop.git")]):
        subprocess.run(["git", *argv], check=True, env=name)
    commit = subprocess.run(["git", "-C", str(work), "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    certificate, key = root / "server.pem", root / "server.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handler = type("Handler", (GitServer,), {"root": root, "password": TOKEN})
    with ThreadingHTTPServer(("localhost", 0), handler) as http:
        http.socket = context.wrap_socket(http.socket, server_side=True)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"https://localhost:{http.server_address[1]}/shop.git", certificate, commit
        http.shutdown()


def repository(tmp_path: Path, ca_bundle: Path, **source: str) -> tuple[Repository, PlainSandbox]:
    (tmp_path / "run").mkdir()
    sandbox, cache = PlainSandbox(), Cache("test-build")
    cache.mirrors = tmp_path / "mirrors"
    host = Host(sandbox, Releases(tmp_path), cache, str(ca_bundle))
    return Repository(Git(source), host, tmp_path / "run"), sandbox


def test_a_token_fetches_a_private_repository_and_is_left_nowhere(tmp_path: Path, server: tuple[str, Path, str]) -> None:
    url, certificate, commit = server
    found, sandbox = repository(tmp_path, certificate, git=url, token=f"deployer:{TOKEN}")
    assert found.resolve("main") == commit
    found.checkout(commit, tmp_path / "src")
    assert (tmp_path / "src/.git").is_dir()
    assert len(sandbox.seen) > 4
    for argv, env, files in sandbox.seen:
        assert not [word for word in [*argv, *env.values()] if "s3cr" in word], "argv and environment are public"
        assert {mode for _, mode in files.values()} == {0o600}
    assert not list((tmp_path / "run").iterdir())
    left = [path for path in tmp_path.rglob("*") if path.is_file() and b"s3cr" in path.read_bytes()]
    assert left == []


def test_a_wrong_token_is_named_as_the_cause_and_not_shown(tmp_path: Path, server: tuple[str, Path, str]) -> None:
    url, certificate, _ = server
    found, _ = repository(tmp_path, certificate, git=url, token="wr0ng")
    with pytest.raises(ReleaseError, match=r"the server refused access; check that deploy_key or token may read") as refused:
        found.resolve("main")
    assert "wr0ng" not in str(refused.value)
    assert not list((tmp_path / "run").iterdir())


def test_a_server_with_an_unknown_certificate_gets_no_token(tmp_path: Path, server: tuple[str, Path, str]) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("")
    found, _ = repository(tmp_path, empty, git=server[0], token=TOKEN)
    with pytest.raises(ReleaseError, match="certificate"):
        found.resolve("main")


def test_a_token_is_for_its_own_server_and_may_carry_a_user() -> None:
    assert credentials("https://git.example.com:8443/me/shop.git", "t@/k") == "https://x-access-token:t%40%2Fk@git.example.com:8443"
    assert credentials("https://git.example.com/shop.git", "gitlab+deploy:t") == "https://gitlab%2Bdeploy:t@git.example.com"


def test_a_deploy_key_is_a_file_while_git_runs_and_is_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, sandbox = repository(tmp_path, tmp_path / "ca.pem", git="git@host:shop.git", deploy_key="KEY")
    monkeypatch.setattr(subprocess, "run", lambda argv, **_: subprocess.CompletedProcess(argv, 0, f"{'a' * 40}\tHEAD\n", ""))
    assert found.resolve("HEAD") == "a" * 40
    argv, env, files = sandbox.seen[0]
    assert files["key"] == ("KEY\n", 0o600)
    assert "KEY" not in " ".join([*argv, *env.values()])
    assert not list((tmp_path / "run").iterdir())


def test_git_runs_no_hook_of_a_repository_whatever_its_configuration_says(tmp_path: Path, server: tuple[str, Path, str]) -> None:
    url, certificate, commit = server
    found, _ = repository(tmp_path, certificate, git=url, token=f"deployer:{TOKEN}")
    with found.access() as env:
        subprocess.run(["git", "init", "-q", "--bare", str(found.mirror)], check=True)
    hooks = found.mirror / "other-hooks"
    hooks.mkdir()
    for path in (found.mirror / "hooks/reference-transaction", hooks / "reference-transaction"):
        path.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        path.chmod(0o755)
    subprocess.run(["git", f"--git-dir={found.mirror}", "config", "core.hooksPath", str(hooks)], check=True)
    found.checkout(commit, tmp_path / "src")
    assert env["GIT_CONFIG_NOSYSTEM"] == "1"
    assert not (tmp_path / "ran").exists()
