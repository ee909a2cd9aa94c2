"""Applications as people write them are deployed, work in a browser, and are protected."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from auditor import Auditor
from host.plugin import Server

ACCOUNT = {"username": f"ann{time.time_ns()}", "password": "cold-river-stones"}
JOURNEYS: dict[str, list[dict[str, Any]]] = {
    "hello": [{"open": "/"}, {"see": "Hello, World!"}],
    "tutorial": [{"open": "/register"}, {"fill": ACCOUNT}, {"see": "Log In"}, {"fill": ACCOUNT}, {"see": ACCOUNT["username"]},
                 {"open": "/create"}, {"fill": {"title": "A first post", "body": "Text"}}, {"see": "A first post"}],
    "upload": [{"open": "/"}, {"fill": {"file": "/project/molecule/applications/apps/upload/note.txt"}}, {"see": "A note to upload"}],
    "blog": [{"open": "/register"}, {"fill": ACCOUNT}, {"open": "/login"}, {"fill": ACCOUNT}, {"see": "Hi, ann"},
             {"fill": {"post": "Hello all"}}, {"see": "Hello all"}],
    "dashboard": [{"open": "/"}, {"see": "value "}, {"click": "#again"}, {"see": "value "}],
    "api": [{"open": "/"}, {"see": "items"}],
    "admin": [{"open": "/"}, {"click": "a"}, {"open": "/admin/customer/new/"}, {"fill": {"name": "Ann", "email": "ann@example.test"}, "form": ".admin-form"},
              {"see": "ann@example.test"}],
    "wiki": [{"open": "/"}, {"click": "a"}, {"fill": {"text": "A page about rivers"}}, {"see": "A page about rivers"}, {"see": "Edit Home"}],
    "asgi": [{"open": "/"}, {"see": "Hello from ASGI"}],
    "config-file": [{"open": "/"}, {"see": "River wiki"}],
    "chat": [{"open": "/"}, {"see": "By WebSocket: connected"}, {"see": "By polling: connected"}, {"fill": {"text": "Ahoy"}},
             {"see": "By WebSocket: Ahoy"}, {"see": "By polling: Ahoy"}],
    "spa": [{"open": "/"}, {"see": "tasks"}, {"fill": {"title": "Water the plants"}}, {"see": "Water the plants"}],
}


def curl(server: Server, app: str, arguments: str) -> tuple[int, str]:
    """Status and the head and body of a response."""
    name = f"{app}.{server.name}.example.test"
    done = Auditor().run(f"curl --silent --insecure --include --max-time 30 --resolve {name}:443:{server.outside.address} https://{name}{arguments}")
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[1]), done.stdout


@pytest.mark.parametrize("app", JOURNEYS)
def test_an_application_works_in_a_browser(server: Server, app: str, browse: Callable[..., dict[str, Any]], results: dict[tuple[str, str], str]) -> None:
    results[app, server.name] = "fails"
    result = browse(server, app, JOURNEYS[app])
    assert (result["done"], result["failed"]) == (len(JOURNEYS[app]), "")
    # Its own pages may lack an icon.
    assert [line for line in result["console"] if "/favicon.ico" not in line] == []
    results[app, server.name] = "works"


@pytest.mark.parametrize(("app", "path"), [("tutorial", "/login"), ("blog", "/login"), ("upload", "/"), ("admin", "/admin/customer/new/"),
                                          ("wiki", "/Other/edit")])
def test_another_site_cannot_act_with_the_clients_cookie(server: Server, app: str, path: str) -> None:
    own = f"https://{app}.{server.name}.example.test"
    request = f"{path} --header 'Cookie: session=x' --data username=a"
    assert curl(server, app, f"{request} --header 'Origin: https://attacker.example'")[0] == 403
    assert curl(server, app, f"{request} --header 'Origin: {own}'")[0] != 403


@pytest.mark.parametrize(("app", "path"), [("tutorial", "/login --data username=nobody --data password=x"), ("blog", "/login")])
def test_a_session_cookie_is_protected_though_the_application_does_not_ask_for_it(server: Server, app: str, path: str) -> None:
    text = curl(server, app, path)[1].lower()
    (cookie,) = [line for line in text.splitlines() if line.startswith("set-cookie: session=")]
    assert all(flag in cookie for flag in ("; secure", "; httponly", "; samesite=lax")), cookie


def test_an_api_with_bearer_tokens_is_used_from_anywhere(server: Server) -> None:
    status, text = curl(server, "api", "/token --header 'Origin: https://elsewhere.example' --json '{\"user\": \"ann\"}'")
    token = text.partition('"token":"')[2].partition('"')[0]
    assert (status, bool(token)) == (200, True)
    posted = curl(server, "api", f"/items --header 'Origin: https://elsewhere.example' --header 'Authorization: Bearer {token}' "
                                 "--json '{\"name\": \"pen\"}'")
    assert posted[0] == 201


@pytest.mark.parametrize(("app", "policy"), [("dashboard", "compatible"), ("blog", "compatible"), ("admin", "compatible"),
                                            ("tutorial", "strict"), ("hello", "strict"), ("spa", "strict")])
def test_a_page_gets_the_strictest_policy_that_does_not_break_it(server: Server, app: str, policy: str) -> None:
    text = curl(server, app, "/")[1].lower()
    (enforced,) = [line for line in text.splitlines() if line.startswith("content-security-policy:")]
    assert ("'unsafe-inline'" in enforced) == (policy == "compatible")
    assert ("content-security-policy-report-only:" in text) == (policy == "compatible")


@pytest.mark.parametrize(("app", "path"), [("upload", "uploads"), ("blog", "app.db"), ("blog", "logs/blog.log"), ("tutorial", "instance/flaskr.sqlite"),
                                          ("admin", "instance/sample_db.sqlite"), ("wiki", "repository/.git/HEAD")])
def test_files_that_an_application_writes_are_outside_of_its_release(server: Server, app: str, path: str) -> None:
    found = server.host.run(f"stat --format '%U %a' /var/lib/{app}/shared/{path}")
    assert found.rc == 0, found.stderr
    owner, mode = found.stdout.split()
    assert owner == app and mode.endswith("00")


def test_only_the_values_of_secrets_are_hidden_in_what_an_application_prints(server: Server) -> None:
    log = server.host.run("cat /srv/customer-portal-frontend/current/release/commands.log").stdout
    printed = log.splitlines()[1:-1]
    assert printed == ["/var/lib/customer-portal-frontend/uploads", "https://portal.example.com:8443/login", "mail.example.com", "production",
                       "postgresql://portal:[DATABASE_URL]@db.example.com/portal", "[MAIL_PASSWORD]"]
