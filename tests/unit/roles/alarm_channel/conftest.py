"""The program of the role alarm_channel with test directories, a test journal and test channels."""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alarm_channel import certificates, checks, commands, delivery, files, journal, spool


class Host:
    """A host whose checked state can be set, and whose messages and spool can be read."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.written = tmp_path, []
        self.units: list[dict[str, str]] = []
        self.config: dict[str, Any] = {
            "host": "web1", "sites": {"shop": ["shop.example.com"]}, "channels": ["mail"], "units": [],
            "certificate": {"warning_percent": 25, "critical_percent": 10},
            "disk": {"warning_percent": 15, "critical_percent": 5},
            "errors": {"percent": 5, "minimum": 10, "minutes": 5}, "crash_loop": {"restarts": 3, "minutes": 15}}
        for name in ("state/spool", "audit", "reports/shop", "logs/shop", "apt/sources.list.d", "bin", "opt/certbot/current/bin"):
            (tmp_path / name).mkdir(parents=True)
        for module, name, path in ((files, "CONFIG", "config.json"), (files, "SITES", "sites"), (files, "STATE", "state"),
                                   (checks, "WRITTEN", "one-file-system"), (checks, "AUDIT_CONFIG", "audit"),
                                   (checks, "AUDIT_STATE", "reports"), (checks, "ACCESS_LOGS", "logs"), (checks, "APT", "apt"),
                                   (checks, "OS_RELEASE", "os-release"), (checks, "PYTHON", "bin/python3"), (checks, "TOOLS", "opt")):
            monkeypatch.setattr(module, name, tmp_path / path)
        (tmp_path / "os-release").write_text("ID=debian\nVERSION_CODENAME=bookworm\n")
        (tmp_path / "apt/sources.list").write_text("deb http://deb.debian.org/debian bookworm main\n")
        (tmp_path / "bin/python3.11").write_text("")
        (tmp_path / "bin/python3").symlink_to("python3.11")
        (tmp_path / "opt/certbot/current/bin/python").symlink_to(tmp_path / "bin/python3.11")
        monkeypatch.setattr(journal, "say", lambda priority, text: self.written.append((priority, journal.one_line(text, 2000))))
        self.free = {"space": 50, "inodes": 50}
        monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(
            f_blocks=100, f_bavail=self.free["space"], f_files=100, f_favail=self.free["inodes"]))
        monkeypatch.setattr(checks, "units", lambda patterns: self.units)
        self.logged: dict[str, list[str]] = {}
        monkeypatch.setattr(checks, "logged", lambda app, unit: self.logged.get(unit, []))
        monkeypatch.setattr(certificates, "served_certificate", lambda domain, ciphers="": b"DER")
        self.certificate = (time.time(), time.time() + 90 * 86400, False)
        monkeypatch.setattr(certificates, "dates", lambda der: self.certificate)
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        monkeypatch.setattr(ssl, "create_default_context", lambda cafile: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def check(self) -> list[tuple[str, str]]:
        """One look; what it announced."""
        before = {path for path, _ in spool.messages()}
        commands.check(self.config)
        new = [entry for path, entry in spool.messages() if path not in before]
        return [(event["event"], event["key"]) for entry in new for event in entry["message"]["events"]]

    def report(self, **more: Any) -> None:
        """The last audit of the application."""
        (self.root / "audit/shop.json").write_text('{"period_seconds": 86400}')
        report = {"state": "clean", "reason": "", "time": journal.utc(time.time()), "release": "r1", "standing": []}
        (self.root / "reports/shop/report.json").write_text(json.dumps(report | more))

    def run(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
        """The command, as an account that is not root."""
        files.CONFIG.write_text(json.dumps(self.config))
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(sys, "argv", ["alarm-channel", *arguments])
        status: int = commands.main()
        return status

    def deliver(self, **channels: Any) -> None:
        """One delivery through these channels."""
        (self.root / "channels.json").write_text(json.dumps({"ca_bundle": "/ca.pem", **channels}))
        assert delivery.deliver() == 0


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)
