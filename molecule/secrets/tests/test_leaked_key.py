"""A key has leaked and the application hides it: the rotation still replaces the key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from host.plugin import Server
from rotation import ROTATE, STATE

# What code in the application does to its own memory: the key in /proc/PID/environ becomes another text.
OVERWRITE = r'''
pid = int(properties(live(GIVEN["app"])[1], "MainPID")["MainPID"])
with open("/proc/%d/stat" % pid) as stream:
    begin = int(stream.read().rpartition(")")[2].split()[47])
data = open("/proc/%d/environ" % pid, "rb").read()
at = data.index(b"FLASK_SECRET_KEY=") + len(b"FLASK_SECRET_KEY=")
with open("/proc/%d/mem" % pid, "r+b", buffering=0) as memory:
    memory.seek(begin + at)
    memory.write(b"x" * 40)
print(json.dumps(b"FLASK_SECRET_KEY=" + b"x" * 40 in open("/proc/%d/environ" % pid, "rb").read()))
'''


@pytest.fixture(scope="session")
def story(play: Callable[..., Any], everywhere: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """By host: the application overwrites its environment, then the key is rotated."""
    def states() -> Any:
        return everywhere(lambda server: server.ask(STATE, apps=server.app_names)["apps"]["notes"])

    before = states()
    hidden = everywhere(lambda server: server.ask(OVERWRITE, app="notes"))
    done, after = play(*ROTATE, "-e", "sign_everybody_out=true"), states()
    return {name: {"before": before[name], "hidden": hidden[name], "done": done, "after": after[name]} for name in before}


def test_a_leaked_key_is_replaced_though_the_application_overwrites_its_environment(
        server: Server, story: dict[str, dict[str, Any]]) -> None:
    observed = story[server.name]
    assert observed["hidden"], "the attack did not reach the process"
    assert observed["done"].rc == 0, observed["done"].output[-3000:]
    leaked = observed["before"]["file"]["FLASK_SECRET_KEY"]
    assert observed["after"]["file"]["FLASK_SECRET_KEY"] != leaked
    assert observed["after"]["process"]["FLASK_SECRET_KEY"] == observed["after"]["file"]["FLASK_SECRET_KEY"]
    assert observed["after"]["instance"] != observed["before"]["instance"]
