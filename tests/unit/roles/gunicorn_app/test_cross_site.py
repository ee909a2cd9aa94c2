"""Requests that another site makes with a browser's credentials are refused; all others pass."""

from __future__ import annotations

import asyncio
import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.tests.unit.support import ROOT

Deployment = runpy.run_path(str(ROOT / "roles/gunicorn_app/files/deployment.py"))["Deployment"]
COOKIE = {"HTTP_COOKIE": "session=abc"}
ELSEWHERE = {"HTTP_ORIGIN": "https://attacker.example", "HTTP_SEC_FETCH_SITE": "cross-site"}


def status(tmp_path: Path, method: str = "POST", trusted: tuple[str, ...] = (), refuse: bool = True, **environ: str) -> str:
    """The response to a client."""
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"defaults": {}, "config": {}, "refuse_cross_site": refuse, "trusted_origins": trusted, "worker_class": "auto"}))

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b""]

    seen: list[str] = []
    whole = {"REQUEST_METHOD": method, "HTTP_HOST": "shop.example.com", "wsgi.url_scheme": "https", **environ}
    Deployment(str(path)).guarded(application)(whole, lambda line, headers: seen.append(line[:3]))
    return seen[0]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
def test_another_site_cannot_act_with_the_clients_cookie(tmp_path: Path, method: str) -> None:
    assert status(tmp_path, method, **COOKIE, **ELSEWHERE) == "403"


@pytest.mark.parametrize("environ", [
    {"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_ORIGIN": "https://notes.example.com"},
    {"HTTP_ORIGIN": "https://attacker.example"},
    {"HTTP_ORIGIN": "http://shop.example.com"},
    {"HTTP_ORIGIN": "null"},
])
def test_a_subdomain_an_old_browser_or_a_hidden_origin_is_another_site(tmp_path: Path, environ: dict[str, str]) -> None:
    assert status(tmp_path, **COOKIE, **environ) == "403"


def test_basic_authentication_is_a_browsers_credential(tmp_path: Path) -> None:
    assert status(tmp_path, HTTP_AUTHORIZATION="Basic YTpi", **ELSEWHERE) == "403"


@pytest.mark.parametrize("environ", [
    {**COOKIE, "HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_ORIGIN": "https://shop.example.com"},
    {**COOKIE, "HTTP_SEC_FETCH_SITE": "none"},
    {**COOKIE, "HTTP_ORIGIN": "https://shop.example.com"},
    {**COOKIE, "HTTP_ORIGIN": "https://SHOP.example.com:8443", "HTTP_HOST": "shop.example.com:8443"},
    COOKIE,
    {"HTTP_AUTHORIZATION": "Bearer abc", **ELSEWHERE},
    ELSEWHERE,
], ids=["own", "typed", "own, old browser", "own, with a port", "no browser", "bearer token", "no credentials"])
def test_the_site_itself_and_clients_without_credentials_pass(tmp_path: Path, environ: dict[str, str]) -> None:
    assert status(tmp_path, **environ) == "200"


def test_reading_is_never_refused(tmp_path: Path) -> None:
    assert status(tmp_path, "GET", **COOKIE, **ELSEWHERE) == "200"


def test_a_trusted_origin_passes_and_no_other(tmp_path: Path) -> None:
    assert status(tmp_path, trusted=("https://www.Example.com",), **COOKIE, **{**ELSEWHERE, "HTTP_ORIGIN": "https://www.example.com"}) == "200"
    assert status(tmp_path, trusted=("https://www.example.com",), **COOKIE, **ELSEWHERE) == "403"


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    assert status(tmp_path, refuse=False, **COOKIE, **ELSEWHERE) == "200"


def test_a_setting_from_a_variable_that_is_not_set_ends_the_start_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"defaults": {"A": {"env": "NOT_SET_AT_ALL"}}, "config": {"KEY": {"env": "NOT_SET_AT_ALL"}},
                                "refuse_cross_site": True, "trusted_origins": [], "worker_class": "auto"}))
    with pytest.raises(SystemExit, match="config.KEY reads NOT_SET_AT_ALL from the environment, which does not have it; add it to env"):
        Deployment(str(path))


# --- ASGI -----------------------------------------------------------------------------------------


def asgi_status(tmp_path: Path, kind: str = "http", method: str = "POST", scheme: str = "https", **environ: str) -> int | str:
    """The status of the response, or what a WebSocket's handshake came to."""
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"defaults": {}, "config": {}, "refuse_cross_site": True, "trusted_origins": [], "worker_class": "auto"}))
    headers = [(name.removeprefix("HTTP_").lower().replace("_", "-").encode(), value.encode())
               for name, value in {"HTTP_HOST": "shop.example.com", **environ}.items()]
    scope = {"type": kind, "scheme": scheme, "headers": headers} | ({"method": method} if kind == "http" else {})
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": f"{kind}.connect" if kind == "websocket" else "http.request"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"} if kind == "websocket" else {"type": "http.response.start", "status": 200, "headers": []})

    asyncio.run(Deployment(str(path)).guarded_asgi(application)(scope, receive, send))
    return sent[0].get("status") or str(sent[0]["type"])


def test_an_asgi_application_is_guarded_alike(tmp_path: Path) -> None:
    own = {"HTTP_ORIGIN": "https://shop.example.com", "HTTP_SEC_FETCH_SITE": "same-origin"}
    assert asgi_status(tmp_path, **COOKIE, **ELSEWHERE) == 403
    assert asgi_status(tmp_path, **COOKIE, HTTP_ORIGIN="https://attacker.example") == 403
    assert asgi_status(tmp_path, **COOKIE, **own) == 200
    assert asgi_status(tmp_path, **ELSEWHERE) == 200
    assert asgi_status(tmp_path, method="GET", **COOKIE, **ELSEWHERE) == 200


@pytest.mark.parametrize(("environ", "result"), [
    ({**COOKIE, **ELSEWHERE}, "websocket.close"),
    ({**COOKIE, "HTTP_ORIGIN": "https://shop.example.com"}, "websocket.accept"),
    # A browser that takes wss: and https: of one host for two sites.
    ({**COOKIE, "HTTP_ORIGIN": "https://shop.example.com", "HTTP_SEC_FETCH_SITE": "cross-site"}, "websocket.accept"),
    ({**ELSEWHERE}, "websocket.accept"),
    ({**COOKIE}, "websocket.accept"),
], ids=["other site", "own", "own, another scheme", "no credentials", "no browser"])
def test_another_site_opens_no_websocket_with_the_clients_cookie(tmp_path: Path, environ: dict[str, str], result: str) -> None:
    assert asgi_status(tmp_path, "websocket", scheme="wss", **environ) == result


def test_a_wsgi_application_is_not_wrapped_either(tmp_path: Path) -> None:
    upgrade = {**COOKIE, "HTTP_UPGRADE": "WebSocket"}
    assert status(tmp_path, "GET", **upgrade, **ELSEWHERE) == "403"
    assert status(tmp_path, "GET", **upgrade, HTTP_ORIGIN="https://shop.example.com") == "200"


def test_the_start_and_the_end_of_an_asgi_application_pass(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"defaults": {}, "config": {}, "refuse_cross_site": True, "trusted_origins": [], "worker_class": "asgi"}))
    seen: list[str] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(Deployment(str(path)).guarded_asgi(application)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
