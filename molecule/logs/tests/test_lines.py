"""One schema and one id; no line can be forged, split or made unreadable; no secret is kept."""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from logged import ACCESS, ANYWHERE, CURSOR, ENTRIES, POSITION, SCHEMA, mark, parsed, tell

FORGED = ('{"time": "2026-01-01T00:00:00.000+00:00", "level": "error", "source": "nginx", "application": "shop", '
          '"request_id": "' + "f" * 32 + '", "message": "forged"}')
EVIL = {
    "newlines": f"a\n{FORGED}\r\n{FORGED}\r{FORGED}".encode(),
    "ansi": b"\x1b[2J\x1b[31m\x1b]0;title\x07\x9b31m",
    "separators": f"a\u2028{FORGED}\u2029{FORGED}\x85{FORGED}\v{FORGED}\f{FORGED}\x1c{FORGED}".encode(),
    "surrogates": b"\xed\xa0\x80\xed\xb0\x80 \xff\xfe\x80",
    "every byte": bytes(range(256)),
    "priorities": b"<0>emergency\n<1>alert",
    "quotes": b'"}\\",{"a":"\\u0000%n%s{0}{',
    "a megabyte": b"A" * (1 << 20),
    "a megabyte of wide characters": "\U0001f4a9".encode() * (1 << 18),
    "a megabyte of control characters": b"\x01" * (1 << 20),
}
WAYS = ["log", "logger", "print", "misuse"]


def access(site: Any, position: int) -> list[dict[str, Any]]:
    """The access lines since then: plain printable ASCII, each an object with the schema."""
    text = site.ask(ACCESS, position=position)
    assert not re.search(r"[^ -~\n]", text), "a byte that a terminal or a reader of lines may act on"
    return [parsed(line) for line in text.removesuffix("\n").split("\n") if line]


def exchange(site: Any, context: ssl.SSLContext, request: bytes) -> bytes:
    """The first bytes of what comes back, if anything."""
    with context.wrap_socket(site.server.outside.tcp(site.server.outside.https_port), server_hostname=site.domain) as connection:
        connection.sendall(request)
        try:
            return connection.recv(64)
        except (ConnectionResetError, ssl.SSLError, socket.timeout):
            return b""


def test_every_byte_in_path_header_and_agent_leaves_one_readable_line(site: Any) -> None:
    word, position, context = mark(), site.ask(POSITION), site.server.outside.context()
    host = b"Host: " + site.domain.encode() + b"\r\nConnection: close\r\n"
    requests = []
    for number in range(256):
        byte, name = bytes([number]), f"{word}-{number:02x}".encode()
        requests += [b"GET /" + name + b"-" + byte + b"-p HTTP/1.1\r\n" + host + b"\r\n",
                     b"GET /" + name + b"-h HTTP/1.1\r\n" + host + b"X-Any: a" + byte + b"b\r\nReferer: https://r/a" + byte +
                     b"b\r\nUser-Agent: a" + byte + b"b\r\n\r\n"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda request: exchange(site, context, request), requests))
    lines = access(site, position)
    # A line feed after the path makes it HTTP/0.9, which has no Host header; it is not logged.
    assert len(lines) == len(requests) - 1, "a line per request, neither more nor fewer"
    assert not any(f"{word}-0a-" in line["path"] and "-h" not in line["path"] for line in lines)
    served = [request for request, answer in zip(requests, answers) if answer and b" 400 " not in answer]
    paths = " ".join(line["path"] for line in lines)
    for request in served:
        assert re.search(re.escape(request[5:].split(b"-")[0].decode()) + "-" + request.split(b"-")[1].decode(), paths), request
    assert len(served) > 300
    assert all(re.fullmatch("[0-9a-f]{32}", line["request_id"]) for line in lines)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", EVIL)
def test_messages_with_text_of_clients_stay_on_one_line(site: Any, way: str, kind: str) -> None:
    cursor = site.ask(CURSOR)
    identity = tell(site, way, EVIL[kind])["X-Request-ID"]
    entries = [entry for entry in site.ask(ENTRIES, cursor=cursor) if entry["SYSLOG_IDENTIFIER"] == site.name]
    assert entries
    for entry in entries:
        assert isinstance(entry["MESSAGE"], str), "the journal found it binary"
        assert re.fullmatch(r"[ -~]*", entry["MESSAGE"])
        line = parsed(entry["MESSAGE"])
        assert line["source"] == "app" and line["application"] == site.name and line["message"] != "forged"
        # Threads of the application's own are no part of a request.
        assert line["request_id"] == identity or line["logger"] == "uncaught" and line["request_id"] is None
        assert entry["PRIORITY"] in "2346"
    if way in ("log", "logger"):
        assert len(entries) == 1


def test_a_cut_message_is_marked_and_keeps_both_ends(site: Any) -> None:
    cursor = site.ask(CURSOR)
    tell(site, "log", b"begin" + b"A" * (1 << 20) + b"end")
    message = parsed(site.ask(ENTRIES, cursor=cursor)[-1]["MESSAGE"])["message"]
    assert message.startswith("told: beginAAA") and message.endswith("AAAend")
    assert re.search(r"\[\.\.\. 10\d{5} characters left out \.\.\.\]", message)


