"""An application whose Flask does not support old keys: sessions do not end by accident."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from host.plugin import Server
from rotation import ROTATE, STATE


@pytest.fixture(scope="session")
def story(play: Callable[..., Any], everywhere: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """By host: a rotation that is refused, and one that says what it does."""
    def states() -> Any:
        return everywhere(lambda server: server.ask(STATE, apps=server.app_names)["apps"]["notes"])

    before, refused, between = states(), play(*ROTATE), states()
    forced, after = play(*ROTATE, "-e", "sign_everybody_out=true"), states()
    return {name: {"before": before[name], "refused": refused, "between": between[name], "forced": forced, "after": after[name]}
            for name in before}


@pytest.fixture
def told(server: Server, story: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The story on one host."""
    return story[server.name]


def test_a_rotation_that_would_sign_everybody_out_is_refused(told: dict[str, Any]) -> None:
    assert told["refused"].rc != 0
    assert "Flask 3.0.3, which does not support old keys" in told["refused"].output
    assert "-e sign_everybody_out=true" in told["refused"].output
    assert told["before"] == told["between"]


def test_a_rotation_that_ends_all_sessions_works_with_an_old_flask(told: dict[str, Any]) -> None:
    assert told["forced"].rc == 0, told["forced"].output[-3000:]
    assert told["after"]["process"]["FLASK_SECRET_KEY"] != told["before"]["process"]["FLASK_SECRET_KEY"]
    assert told["after"]["old"] == []
