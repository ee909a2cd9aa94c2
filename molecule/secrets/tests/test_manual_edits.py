"""Manual edits of the file on the host, and changes of values in the inventory."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from host.leaks import digest_of
from host.plugin import Server
from rotation import STATE

ROOT = Path(__file__).resolve().parents[3]
EDIT = r'''
import hashlib
path = "/etc/flask-secrets/%s.env" % GIVEN["app"]
before = open(path).read()
after = before.replace(*GIVEN["replace"]) + GIVEN["add"]
with open(path, "w") as stream:
    stream.write(after)
print(json.dumps([before != after, hashlib.sha256(after.encode()).hexdigest()]))
'''
DIGEST = r'''
import hashlib
print(json.dumps(hashlib.sha256(open("/etc/flask-secrets/%s.env" % GIVEN["app"], "rb").read()).hexdigest()))
'''
NAMES = r'''
print(json.dumps(sorted(name.decode() for name in environment(int(properties(live(GIVEN["app"])[1], "MainPID")["MainPID"])))))
'''
SITE, ALONE = "playbooks/site.yml", "molecule/secrets/secrets_alone.yml"
# The values that come from an encrypted source.
WORD = {"vault": f"from the vault \u2713 {secrets.token_hex(8)}", "sops": f"from SOPS \u2713 {secrets.token_hex(8)}",
        "environment": f"from the environment {secrets.token_hex(8)}"}
ALLOWED = ("-e", '{"allowed": ["ODD_NAME"]}')


def state(server: Server) -> Any:
    """Digests and instances, now."""
    return server.ask(STATE, apps=server.app_names)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], tuple[str, ...]]:
    """A vault and a SOPS file with a value each: the environment and the arguments a playbook opens them with."""
    folder, tools = tmp_path_factory.mktemp("sources"), ROOT / "build" / "sops"
    subprocess.run([sys.executable, "-m", "venv", tools], check=True)
    subprocess.run([tools / "bin/pip", "install", "--quiet", "--require-hashes", "-r", ROOT / "molecule/secrets/sops.txt"], check=True)

    (folder / "password").write_text(secrets.token_hex())
    vaulted = subprocess.run(["ansible-vault", "encrypt_string", f"--vault-password-file={folder}/password", "--stdin-name=changed"],
                             input=WORD["vault"], capture_output=True, text=True, check=True).stdout
    (folder / "vaulted.yml").write_text(vaulted)

    make = "import pyrage; key = pyrage.x25519.Identity.generate(); print(key, key.to_public())"
    private, public = subprocess.run([tools / "bin/python", "-c", make], capture_output=True, text=True, check=True).stdout.split()
    (folder / "keys.txt").write_text(private)
    plain = json.dumps({"shop": {"token": WORD["sops"]}})
    closed = subprocess.run([tools / "bin/sops", "encrypt", f"--age={public}", "--input-type=json", "--output-type=yaml", "/dev/stdin"],
                            input=plain, capture_output=True, text=True, check=True).stdout
    assert "from" not in closed and vaulted.startswith("changed: !vault")
    (folder / "secrets.sops.yml").write_text(closed)

    environment = {"PATH": f"{tools}/bin:{os.environ['PATH']}", "SOPS_AGE_KEY_FILE": f"{folder}/keys.txt", "PROBE_FROM_ENV": WORD["environment"]}
    return environment, ("-e", f"@{folder}/vaulted.yml", f"--vault-password-file={folder}/password", "-e", f"sops_file={folder}/secrets.sops.yml")


@pytest.fixture(scope="session")
def story(play: Callable[..., Any], everywhere: Callable[..., Any], sources: Any) -> dict[str, dict[str, Any]]:
    """By host: a name is added and a value edited by hand, and then a value changes in the inventory."""
    observed = everywhere(lambda server: {"server": server, "notes": server.site("notes")})
    for record in observed.values():
        record |= {"before": state(record["server"]), "original": record["notes"].ask(DIGEST)}
        record["edited"] = record["notes"].ask(EDIT, replace=["12345678", "87654321-by-hand"], add='ODD_NAME="hunter2-by-hand"\n')
    refusals = [play(ALONE, "--check"), play(ALONE)]
    for record in observed.values():
        record |= {"refusals": refusals, "after_refusal": record["notes"].ask(DIGEST)}
    drift = play(ALONE, "--check", *ALLOWED)
    for record in observed.values():
        record |= {"drift": drift, "after_check": record["notes"].ask(DIGEST)}
    change = play(SITE, *ALLOWED, *sources[1], environment=sources[0])
    for record in observed.values():
        record |= {"change": change, "after": state(record["server"]), "names": record["notes"].ask(NAMES),
                   "arrived": json.loads(record["notes"].get("/").body)["env"]}
    return observed


@pytest.fixture
def observed(server: Server, story: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The story on one host."""
    return story[server.name]


def test_a_name_added_by_hand_is_named_and_not_written_over(observed: dict[str, Any]) -> None:
    for done in observed["refusals"]:
        assert done.rc != 0
        assert "/etc/flask-secrets/notes.env sets ODD_NAME" in done.output
        assert "Write ODD_NAME into env" in done.output and "remove: [ODD_NAME]" in done.output
    assert observed["after_refusal"] == observed["edited"][1]


def test_an_edited_value_is_predicted_and_not_shown(server: Server, observed: dict[str, Any]) -> None:
    assert observed["edited"][0], "nothing was edited"
    assert observed["drift"].rc == 0, observed["drift"].output[-3000:]
    assert observed["after_check"] == observed["edited"][1], "a check has written"
    changed = re.search(rf"{server.name} +: ok=\d+ +changed=(\d+)", observed["drift"].output)
    assert int(changed[1]) == 2, "the file, and the restart that follows from it"


def test_a_name_that_may_be_removed_is_removed(observed: dict[str, Any]) -> None:
    assert observed["change"].rc == 0, observed["change"].output[-3000:]
    assert "ODD_NAME" not in observed["names"] and "PROBE_CHANGED" in observed["names"]


def test_a_changed_secret_restarts_only_the_units_that_use_it(observed: dict[str, Any]) -> None:
    before, after = observed["before"], observed["after"]
    assert before["apps"]["notes"]["instance"] != after["apps"]["notes"]["instance"]
    assert before["apps"]["shop"] == after["apps"]["shop"]
    assert before["nginx"] == after["nginx"]


@pytest.mark.parametrize(("name", "source"), [("PROBE_CHANGED", "vault"), ("PROBE_FROM_SOPS", "sops"), ("PROBE_FROM_ENV", "environment")])
def test_a_value_arrives_from_its_source(observed: dict[str, Any], name: str, source: str) -> None:
    assert observed["arrived"][name] == digest_of(WORD[source])


def test_no_edited_value_is_printed(observed: dict[str, Any], printed: Callable[[], bytes]) -> None:
    assert b"ODD_NAME" in printed()
    assert b"by-hand" not in printed()
    assert not [source for source, word in WORD.items() if word[-16:].encode() in printed()]
