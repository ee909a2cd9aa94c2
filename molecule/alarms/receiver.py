#!/usr/bin/env python3
"""Takes mail and webhooks for tests: `receiver.py DIRECTORY CERTIFICATE KEY`.

SMTP on port 2587, which wants STARTTLS and a login before it takes a mail; HTTPS on port 2443. What comes is
appended to DIRECTORY/mail.jsonl and hook.jsonl. DIRECTORY/refuse makes both refuse, DIRECTORY/slow keeps the
webhook from answering for as long as it is there, 15 seconds at most.
"""

from __future__ import annotations

import email
import email.policy
import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

FOLDER = Path(sys.argv[1])


def keep(kind: str, entry: dict[str, Any]) -> None:
    """Write down what came."""
    with open(FOLDER / f"{kind}.jsonl", "a", encoding="utf-8") as stream:
        stream.write(json.dumps(entry) + "\n")


class Mails:
    """The SMTP server's handler."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - the name is the library's
        if (FOLDER / "refuse").exists():
            return "451 not now"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        keep("mail", {"subject": mail["Subject"], "id": mail["Message-ID"], "body": mail.get_content(), "to": envelope.rcpt_tos,
                      "tls": session.ssl is not None, "login": session.auth_data})
        return "250 taken"


def login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    """Whoever logs in is noted, with the password: the tests know which is right."""
    return AuthResult(success=True, auth_data=[data.login.decode(), data.password.decode()])


class Server(Controller):
    """SMTP with STARTTLS and a login, both required."""

    def factory(self) -> SMTP:
        return SMTP(self.handler, tls_context=context, require_starttls=True, auth_required=True, authenticator=login)


class Hooks(BaseHTTPRequestHandler):
    """The webhook."""

    def do_POST(self) -> None:  # noqa: N802 - the name is the library's
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        end = time.monotonic() + 15
        while (FOLDER / "slow").exists() and time.monotonic() < end:
            time.sleep(0.1)
        refused = (FOLDER / "refuse").exists()
        if not refused:
            keep("hook", {"secret": self.headers["Authorization"], "key": self.headers["Idempotency-Key"], **body})
        self.send_response(503 if refused else 204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Quiet."""


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
Server(Mails(), hostname="0.0.0.0", port=2587).start()
web = ThreadingHTTPServer(("0.0.0.0", 2443), Hooks)
web.socket = context.wrap_socket(web.socket, server_side=True)
web.serve_forever()
