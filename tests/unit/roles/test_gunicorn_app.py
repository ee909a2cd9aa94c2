"""gunicorn_app: limits, paths and trust of an application's unit."""

from __future__ import annotations

import ast
import contextvars
import re
from typing import Any

import pytest
from ansible_collections.bulwark.flask.tests.unit import support


def unit(**variables: object) -> list[str]:
    return support.render("gunicorn_app", "gunicorn.service.j2", **variables).splitlines()


def limits(**variables: object) -> list[str]:
    return [line for line in unit(**variables) if line.startswith(("MemoryMax=", "MemoryHigh="))]


def test_an_application_alone_on_a_host_may_use_three_quarters_of_its_memory() -> None:
    assert limits() == limits(flask_apps={"shop": {}}) == ["MemoryHigh=67%", "MemoryMax=75%"]


def test_the_limits_of_all_applications_fit_into_their_slice() -> None:
    for number in (2, 3, 8, 15):
        found = limits(flask_apps={f"app{n}": {} for n in range(number)})
        assert number * int(found[1].removeprefix("MemoryMax=").rstrip("%")) <= 75
    assert "MemoryMax=75%" in support.render("gunicorn_app", "applications.slice.j2").splitlines()
    assert "Slice=flask_apps.slice" in unit()


def test_a_limit_of_the_operator_replaces_the_share() -> None:
    assert limits(gunicorn_app_memory_max_mb=1000) == ["MemoryHigh=900M", "MemoryMax=1000M"]


def test_applications_compete_by_weight() -> None:
    assert {"CPUWeight=100", "IOWeight=100"} <= set(unit())
    assert {"CPUWeight=20", "IOWeight=20"} <= set(unit(gunicorn_app_weight=20))


def test_the_computed_workers_fit_into_the_limit() -> None:
    def workers(**variables: object) -> str:
        text = support.render("gunicorn_app", "gunicorn.conf.py.j2", **variables)
        start = text.index("workers = ")
        return " ".join(text[start:text.index("threads = ")].split())

    assert workers() == "workers = max(2, min(len(os.sched_getaffinity(0)) + 1, MEMORY_MB * 75 // 100 * 2 // 3 // 150))"
    assert workers(gunicorn_app_memory_max_mb=600) == "workers = max(2, min(len(os.sched_getaffinity(0)) + 1, 600 * 2 // 3 // 150))"


def test_programs_of_the_release_come_first() -> None:
    assert "Environment=PATH=/srv/shop/instances/%i/release/venv/bin:/usr/local/bin:/usr/bin:/bin" in unit()


def test_memory_and_processors_of_the_host_are_readable_and_its_command_line_is_not() -> None:
    lines = unit()
    assert "ProcSubset=all" in lines
    hidden = " ".join(line for line in lines if line.startswith("InaccessiblePaths=")).split()
    assert not [path for path in hidden if path.endswith(("/meminfo", "/stat", "/cpuinfo"))]
    assert {"-/proc/kallsyms", "-/proc/modules"} <= set(hidden)


@pytest.fixture
def from_web_server() -> Any:
    """The class that is put around an application, out of the rendered configuration."""
    wanted = ("FromWebServer", "WELL_FORMED", "ADDRESS", "REQUEST_ID")
    tree = ast.parse(support.render("gunicorn_app", "gunicorn.conf.py.j2"))
    tree.body = [node for node in tree.body if getattr(node, "name", None) in wanted
                 or isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in wanted]
    names: dict[str, Any] = {"re": re, "contextvars": contextvars}
    exec(compile(tree, "gunicorn.conf.py", "exec"), names)
    return names["FromWebServer"]


@pytest.mark.parametrize(("peer", "sent", "seen"), [
    ("", "203.0.113.7", "203.0.113.7"), ("", "2001:db8::1", "2001:db8::1"), ("", "", ""), ("", "203.0.113.7, 10.0.0.1", ""),
    ("", "<script>", ""), ("127.0.0.1", "203.0.113.7", "127.0.0.1")])
def test_the_client_address_comes_from_nginx_for_a_peer_without_one(
        from_web_server: Any, peer: str, sent: str, seen: str) -> None:
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": sent}
    from_web_server(lambda environ, start_response: environ["REMOTE_ADDR"])(environ, None)
    assert environ["REMOTE_ADDR"] == seen
