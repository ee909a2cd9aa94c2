"""The log records of an application's gunicorn, and what its requests learn from the web server."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import runpy
import sys
import threading
from typing import Any

import pytest
from ansible_collections.bulwark.flask.tests.unit import support

SERVER = runpy.run_path(str(support.ROOT / "roles/gunicorn_app/files/server.py"))
ID = "0123456789abcdef0123456789abcdef"


def line(message: object, *arguments: object, name: str = "shop", level: int = logging.INFO, error: BaseException | None = None) -> dict[str, Any]:
    """The fields of the line of one record, and its priority."""
    found = (type(error), error, error.__traceback__) if error else None
    text = SERVER["JsonLines"]("shop").format(logging.LogRecord(name, level, "", 0, message, arguments, found))
    assert "\n" not in text and len(text.encode()) < 48 * 1024
    priority, _, rest = text.partition(">")
    return {**json.loads(rest), "priority": priority}


def test_a_record_is_one_line_with_the_fields_of_all_logs() -> None:
    assert line("two\nlines of %s", "shop", level=logging.WARNING) | {"time": "", "pid": 0} == {
        "priority": "<4", "time": "", "level": "warning", "source": "app", "application": "shop", "request_id": None,
        "message": "two\nlines of shop", "logger": "shop", "pid": 0}


def test_arguments_that_do_not_match_lose_no_record() -> None:
    assert line("%d items", "many")["message"] == "%d items [its arguments do not match: TypeError]"


@pytest.mark.parametrize(("said", "logged"), [
    ("Invalid request from ip=: b'\\x16\\x03 secret'", "Invalid request from ip=: [hidden]"),
    ("Error handling request /login?token=secret", "Error handling request /login[hidden]")])
def test_what_gunicorn_quotes_of_a_request_is_hidden(said: str, logged: str) -> None:
    assert line(said, name="gunicorn.error")["message"] == logged
    assert line(said)["message"] == said, "an application's own words stay"


def test_a_long_record_keeps_both_ends_and_says_what_it_left_out() -> None:
    error = ValueError("a" + "é" * 60_000 + "z")
    found = line("b" + "\x00" * 60_000 + "y", name="n" * 5000, error=error)
    assert found["message"].startswith("b") and found["message"].endswith("y") and "characters left out" in found["message"]
    assert found["exception"].startswith("ValueError: a") and found["exception"].rstrip().endswith("z")


def test_printed_lines_are_records(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", journal)
    monkeypatch.setattr(SERVER["journal"].__globals__["faulthandler"], "enable", lambda _stream: None)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    for name in ("stdout", "stderr", "excepthook"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    assert SERVER["journal"]("shop", "INFO")["root"]["level"] == "INFO"
    logging.captureWarnings(False)
    print("first\nsecond")
    sys.stderr.write("no end of line")
    sys.stderr.flush()
    records = [json.loads(text.partition(">")[2]) for text in journal.getvalue().splitlines()]
    assert [(record["logger"], record["level"], record["message"]) for record in records] == [
        ("stdout", "info", "first"), ("stdout", "info", "second"), ("stderr", "warning", "no end of line")]


def wsgi(**environ: str) -> tuple[str, str | None]:
    """The address and the request id that a WSGI application sees."""
    seen: list[Any] = []

    def application(environ: dict[str, str], _start: Any) -> None:
        seen.extend((environ["REMOTE_ADDR"], SERVER["REQUEST_ID"].get()))

    SERVER["FromWebServer"](application)({"REMOTE_ADDR": "", **environ}, None)
    return seen[0], seen[1]


def asgi(**environ: str) -> tuple[str, str | None]:
    """The same of an ASGI application."""
    seen: list[Any] = []

    async def application(scope: dict[str, Any], _receive: Any, _send: Any) -> None:
        assert scope["server"] is None
        seen.extend(((scope["client"] or ("",))[0], SERVER["REQUEST_ID"].get()))

    headers = [(name.removeprefix("HTTP_").lower().replace("_", "-").encode(), value.encode()) for name, value in environ.items()]
    asyncio.run(SERVER["FromWebServerAsgi"](application)({"type": "http", "headers": headers}, None, None))
    return seen[0], seen[1]


@pytest.mark.parametrize("ask", [wsgi, asgi])
@pytest.mark.parametrize(("sent", "seen"), [
    ("203.0.113.7", "203.0.113.7"), ("2001:db8::1", "2001:db8::1"), ("", ""), ("203.0.113.7, 10.0.0.1", ""), ("<script>", "")])
def test_the_client_address_comes_from_nginx(ask: Any, sent: str, seen: str) -> None:
    assert ask(HTTP_X_FORWARDED_FOR=sent)[0] == seen


def test_a_peer_with_an_address_keeps_it() -> None:
    assert wsgi(REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.7")[0] == "127.0.0.1"


@pytest.mark.parametrize("ask", [wsgi, asgi])
@pytest.mark.parametrize(("sent", "seen"), [(ID, ID), ("", None), (f"{ID}\n", None), ('"}{"level":"x', None)])
def test_the_request_id_is_nginxs_or_none(ask: Any, sent: str, seen: str | None) -> None:
    assert ask(HTTP_X_REQUEST_ID=sent)[1] == seen


STATED = ["X-SSL-Client-Verify", "SSL-Client-Verify", "X-SSL-Client-S-DN", "X-Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-User", "Forwarded",
          "X-Auth-Request-Email", "X-Remote-User", "Remote-User", "X-HTTP-Method-Override", "X-Method-Override", "CF-Connecting-IPv6",
          "True-Client-IP", "X-Real-IP", "X-Original-URL", "X-Rewrite-URL", "X-Amzn-Oidc-Identity", "X-MS-Client-Principal-Name",
          "X-Goog-Authenticated-User-Email", "X-Envoy-External-Address", "X-Azure-ClientIP", "X-Host", "Script-Name", "Proxy"]
HARMLESS = ["Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Request-ID", "Authorization", "X-Auth-Token", "X-Client-Version", "X-Requested-With",
            "X-CSRFToken", "CF-Ray", "X-Amzn-Trace-Id", "Sec-Fetch-Site", "X-Hub-Signature-256", "Stripe-Signature", "X-Proxied-By"]


def in_wsgi(names: list[str]) -> dict[str, str]:
    return {"HTTP_" + name.upper().replace("-", "_"): "203.0.113.7" for name in names}


def test_headers_by_which_a_proxy_states_who_the_client_is_do_not_reach_a_wsgi_application() -> None:
    others = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "REMOTE_ADDR": "192.0.2.1", "wsgi.url_scheme": "https"}
    for _unused in range(2):
        assert SERVER["FromWebServer"](lambda environ, start_response: environ)({**others, **in_wsgi(STATED + HARMLESS)}, None) == {
            **others, **in_wsgi(HARMLESS)}


def test_the_same_headers_do_not_reach_an_asgi_application() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> Any:
        return [name.decode() for name, _value in scope["headers"]]

    headers = [(name.lower().encode(), b"203.0.113.7") for name in STATED + HARMLESS]
    wrapped = SERVER["FromWebServerAsgi"](application)
    assert asyncio.run(wrapped({"type": "http", "headers": headers}, None, None)) == [name.lower() for name in HARMLESS]


def test_a_header_of_a_proxy_in_front_can_be_let_through() -> None:
    text = support.render("gunicorn_app", "gunicorn.conf.py.j2", support.SHOP | {"gunicorn_app": {"proxy_headers": ["X-Auth-Request-Email"]}})
    assert 'SERVER["PASSED"].update(["HTTP_X_AUTH_REQUEST_EMAIL", "x-auth-request-email"])' in text
