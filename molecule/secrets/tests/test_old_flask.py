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
def observed(server: Server, story: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The story on one host."""
    return story[server.name]


def test_a_rotation_that_would_sign_everybody_out_is_refused(observed: dict[str, Any]) -> None:
    assert observed["refused"].rc != 0
    assert "Flask 3.0.3, which does not support old keys" in observed["refused"].output
    assert "-e sign_everybody_out=true" in observed["refused"].output
    assert observed["before"] == observed["between"]


def test_a_rotation_that_ends_all_sessions_works_with_an_old_flask(observed: dict[str, Any]) -> None:
    assert observed["forced"].rc == 0, observed["forced"].output[-3000:]
    assert observed["after"]["process"]["FLASK_SECRET_KEY"] != observed["before"]["process"]["FLASK_SECRET_KEY"]
    assert observed["after"]["old"] == []
