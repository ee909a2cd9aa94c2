"""host_part as a module: conflicts of nginx, and the arguments that are kept for one look at all parts of a host."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import look, part, remembered
from ansible_collections.bulwark.flask.plugins.modules import host_part

CANARY = "canary-Xq7pLw92"
KEY = "key"


@pytest.fixture
def unchanged(state: Path) -> Callable[[], dict[str, str]]:
    """The parts for which a run would do nothing."""
    def ask() -> dict[str, str]:
        with patch_module_args({}):
            return look.unchanged(str(state), KEY, AnsibleModule({}), ["shop"])
    return ask


@pytest.fixture
def run(etc: Path, write: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Run the part."""
    files = [{"dest": etc / "a.conf", "content": "a\n"}, {"dest": etc / "secret", "content": f"KEY={CANARY}\n", "sensitive": True, "mode": "0600"}]

    def part(digest: str = "first", **options: Any) -> dict[str, Any]:
        given = {"name": "nginx_server", "requires": {str(etc): "make it"}, "purge": [{"path": str(etc), "patterns": ["*.old"]}], "_digest": digest, **options}
        result = write(files, module=host_part, **given)
        assert not result.get("failed"), result
        return result

    return part


def test_a_part_is_remembered_by_the_digest_of_its_arguments(
    run: Callable[..., Any], unchanged: Callable[[], dict[str, str]], state: Path,
) -> None:
    assert unchanged() == {}
    assert run()["changed"]
    assert unchanged() == {"nginx_server": remembered.digest(KEY, "first")}
    assert not run("second")["changed"]
    assert unchanged() == {"nginx_server": remembered.digest(KEY, "second")}
    kept = Path(remembered.path_of(str(state), "nginx_server"))
    assert kept.stat().st_mode & 0o777 == 0o600 and kept.parent.stat().st_mode & 0o777 == 0o700
    assert CANARY not in kept.read_text()


def test_parts_of_other_applications_and_playbooks_are_not_looked_at(run: Callable[..., Any], unchanged: Callable[[], dict[str, str]]) -> None:
    for name in ("nginx_site-shop", "nginx_site-blog", "acme_cert", "host_baseline"):
        run(name=name)
    assert {*unchanged()} == {"nginx_site-shop", "acme_cert"}


def test_a_prediction_remembers_nothing(run: Callable[..., Any], unchanged: Callable[[], dict[str, str]]) -> None:
    run()
    run("second", check=True)
    assert unchanged() == {"nginx_server": remembered.digest(KEY, "first")}


CHANGES = {
    "contents": "echo b > a.conf", "sensitive contents": "echo b > secret", "mode": "chmod 666 a.conf", "deleted": "rm secret",
    "a link in its place": "mv a.conf b && ln -s b a.conf", "a file that is purged": "touch left.old", "what it requires": "cd .. && mv etc other",
    "the record of its files": "rm ../state/managed.json", "the record of the part": "rm ../state/parts/nginx_server.json",
    "damaged": "echo '{' > ../state/remembered/nginx_server.json", "of another version": "echo '{}' > ../state/remembered/nginx_server.json"}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_is_different_is_left_to_the_run_of_the_part(
    run: Callable[..., Any], unchanged: Callable[[], dict[str, str]], etc: Path, change: str,
) -> None:
    run()
    assert unchanged()
    subprocess.run(change, shell=True, cwd=etc, check=True)
    assert unchanged() == {}


@pytest.mark.parametrize("damage", ["{", "[]", "null", '{"digest": "other"}'])
def test_a_damaged_record_is_replaced(run: Callable[..., Any], unchanged: Callable[[], dict[str, str]], state: Path, damage: str) -> None:
    run()
    Path(remembered.path_of(str(state), "nginx_server")).write_text(damage)
    assert unchanged() == {} and not run()["changed"]
    assert unchanged() == {"nginx_server": remembered.digest(KEY, "first")}


@pytest.mark.parametrize("name", ["managed.json", "parts/nginx_server.json", "former/paths.json"])
def test_a_damaged_record_of_files_is_named_with_what_to_do(
    etc: Path, write: Callable[..., dict[str, Any]], run: Callable[..., Any], state: Path, name: str,
) -> None:
    run()
    (state / name).write_text("{")
    result = write([{"dest": etc / "b.conf", "content": "b"}], module=host_part, name="nginx_server")
    assert result["failed"] and f"{state / name}: the file is damaged" in result["msg"] and "or remove it" in result["msg"], result
    assert not (etc / "b.conf").exists()
    (state / name).unlink()
    run()


def test_what_a_run_would_report_is_left_to_it(run: Callable[..., Any], unchanged: Callable[[], dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    monkeypatch.setattr(host_part.Part, "accounts", lambda self: self.module.warn("a warning"))
    assert unchanged() == {}


def test_a_command_that_is_missing_is_left_to_it_too(run: Callable[..., Any], unchanged: Callable[[], dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    monkeypatch.setattr(host_part.Part, "accounts", lambda self: self.module.run_command(["/no/such/program"]))
    assert unchanged() == {}


def test_conflicts_of_nginx_are_judged_when_its_packages_are_installed(
    etc: Path, write: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    monkeypatch.setattr(host_part.Part, "software", lambda _self: done.append("packages"))
    monkeypatch.setattr(part.nginx_files, "conflicts", lambda *_unused: done.append("conflicts") or ["a conflict"])
    for check in (True, False):
        result = write([{"dest": etc / "a.conf", "content": "a"}], module=host_part, check=check, name="nginx_server", nginx_variables={"gzip": "x"})
        assert result["failed"] and result["msg"] == "No file was changed, because:\n- a conflict"
    assert done == ["packages", "conflicts"] * 2 and not (etc / "a.conf").exists()


def test_arguments_with_credentials_are_not_kept(run: Callable[..., Any], unchanged: Callable[[], dict[str, str]], state: Path) -> None:
    run()
    params = {"name": "nginx_server", "_digest": "x", "venvs": [{"index_url": f"https://u:{CANARY}@pypi.example.com"}]}
    remembered.remember(str(state), params)
    assert unchanged() == {} and not Path(remembered.path_of(str(state), "nginx_server")).exists()
