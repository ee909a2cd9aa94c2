"""Values arrive in the process as they were written: in the environment, and as files."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from host.leaks import SEARCH, digest_of, needle_of
from host.plugin import Server

# Read access to a credential: only the application, in its own mount namespace.
READERS = r'''
import hashlib, pwd
def read_as(account, path, *inside):
    user = pwd.getpwnam(account)
    done = subprocess.run([*inside, "setpriv", "--reuid=%d" % user.pw_uid, "--regid=%d" % user.pw_gid, "--clear-groups", "cat", path],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return hashlib.sha256(done.stdout).hexdigest() if done.returncode == 0 else None
found = {}
for app in GIVEN["apps"]:
    instance, unit = live(app)
    inside = ["nsenter", "--mount", "--target=" + properties(unit, "MainPID")["MainPID"]]
    for path in glob.glob("/run/credentials/%s/*" % glob.escape(unit)):
        others = [name for name in (*GIVEN["apps"], "nobody", "www-data", app + "-build") if name != app]
        found["%s/%s" % (app, os.path.basename(path))] = {
            "application": read_as(app, path, *inside), "others": [name for name in others if read_as(name, path)]}
stored = {}
for path in glob.glob("/etc/flask-secrets/*.credentials/*"):
    with open(path, "rb") as stream:
        stored[path] = hashlib.sha256(stream.read()).hexdigest()
print(json.dumps({"found": found, "stored": stored}))
'''

# Everywhere the credentials' value is; the one of the plain file is the needle.
PLACES = SEARCH + r'''
with open("/etc/flask-secrets/shop.credentials/plain.key", "rb") as stream:
    needle = max(re.findall(rb"[A-Za-z0-9]+", stream.read()), key=len)
hits, searched = places({"there": needle, "turned": needle[::-1]})
print(json.dumps(hits))
'''


LEFT = r'''
folder = "/etc/flask-secrets/notes.credentials"
print(json.dumps({"files": sorted(os.listdir(folder)) if os.path.isdir(folder) else "no directory", "instance": live("notes")[0],
                  "drop_in": os.path.exists("/etc/systemd/system/gunicorn-notes@.service.d/50-credentials.conf")}))
'''

# The host's key for credentials, taken away and given back.
HOST_KEY = r'''
path = "/var/lib/systemd/credential.secret"
if GIVEN["there"]:
    os.rmdir(path)
    os.rename(path + ".kept", path)
else:
    os.rename(path, path + ".kept")
    os.mkdir(path)
print("null")
'''
UNWRITTEN = secrets.token_hex(16)


@pytest.fixture(scope="session")
def value(request: pytest.FixtureRequest) -> str:
    """The value of every probe."""
    return Path(request.config.getoption("--canary-file")).read_text(encoding="utf-8")


@pytest.fixture
def arrived(server: Server) -> Any:
    """The values that the application reports."""
    return json.loads(server.site("notes").get("/").body)


def of_json(value: Any) -> list[str]:
    """The application's own words for a value: its type and its digest."""
    return [type(value).__name__, hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()]


def test_flask_gets_every_type_that_was_written(arrived: Any, value: str) -> None:
    written = {"TEXT": value, "YES": True, "NO": False, "DIGITS": "12345678", "NUMBER": 12345678, "HALF": 0.5, "WORD": "true",
               "NULL": None, "LIST": ["old", 1, None], "LIKE_A_LIST": '["a"]', "TREE": {"name": "a", "port": 1},
               "NESTED": {"A": {"B": "007", "C": 7}}}
    assert arrived["config"] == {f"PROBE_{name}": of_json(wanted) for name, wanted in written.items()}


def test_other_variables_arrive_byte_for_byte(arrived: Any, value: str) -> None:
    assert arrived["env"]["PROBE_TEXT"] == digest_of(value)


def test_encrypted_credentials_arrive_byte_for_byte(arrived: Any, value: str) -> None:
    assert arrived["credentials"] == {"sealed.key": digest_of(value), "second": digest_of(value[::-1])}


