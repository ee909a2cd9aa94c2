"""Accounts and paths of sysusers.d and tmpfiles.d that a host lacks, and accounts of persons."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import accounts

ME, GROUP = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name


def test_users_groups_and_memberships_that_are_missing_are_named() -> None:
    text = f'# a comment\nu {ME} - "Here" /\nu nobody-here - "Not here" /\ng no-group -\nm {ME} {GROUP}\nm {ME} no-group\n'
    assert accounts.lacking(text) == ["user nobody-here", "group no-group", f"user {ME} in group no-group"]


@pytest.mark.parametrize(("entry", "shadow", "sign"), [
    (("x", 1000, "/usr/sbin/nologin"), "!", "its number is 1000"),
    (("x", 200, "/bin/bash"), "!", "its shell is /bin/bash"),
    (("x", 200, "/usr/sbin/nologin"), "$y$hash", "it has a password"),
    (("x", 200, "/usr/sbin/nologin"), "", "it has a password"),
])
def test_an_account_that_can_log_in_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: tuple[str, int, str],
                                               shadow: str, sign: str) -> None:
    name, uid, shell = entry
    monkeypatch.setattr(accounts.pwd, "getpwnam", lambda _name: pwd.struct_passwd((name, "x", uid, uid, "", "/", shell)))
    (tmp_path / "shadow").write_text(f"{name}:{shadow}:1::::::\n")
    [problem] = accounts.taken("u x - \"X\" /\n", shadow=str(tmp_path / "shadow"))
    assert sign in problem and "deluser x" in problem


def test_an_account_of_a_service_is_accepted_when_an_earlier_run_has_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts.pwd, "getpwnam", lambda name: pwd.struct_passwd((name, "x", 990, 990, "", "/", "/usr/sbin/nologin")))
    (tmp_path / "shadow").write_text("x:!*:1::::::\n")
    assert accounts.taken("u x - \"X\" /\n", ["x"], shadow=str(tmp_path / "shadow")) == []
    [problem] = accounts.taken("u x - \"X\" /\n", [], ["x"], str(tmp_path / "shadow"))
    assert problem.startswith("the account x exists already and another program may use it")


def test_a_group_of_another_program_is_refused_and_one_left_of_our_account_is_not() -> None:
    [problem] = accounts.taken("u adm - \"X\" /\n")  # a group of Debian without an account
    assert problem.startswith("the group adm exists already")
    assert accounts.taken("u adm - \"X\" /\n", [], ["adm"]) == []
    assert accounts.groups("u x - - /\nm x adm\n") == ["adm"]


def test_a_deleted_account_gets_its_number_back() -> None:
    assert accounts.with_numbers('u a - "A B" /x\nu b - "B"\nm a b\n', {"a": 990}) == 'u a 990 "A B" /x\nu b - "B"\nm a b\n'


def test_paths_that_are_missing_or_have_another_owner_or_mode_are_named(tmp_path: Path) -> None:
    (tmp_path / "right").mkdir(mode=0o750)
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "file").write_text("")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("abc\n")
    (tmp_path / "abc.shop").mkdir(mode=0o700)
    text = (f"d /right 0750 {ME} {GROUP} -\nd /open 0750 {ME} {GROUP} -\nd /none 0750 - - -\nf /file 0640 {ME} {GROUP} -\n"
            f"f /right 0640 - - -\nL+ /link - - - - there\nL+ /file - - - - there\nd /%m.shop 0700 - - -\nd /%H - - - -\nd /right - no-one - -\n")
    assert accounts.lacking_paths(text, str(tmp_path)) == ["/open", "/none", "/right", "/file", "/right"]