def test_output_outside_of_the_logging_module_is_logged_too(site: Any) -> None:
    cursor, word = site.ask(CURSOR), mark()
    printed = tell(site, "print", word.encode())["X-Request-ID"]
    misused = tell(site, "misuse", word.encode())["X-Request-ID"]
    tell(site, "descriptor", word.encode())
    entries = [entry["MESSAGE"] for entry in site.ask(ENTRIES, cursor=cursor)]
    lines = [json.loads(text) for text in entries if text.startswith("{")]

    def of(logger: str) -> list[dict[str, Any]]:
        return [line for line in lines if line["logger"] == logger and word in line["message"] + line.get("exception", "")]

    assert [(line["level"], line["request_id"]) for line in of("stdout")] == [("info", printed)]
    assert [(line["level"], line["request_id"]) for line in of("stderr")] == [("warning", printed)] * 2
    assert [line["request_id"] for line in of("py.warnings")] == [misused]
    assert of("uncaught")[0]["level"] == "critical" and "ValueError" in of("uncaught")[0]["exception"]
    assert any("do not match" in line["message"] and line["request_id"] == misused for line in lines)
    assert word in entries, "what is written past Python is a plain line"


def test_one_id_runs_through_nginx_gunicorn_and_the_application(site: Any) -> None:
    position, cursor = site.ask(POSITION), site.ask(CURSOR)
    request_id = tell(site, "log", b"x")["X-Request-ID"]
    broken = site.get("/broken?q=1")
    assert broken.status in (500, 503)
    lines = [parsed(entry["MESSAGE"]) for entry in site.ask(ENTRIES, cursor=cursor)]
    assert [line["source"] for line in lines if line["request_id"] == request_id] == ["app"]
    failed = [line for line in lines if line["request_id"] == broken["X-Request-ID"]]
    assert [line["source"] for line in failed] == ["gunicorn"] and "outside of Flask" in failed[0]["exception"]
    seen = {line["request_id"]: line for line in access(site, position)}
    assert {request_id, broken["X-Request-ID"]} <= set(seen)
    assert {line["source"] for line in seen.values()} == {"nginx"}
    assert {line["application"] for line in [*lines, *seen.values()]} == {site.name}
    stamp = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"
    assert all(re.fullmatch(stamp, line["time"]) for line in [*lines, *seen.values()])
    assert seen[request_id]["level"] == "info" and seen[broken["X-Request-ID"]]["level"] == "error"


def test_no_secret_of_a_request_is_in_any_log_or_at_the_collector(site: Any, collector: Any) -> None:
    places = ["query", "cookie", "bearer", "basic", "body", "referer", "referer_user", "identity", "user", "fragment", "wsgi"]
    words = {place: mark() for place in places}
    # A client's own id in the form nginx makes, and in another.
    words["identity"] = words["identity"].removeprefix("mark").ljust(32, "0")
    control = mark()
    basic = base64.b64encode(f"{words['basic']}:{words['basic']}".encode()).decode()
    headers = {"Cookie": f"session={words['cookie']}", "Authorization": f"Bearer {words['bearer']}", "X-Request-ID": words["identity"],
               "Referer": f"https://{words['referer_user']}:x@{site.domain}/?t={words['referer']}"}
    query = f"token={words['query']}&page=2"
    for path in (f"/{control}", "/log", "/broken"):
        for method, body in (("GET", None), ("POST", base64.b64encode(b"nothing") + b" " * 10 + words["body"].encode())):
            site.get(f"{path}?{query}", method=method, body=body, headers=headers)
            site.get(f"{path}?{query}", method=method, body=body, headers=headers | {"Authorization": f"Basic {basic}"})
    site.server.outside.http(site.domain, f"/{control}?{query}")
    host = f"Host: {site.domain}\r\nConnection: close\r\n\r\n"
    for line in (f"GET https://{words['user']}:{words['user']}@{site.domain}/?{query} HTTP/1.1", f"GET /?{query} HTTP/9",
                 f"GET /{'x' * 9000}?{query} HTTP/1.1", f"GET /#{words['fragment']} HTTP/1.1", f"G\x01T /?{query} HTTP/1.1",
                 f"GET /%?{query} HTTP/1.1", f"GET /?{query}&\xff HTTP/1.1", f"GET /healthz?{words['wsgi']}=\xe9 HTTP/1.1"):
        site.server.outside.raw(f"{line}\r\n{host}".encode("latin-1"), site.domain)
    found = site.ask(ANYWHERE, marks=[control, *words.values(), basic])
    assert f"/var/log/nginx/{site.name}/access.log" in found.pop(control)
    assert found == {word: [] for word in [*words.values(), basic]}
    if site.name == "shop":
        site.get(f"/{(last := mark())}")
        tell(site, "log", last.encode())
        assert len(set(collector.wait(last, 2))) == 2, "what was under way has arrived"
        assert collector.lines(control), "the lines looked through are these"
    at_collector = "\n".join(collector.lines())
    assert [word for word in [*words.values(), basic] if word in at_collector] == []


@pytest.mark.where(lambda site: site.name == "shop")
def test_only_configured_parameters_are_logged(site: Any) -> None:
    position, secret = site.ask(POSITION), mark()
    site.get(f"/healthz?page=2&sort=a%22b&other={secret}&page={secret}")
    lines = access(site, position)
    assert [line["query"] for line in lines] == [{"page": "2", "sort": "a%22b"}]
    assert secret not in json.dumps(lines)


def test_addresses_are_logged_whole_or_as_their_network(site: Any) -> None:
    with site.server.outside.tcp(site.server.outside.https_port) as connection:
        own = connection.getsockname()[0]
    position = site.ask(POSITION)
    site.get("/healthz")
    expected = own if site.name == "shop" else own.rpartition(".")[0] + ".0"
    assert {line["client"] for line in access(site, position)} == {expected}


def test_the_schema_is_the_documented_one() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs/logs.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)[:len(SCHEMA)] == SCHEMA
