"""Logs: every line is JSON, one request id connects them, and they contain no secrets."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest

ACCESS = r'''
import time
def read():
    with open("/var/log/nginx/%s/access.log" % GIVEN["app"], encoding="utf-8", errors="strict") as stream:
        return stream.read().splitlines()
for _ in range(20):
    lines = read()
    if all(any(mark in line for line in lines) for mark in GIVEN["marks"]):
        break
    time.sleep(0.1)
broken = []
for line in lines[-5000:]:
    try:
        assert isinstance(json.loads(line), dict)
    except (ValueError, AssertionError):
        broken.append(line)
print(json.dumps({"lines": [line for line in lines if any(mark in line for mark in GIVEN["marks"])],
                  "broken": broken[:5], "count": len(lines)}))
'''

JOURNAL = r'''
import time
for _ in range(30):
    text = output("journalctl", "--namespace=" + GIVEN["app"], "--output=cat", "--no-pager", "--lines=5000").decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if GIVEN["mark"] in line]
    if lines:
        break
    time.sleep(0.1)
system = output("journalctl", "--output=cat", "--no-pager", "--lines=20000").decode("utf-8", "replace")
print(json.dumps({"lines": lines, "elsewhere": GIVEN["mark"] in system}))
'''

# Every file below /var/log and every journal.
ANYWHERE = r'''
import time
time.sleep(0.5)
found = {}
streams = {"journal": output("journalctl", "--namespace=*", "--output=export", "--no-pager", "--since=-10min")}
for folder, folders, files in os.walk("/var/log"):
    if not folder.startswith("/var/log/journal"):
        for name in files:
            path = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(path).st_mode) and os.path.getsize(path) < 200 << 20:
                streams[path] = open(path, "rb").read()
for mark in GIVEN["marks"]:
    found[mark] = sorted(name for name, content in streams.items() if mark.encode() in content)
print(json.dumps(found))
'''

# Lines that accounts of the host try to write to the application's journal, past every unit.
FORGED = r'''
PROGRAM = """
import socket, sys
for name, kind in (("socket", socket.SOCK_DGRAM), ("stdout", socket.SOCK_STREAM)):
    try:
        with socket.socket(socket.AF_UNIX, kind) as s:
            s.connect("/run/systemd/journal.%s/%s" % (sys.argv[1], name))
            s.sendall(b"MESSAGE=x\\n" if name == "socket" else b"")
            print(name)
    except PermissionError:
        pass