def test_only_the_application_can_read_its_credentials(server: Server, value: str) -> None:
    observed = server.ask(READERS, apps=server.app_names)
    assert observed["found"] == {
        "shop/plain.key": {"application": digest_of(value), "others": []},
        "notes/sealed.key": {"application": digest_of(value), "others": []},
        "notes/second": {"application": digest_of(value[::-1]), "others": []}}


def test_an_encrypted_credential_is_on_no_disk(server: Server, value: str) -> None:
    stored = server.ask(READERS, apps=server.app_names)["stored"]
    assert stored["/etc/flask-secrets/shop.credentials/plain.key"] == digest_of(value)
    assert stored["/etc/flask-secrets/notes.credentials/sealed.key"] != digest_of(value)
    places = server.ask(PLACES, apps=server.app_names)
    assert places["turned"] and all(place.startswith("/run/credentials/gunicorn-notes@") for place in places["turned"])
    known = ("/etc/flask-secrets/shop.env", "/etc/flask-secrets/notes.env", "/etc/flask-secrets/shop.credentials/plain.key",
             "environ of shop", "environ of notes")
    assert set(known) <= set(places["there"])
    assert not [place for place in places["there"] if place not in known and not place.startswith("/run/credentials/gunicorn-")]


@pytest.fixture(scope="session")
def changes(play: Callable[..., Any], everywhere: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """By host, what arrives after each: one credential changes, nothing changes, none is left, all are back, none can be written."""
    def arrive() -> dict[str, Any]:
        return everywhere(lambda server: (json.loads(server.site("notes").get("/").body)["credentials"], server.ask(LEFT)))

    steps, alone = [], "molecule/secrets/secrets_alone.yml"
    for credentials in ({"second": "changed"}, {"second": "changed"}, {}):
        steps.append((play(alone, "-e", json.dumps({"credentials": credentials})), arrive()))
    steps.append((play(alone), arrive()))
    # From a file: what stands in a command line is printed.
    given = tmp_path_factory.mktemp("given") / "credentials.json"
    given.write_text(json.dumps({"credentials": {"second": UNWRITTEN}}))
    everywhere(lambda server: server.ask(HOST_KEY, there=False))
    steps.append((play(alone, "-e", f"@{given}"), arrive()))
    everywhere(lambda server: server.ask(HOST_KEY, there=True))
    return {name: [(done, arrived[name]) for done, arrived in steps] for name in steps[0][1]}


def test_a_changed_credential_reaches_the_application_once(server: Server, changes: dict[str, list[Any]]) -> None:
    (first, (held, left)), (second, after) = changes[server.name][:2]
    assert first.rc == 0, first.output[-3000:]
    assert held == {"second": digest_of("changed")}
    assert left["files"] == ["second"], "a credential that is no longer wanted stays on the disk"
    assert re.search(rf"{server.name} +: ok=\d+ +changed=0 ", second.output), second.output[-300:]
    assert after == (held, left)


def test_an_application_without_credentials_has_nothing_left_of_them(server: Server, changes: dict[str, list[Any]], value: str) -> None:
    done, (held, left) = changes[server.name][2]
    assert done.rc == 0, done.output[-3000:]
    assert (held, left["files"], left["drop_in"]) == ({}, "no directory", False)
    assert changes[server.name][3][1][0] == {"sealed.key": digest_of(value), "second": digest_of(value[::-1])}


def test_the_error_of_a_credential_has_no_value(server: Server, changes: dict[str, list[Any]]) -> None:
    before, (done, after) = changes[server.name][3][1], changes[server.name][4]
    assert re.search(rf"{server.name} +: .* failed=1 .* rescued=1 ", done.output), done.output[-3000:]
    observed = " ".join(done.output.split())
    assert "The credentials in /etc/flask-secrets/notes.credentials could not be written: systemd-creds encrypt: " in observed
    assert UNWRITTEN not in done.output
    assert after == before


def test_no_value_was_printed(value: str, printed: Callable[[], bytes], converge_log: bytes) -> None:
    assert b"PLAY RECAP" in converge_log
    for text in (converge_log, printed()):
        assert needle_of(value).encode() not in text
        assert needle_of(value)[::-1].encode() not in text
