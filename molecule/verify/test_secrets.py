"""Secrets: in the env file and in the process's environment, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from host.leaks import GENERATED, SEARCH, digest_of, needle_of, tokens

# The canary is not passed on: its length and digest find it in the env files.
CANARY = SEARCH + r'''
needle = None
for path in secret_files("*"):
    with open(path, "rb") as stream:
        for word in re.findall(rb"(?=([A-Za-z0-9]{%d}))" % GIVEN["length"], stream.read()):
            if hashlib.sha256(word).hexdigest() == GIVEN["digest"]:
                needle = word
hits, searched = places({"canary": needle}) if needle else ({"canary": []}, 0)
print(json.dumps({"hits": hits["canary"], "searched": searched, "journal_lines": journal_lines}))
'''


# Which variable of the running processes holds exactly these bytes.
ARRIVED = r'''
import hashlib
found = {}
for app in GIVEN["apps"]:
    found[app] = [sorted(key.decode() for key, held in environment(pid).items()
                          if hashlib.sha256(held).hexdigest() == GIVEN["digest"])
                  for pid in processes(live(app)[1])]
print(json.dumps(found))
'''

# About the key, never the key itself.
KEYS = r'''
import hashlib
found = {}
for app in GIVEN["apps"]:
    key = environment(processes(live(app)[1])[0]).get(b"FLASK_SECRET_KEY", b"")
    found[app] = {"length": len(key), "number": re.fullmatch(rb"[0-9.eE+-]+", key) is not None,
                  "different_bytes": len(set(key)), "digest": hashlib.sha256(key).hexdigest()}
folder = "/etc/flask-secrets"
folders, files = {}, {}
for top, below, names in os.walk(folder):
    folders[top] = mode(top)
    files.update({os.path.join(top, name): mode(os.path.join(top, name)) for name in names})
print(json.dumps({"keys": found, "folders": folders, "files": files}))
'''


@pytest.fixture
def found(server: Any, canary: str, remember: Callable[..., Any]) -> Any:
    """Every place on the host where the canary is."""
    needle = needle_of(canary)
    return remember(server, CANARY, length=len(needle), digest=digest_of(needle), apps=server.app_names)


@pytest.fixture
def arrived(server: Any, canary: str, remember: Callable[..., Any]) -> dict[str, list[list[str]]]:
    """By application and process, the variables that hold the canary; applications without it are left out."""
    held = remember(server, ARRIVED, digest=digest_of(canary), apps=server.app_names)
    return {app: processes for app, processes in held.items() if any(processes)}


def test_a_secret_arrives_in_every_process_byte_for_byte(arrived: dict[str, list[list[str]]]) -> None:
    assert arrived, "no application of this host has a variable with exactly this value"
    for processes in arrived.values():
        assert len({tuple(names) for names in processes}) == 1, "some processes lack it"


def test_a_secret_is_only_in_its_env_file_and_in_its_process(found: Any, arrived: dict[str, list[list[str]]]) -> None:
    assert arrived
    assert found["searched"] > 100 and found["journal_lines"] > 10, "there was nothing to search"
    expected = [f"/etc/flask-secrets/{app}.env" for app in arrived] + [f"environ of {app}" for app in arrived]
    assert found["hits"] == sorted(expected)


def test_a_secret_is_not_in_the_output_of_ansible(canary: str, converge_log: bytes) -> None:
    assert b"PLAY RECAP" in converge_log, "this is not the output of a whole run"
    assert needle_of(canary).encode() not in converge_log


def test_every_application_has_a_strong_secret_key_of_its_own(server: Any, remember: Callable[..., Any]) -> None:
    keys = remember(server, KEYS, apps=server.app_names)["keys"]
    for key in keys.values():
        assert key["length"] >= 32
        assert key["different_bytes"] >= 12, "it is hardly random"
        assert not key["number"], "from_prefixed_env would read it as a number"
    assert len({key["digest"] for key in keys.values()}) == len(keys), "two applications share a key"


def test_only_root_can_read_the_env_files(server: Any, remember: Callable[..., Any]) -> None:
    found = remember(server, KEYS, apps=server.app_names)
    assert "/etc/flask-secrets" in found["folders"] and set(found["folders"].values()) == {"root:root 0700"}, found["folders"]
    assert found["files"] and set(found["files"].values()) == {"root:root 0600"}, found["files"]


@pytest.fixture
def generated(server: Any, remember: Callable[..., Any]) -> Any:
    """Every place on the host where a value is that was made there, and the values' digests."""
    return remember(server, GENERATED, apps=server.app_names)


def test_a_generated_value_is_only_in_its_file_and_in_its_process(generated: Any) -> None:
    assert generated["hits"], "this host has made no value"
    assert generated["searched"] > 100 and generated["journal_lines"] > 10, "there was nothing to search"
    for label, hits in generated["hits"].items():
        app = label.split(" ")[0]
        assert hits == [f"/etc/flask-secrets/{app}.generated.env", f"environ of {app}"], label


def test_a_generated_value_is_not_in_the_output_of_ansible(generated: Any, converge_log: bytes) -> None:
    printed = tokens(converge_log)
    assert not [label for label, (_, digest) in generated["digests"].items() if digest in printed]
