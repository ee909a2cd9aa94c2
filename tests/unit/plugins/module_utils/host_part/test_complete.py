"""What is known of a complete run, and when an application or the host is still as it left it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import complete, remembered

KEY, INPUTS = "key", "f" * 64
CALLS = ["acme_certificate-shop", "credential_files-shop.credentials"]


class Host:
    """The state of a host with the application shop."""

    def __init__(self, folder: Path) -> None:
        self.state, self.base = folder / "state", folder / "srv"
        self.release = self.base / "current" / "release"
        for path in (self.state / remembered.FOLDER, self.release):
            path.mkdir(parents=True)
        for part in {*complete.needs("shop", CALLS), *complete.HOST_NEEDS}:
            self.keep(part)
        self.pages([])

    def keep(self, part: str, digest: str = "first") -> None:
        Path(remembered.path_of(str(self.state), part)).write_text(json.dumps({"digest": digest}), encoding="utf-8")

    def pages(self, stopped: list[str]) -> None:
        (self.release / "pages.json").write_text(json.dumps({"stopped": stopped}), encoding="utf-8")

    def unchanged(self, *but: str) -> dict[str, str]:
        """What a look at the host returns when a run of each part would do nothing."""
        texts = {path.name.removesuffix(".json"): path.read_text() for path in (self.state / remembered.FOLDER).iterdir()}
        return {part: remembered.digest(KEY, json.loads(text)["digest"]) for part, text in texts.items() if part not in but and text != "{"}

    def write(self, name: str = "shop", inputs: str = INPUTS) -> bool:
        return complete.write(str(self.state), name, str(self.base), inputs, CALLS)

    def current(self, *but: str) -> dict[str, str]:
        return complete.up_to_date(str(self.state), {"shop": str(self.base)}, KEY, self.unchanged(*but))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_after_a_complete_run_the_digests_of_its_inputs_are_known(host: Host) -> None:
    assert host.current() == {}
    assert host.write() and host.write(complete.HOST, "e" * 64)
    assert host.current() == {"shop": remembered.digest(KEY, INPUTS), complete.HOST: remembered.digest(KEY, "e" * 64)}
    assert host.current("nginx_server") == {"shop": remembered.digest(KEY, INPUTS)}
    assert complete.up_to_date(str(host.state), {"blog": "/srv/blog"}, KEY, host.unchanged()) == {complete.HOST: remembered.digest(KEY, "e" * 64)}


CHANGES: dict[str, Callable[[Host], Any]] = {
    "other arguments of a part, from another playbook": lambda host: host.keep("nginx_site-shop", "second"),
    "a part of which nothing is kept any more": lambda host: Path(remembered.path_of(str(host.state), "release-shop")).unlink(),
    "another release, whose pages the policy stops": lambda host: host.pages(["script-src"]),
    "a damaged record of a part": lambda host: Path(remembered.path_of(str(host.state), "release-shop")).write_text("{"),
    "a damaged record of the run": lambda host: Path(complete.path_of(str(host.state), "shop")).write_text("{"),
    "a record of the run that is no object": lambda host: Path(complete.path_of(str(host.state), "shop")).write_text("[]"),
    "a record of another shape": lambda host: Path(complete.path_of(str(host.state), "shop")).write_text('{"inputs": "f"}'),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_application_that_is_not_as_its_run_left_it_is_not_up_to_date(host: Host, change: Callable[[Host], Any]) -> None:
    host.write()
    change(host)
    assert host.current() == {}


@pytest.mark.parametrize("part", sorted(complete.needs("shop", CALLS)))
def test_a_part_that_a_run_would_change_needs_the_roles(host: Host, part: str) -> None:
    host.write()
    assert host.current() and host.current(part) == {}


@pytest.mark.parametrize("part", sorted(complete.needs("shop", CALLS)))
def test_without_the_arguments_of_each_part_there_is_no_record(host: Host, part: str) -> None:
    host.write()
    Path(remembered.path_of(str(host.state), part)).unlink()
    assert not host.write()
    host.keep(part)
    assert host.current() == {}


def test_a_call_that_the_run_did_not_make_is_forgotten(host: Host) -> None:
    host.keep("acme_certificate-shop.rsa")
    host.keep("acme_certificate-blog.rsa")
    assert host.write() and host.current()
    assert sorted(path.name for path in (host.state / remembered.FOLDER).glob("*.rsa.json")) == ["acme_certificate-blog.rsa.json"]


def test_a_host_that_gets_a_store_of_sessions_is_not_as_it_was(host: Host) -> None:
    host.write(complete.HOST)
    assert host.current()
    host.keep("session_store")
    assert host.current() == {}


def test_inputs_without_a_digest_end_the_record(host: Host) -> None:
    host.write()
    assert not host.write(inputs="")
    assert host.current() == {}


def test_a_record_is_roots_and_is_forgotten_with_its_application(host: Host) -> None:
    host.write()
    path = Path(complete.path_of(str(host.state), "shop"))
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    complete.forget(str(host.state), "shop")
    complete.forget(str(host.state), "shop")
    assert not path.exists()


def test_an_application_can_have_the_name_of_the_record_of_the_host(host: Host) -> None:
    assert len({complete.path_of("/state", name) for name in ("", "host", "shop", "application-shop")}) == 4
