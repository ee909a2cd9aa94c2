"""Conflicts of an application on a host: objects with its name, and server blocks with its domains."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils import application_conflicts as conflicts
from ansible_collections.bulwark.flask.plugins.module_utils import application_layout as layout


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    for folder in ("etc/nginx/sites-enabled", "srv", "var/lib", "etc/cron.d"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def names(root: Path, *managed: str) -> list[str]:
    return [thing.name for thing in conflicts.unmanaged("noapp", "/srv/noapp", managed, str(root))]


def test_a_host_without_the_name_has_no_conflict(root: Path) -> None:
    (root / "srv/noapp").mkdir()  # empty: nothing is lost
    assert names(root) == []


def test_directories_with_contents_and_files_are_named(root: Path) -> None:
    for folder in ("srv/noapp/current", "var/lib/noapp/data"):
        (root / folder).mkdir(parents=True)
    (root / "etc/cron.d/pip-audit-noapp").touch()
    (root / "etc/nginx/sites-enabled/noapp.conf").symlink_to("/nowhere")
    assert names(root) == ["/srv/noapp", "/var/lib/noapp", "/etc/nginx/sites-enabled/noapp.conf", "/etc/cron.d/pip-audit-noapp"]
    assert names(root, "/srv/noapp", "/var/lib/noapp", "/etc/cron.d/pip-audit-noapp") == ["/etc/nginx/sites-enabled/noapp.conf"]


def test_a_link_in_place_of_a_directory_is_named(root: Path) -> None:
    (root / "srv/noapp").symlink_to("/home")
    assert names(root) == ["/srv/noapp"]


@pytest.mark.parametrize(("uid", "final"), [(990, False), (1000, True)])
def test_an_account_of_a_person_is_never_taken(root: Path, monkeypatch: pytest.MonkeyPatch, uid: int, final: bool) -> None:
    entry = pwd.struct_passwd(("noapp", "x", uid, uid, "", "/home/noapp", "/bin/bash"))
    monkeypatch.setattr(conflicts.pwd, "getpwnam", lambda name: entry if name == "noapp" else pwd.getpwuid(-1))
    [thing] = conflicts.unmanaged("noapp", "/srv/noapp", [], str(root))
    assert (thing.kind, thing.final) == ("account", final)
    lines = conflicts.refusal({"noapp": [thing]})
    assert ("adopt.yml -e app=noapp" in lines[-1]) is not final


def test_a_group_of_another_program_is_never_taken(root: Path) -> None:
    [thing] = conflicts.unmanaged("adm", "/srv/adm", [], str(root))
    assert thing.kind == "group" and thing.final


def test_the_name_is_managed_after_a_run_and_after_a_killed_run(tmp_path: Path) -> None:
    assert not layout.is_ours("noapp", [], str(tmp_path))
    assert layout.is_ours("noapp", ["/etc/sysusers.d/flask-noapp.conf"], str(tmp_path))
    (tmp_path / "app_release-noapp.json").touch()
    assert layout.is_ours("noapp", [], str(tmp_path))


def test_the_name_is_managed_when_the_records_are_lost(tmp_path: Path) -> None:
    accounts = tmp_path / "etc/sysusers.d/flask-noapp.conf"
    accounts.parent.mkdir(parents=True)
    accounts.write_text("u noapp - - /\n")
    assert not layout.is_ours("noapp", [], str(tmp_path), str(tmp_path))
    accounts.write_text("# Owned by the role app_release.\nu noapp - - /\n")
    assert layout.is_ours("noapp", [], str(tmp_path), str(tmp_path))


def test_a_domain_that_others_serve_is_named_with_the_remedy() -> None:
    domains = {"blog": ["blog.example.com"]}
    foreign = conflicts.served_by_others(domains, [("/etc/nginx/sites-enabled/old", "blog.example.com")], [])
    assert len(foreign) == 1 and "remove the name there, or the file" in foreign[0]
    former = "/etc/nginx/sites-enabled/journal.conf"
    renamed = conflicts.served_by_others(domains, [(former, "blog.example.com")], [former])
    assert len(renamed) == 1 and "remove.yml -e app=journal" in renamed[0]
    own = "/etc/nginx/sites-enabled/blog.conf"
    assert conflicts.served_by_others(domains, [(own, "blog.example.com"), (own, "other.example.com")], [own]) == []


def test_applications_of_the_host_are_known_by_their_records(tmp_path: Path) -> None:
    assert layout.deployed(str(tmp_path / "none")) == []
    for name in ("app_release-shop.json", "app_release-my-blog.json", "nginx_site-other.json", "app_release-x.json.new"):
        (tmp_path / name).touch()
    assert layout.deployed(str(tmp_path)) == ["my-blog", "shop"]