"""
accounts = ["nobody", "www-data", GIVEN["app"] + "-build", GIVEN["app"]]
print(json.dumps({account: output("runuser", "-u", account, "--", "python3", "-c", PROGRAM, GIVEN["app"]).decode().split()
                  for account in accounts}))
'''

FILES = r'''
app = GIVEN["app"]
journal = "/var/log/journal/%s.%s" % (open("/etc/machine-id").read().strip(), app)
print(json.dumps({
    "modes": {path: mode(path) for path in ["/var/log/nginx/" + app] + glob.glob("/var/log/nginx/%s/*.log" % app)},
    "journal": os.path.isdir(journal), "limits": open("/etc/systemd/journald@%s.conf" % app).read(),
    "rotation": subprocess.run(["logrotate", "--debug", "/etc/logrotate.d/nginx-" + app],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode}))
'''


def marks(count: int) -> list[str]:
    """Words that are nowhere else."""
    return [f"mark{secrets.token_hex(10)}" for _ in range(count)]


def test_every_access_line_is_json_for_any_request(site: Any) -> None:
    mark, *others = marks(6)
    evil = [
        b'GET /' + others[0].encode() + b'"\\%22%5c HTTP/1.1\r\nUser-Agent: "}\\u0000{"a":"\\x\\\r\n',
        b"GET /" + others[1].encode() + b"%0a%22%ff\xc3\xa9 HTTP/1.1\r\nUser-Agent: \xff\xfe\xc3\x28 \xe2\x82\r\n",
        b"GET /" + others[2].encode() + b" HTTP/1.1\r\nReferer: \"\\\x01\x1f\t\xf0\x9f\x92\xa9\r\n",
        b"GET /" + others[3].encode() + b"/" + b"a" * 5000 + b" HTTP/1.1\r\nUser-Agent: " + b"\\" * 2000 + b"\r\n",
        b"BREW /" + others[4].encode() + b" HTTP/1.0\r\n",
        b"GET /%00 HTTP/1.1\r\n",
        b"\x16\x03\x01\"\\ /\xff HTTP/1.1\r\n",
    ]
    for request in evil:
        site.server.outside.raw(request + b"Host: " + site.domain.encode() + b"\r\nConnection: close\r\n\r\n", site.domain)
    site.get("/" + mark)
    found = site.ask(ACCESS, marks=[mark, *others])
    assert found["broken"] == []
    assert len(found["lines"]) == 6, "each request that nginx could read has its line"


def test_an_access_line_has_client_request_time_and_result(site: Any) -> None:
    answer = site.get(site.app.health_path)
    found = site.ask(ACCESS, marks=[answer["X-Request-ID"]])
    line = json.loads(found["lines"][0])
    assert line["status"] == "200" and line["method"] == "GET" and line["host"] == site.domain
    assert line["path"] == site.app.health_path
    assert line["client"] and line["time"] and line["tls"].startswith("TLSv1.")


def test_a_forged_address_is_not_logged_as_the_client(site: Any) -> None:
    answer = site.get(site.app.health_path, headers={"X-Forwarded-For": "203.0.113.66", "X-Real-IP": "203.0.113.66"})
    assert "203.0.113.66" not in site.ask(ACCESS, marks=[answer["X-Request-ID"]])["lines"][0]


def test_query_strings_cookies_and_credentials_are_in_no_log(site: Any) -> None:
    control, *hidden = marks(6)
    query, cookie, authorization, referer, token = hidden
    headers = {"Cookie": f"session={cookie}", "Authorization": f"Bearer {authorization}",
               "Referer": f"https://{site.domain}/?t={referer}", "X-CSRFToken": token}
    for path in (f"/{control}", next(iter(site.app.static), "/") + control):
        site.get(f"{path}?token={query}", headers=headers)
        site.get(f"{path}?token={query}", method="POST", body=f"password={token}".encode(), headers=headers)
        site.server.outside.http(site.domain, f"{path}?token={query}")
    # Requests that nginx itself refuses are the ones its error log quotes.
    site.get(f"/{control}?token={query}", method="POST", headers=headers | {"Content-Length": str(1 << 40)})
    site.get(f"/{'x' * 9000}?token={query}", headers=headers)
    site.server.outside.raw(f"GET /?token={query} HTTP/9\r\nCookie: {cookie}\r\n\r\n".encode(), site.domain)
    site.server.outside.raw(f"GET /?token={query} HTTP/1.1\r\nHost: unknown.example\r\nCookie: {cookie}\r\n\r\n".encode())
    found = site.ask(ANYWHERE, marks=[control, *hidden])
    assert f"/var/log/nginx/{site.name}/access.log" in found.pop(control)
    assert found == {mark: [] for mark in hidden}


@pytest.mark.where(lambda site: site.example)
def test_one_request_id_is_in_the_response_the_access_log_and_the_application(site: Any) -> None:
    identity = site.get(**site.example.logged)["X-Request-ID"]
    assert len(site.ask(ACCESS, marks=[identity])["lines"]) == 1
    journal = site.ask(JOURNAL, mark=identity)
    assert journal["lines"], "the application's line does not carry the id"
    line = json.loads(journal["lines"][-1])
    assert line["request_id"] == identity
    assert line["level"] and line["message"] and line["logger"]


@pytest.mark.where(lambda site: site.example)
def test_the_applications_lines_are_in_its_own_journal_only(site: Any) -> None:
    identity = site.get(**site.example.logged)["X-Request-ID"]
    journal = site.ask(JOURNAL, mark=identity)
    assert journal["lines"] and not journal["elsewhere"]


@pytest.mark.where(lambda site: site.example)
def test_a_forged_request_id_is_in_no_log(site: Any) -> None:
    forged = secrets.token_hex(16)
    site.get(**site.example.logged, headers={"X-Request-ID": forged})
    assert site.ask(ANYWHERE, marks=[forged]) == {forged: []}


def test_logs_are_private_limited_and_rotated(site: Any, remember: Callable[..., Any]) -> None:
    files = remember(site, FILES)
    assert files["modes"].pop(f"/var/log/nginx/{site.name}") in ("root:adm 0750", "root:adm 0751")
    assert files["modes"] and all(found.endswith(("0640", "0600")) for found in files["modes"].values()), files["modes"]
    assert files["journal"], "its journal is not kept on disk"
    assert "SystemMaxUse=" in files["limits"] and "MaxRetentionSec=" in files["limits"]
    assert files["rotation"] == 0


def test_only_the_account_of_the_application_can_write_to_its_journal(site: Any) -> None:
    assert site.ask(FORGED) == {"nobody": [], "www-data": [], f"{site.name}-build": [], site.name: ["socket", "stdout"]}
