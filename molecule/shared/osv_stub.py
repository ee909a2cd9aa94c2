#!/usr/bin/env python3
"""An OSV-compatible advisory service for tests: `osv_stub.py SEED.json [PORT [ADDRESS]]`.

The seed is read again for every question, so that a test changes the answers by writing the file:

  {"mode": "seeded", "advisories": {"jinja2==2.10": [{"id": ..., "affected": [...], ...}]}}

Keys are `name==version`, or `name` for any version. Modes: `seeded` (the default), `clean` (no version has
anything), `error` (status 500), `garbage` (no JSON), `nonsense` (JSON, but not OSV's), `unreadable` (an
advisory pip-audit drops) and `slow` (no answer for `delay_seconds`, 60). A first path segment with a
mode's name wins over the file: http://osv.test/error/v1/query. GET /asked says how many questions came.
"""

from __future__ import annotations

import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODES = ("seeded", "clean", "error", "garbage", "nonsense", "unreadable", "slow")


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def advisories(seed: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
    """OSV's answer to one question: an empty mapping means that nothing is known."""
    name, version = canonical(question["package"]["name"]), question["version"]
    found = [entry for key, entries in seed.get("advisories", {}).items() for entry in entries
             if canonical(key.partition("==")[0]) == name and key.partition("==")[2] in ("", version)]
    return {"vulns": found} if found else {}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    seed = Path("seed.json")
    asked = 0

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:  # noqa: N802 - the name is the library's
        """the number of requests so far; also a sign of life."""
        self._answer(200, json.dumps({"asked": Handler.asked}).encode())

    def do_POST(self) -> None:  # noqa: N802 - the name is the library's
        """A question about one package."""
        Handler.asked += 1
        question = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        seed = json.loads(self.seed.read_text(encoding="utf-8")) if self.seed.exists() else {}
        first = self.path.split("/")[1]
        mode = first if first in MODES else seed.get("mode", "seeded")
        if mode == "error":
            self._answer(500, b'{"code": 13, "message": "internal error"}')
        elif mode == "garbage":
            self._answer(200, b"<html>sign in to this network</html>")
        elif mode == "nonsense":
            self._answer(200, b'{"code": 3, "message": "invalid"}')
        elif mode == "unreadable":
            self._answer(200, b'{"vulns": [{"id": "PYSEC-0000-1"}]}')
        elif mode == "clean":
            self._answer(200, b"{}")
        else:
            if mode == "slow":
                time.sleep(seed.get("delay_seconds", 60))
            self._answer(200, json.dumps(advisories(seed, question)).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Quiet."""


def main() -> None:
    """Serve until stopped."""
    Handler.seed = Path(sys.argv[1])
    port, address = int((sys.argv[2:3] or ["8080"])[0]), (sys.argv[3:4] or ["0.0.0.0"])[0]
    ThreadingHTTPServer((address, port), Handler).serve_forever()


if __name__ == "__main__":
    main()
