"""gunicorn_app: limits, paths and trust of an application's unit."""

from __future__ import annotations

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
