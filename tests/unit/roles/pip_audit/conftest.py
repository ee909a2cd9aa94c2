"""The program of the role pip_audit with a test double of pip-audit, and the tests' advisory service."""

from __future__ import annotations

import importlib.util
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.bulwark.flask.tests.unit.support import ROOT


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Host:
    """Directories of a host, one live release, and the program that audits it."""

    def __init__(self, tmp_path: Path, program: ModuleType) -> None:
        self.program, self.root = program, tmp_path
        self.packages = tmp_path / "releases/r1/venv/lib/python3.13/site-packages"
        self.packages.mkdir(parents=True)
        (tmp_path / "current").symlink_to("releases/r1")
        (tmp_path / "state/shop").mkdir(parents=True)
        self.config = {"release": str(tmp_path / "current"), "service": "osv", "osv_url": "http://osv.test/v1/query",
                       "timeout_seconds": 20, "request_timeout_seconds": 5, "private_packages": [], "ignores": [],
                       "ca_bundle": "/ca.pem"}
        program.CONFIG, program.STATE, program.CACHE = tmp_path, tmp_path / "state", tmp_path
        program.TOOL, program.SOCKETS = str(tmp_path / "tool"), tmp_path

    def tool(self, script: str) -> None:
        """The test double of pip-audit."""
        path = Path(self.program.TOOL)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def says(self, dependencies: list[dict[str, Any]], errors: str = "") -> None:
        """Let pip-audit give this answer."""
        (self.root / "answer").write_text(json.dumps({"dependencies": dependencies, "fixes": []}))
        (self.root / "errors").write_text(errors)
        self.tool(f"cat {self.root}/answer; cat {self.root}/errors >&2; exit 1")

    def audit(self) -> dict[str, Any]:
        """One audit; the report that is on disk says the same."""
        (self.root / "shop.json").write_text(json.dumps(self.config))
        report = self.program.audit("shop")
        assert json.loads((self.root / "state/shop/report.json").read_text()) == report
        return report

    @contextmanager
    def listening(self) -> Iterator[None]:
        """The socket, and what systemd starts at its other end."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.root / "shop.sock"))
            listener.listen()

            def serve() -> None:
                with listener.accept()[0] as connection, connection.makefile("r") as asked, connection.makefile("w") as told:
                    self.program.serve("shop", asked, told)

            thread = threading.Thread(target=serve)
            thread.start()
            yield
            thread.join(10)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path, _load(ROOT / "roles/pip_audit/files/pip_audit_app.py"))


@pytest.fixture
def osv(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], str]]:
    """Starts the advisory service with a seed; returns its address."""
    stub = _load(ROOT / "molecule/shared/osv_stub.py")
    stub.Handler.seed = tmp_path / "seed.json"
    server = ThreadingHTTPServer(("127.0.0.1", 0), stub.Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def start(seed: dict[str, Any]) -> str:
        stub.Handler.seed.write_text(json.dumps(seed))
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    server.shutdown()
    server.server_close()
