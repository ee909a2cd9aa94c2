"""Packages and directories that can go, and what others use."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils import host_removal

# A host: nginx was asked for and brought nginx-common; others use libssl, and since then a module of nginx.
LISTING = """base\tinstalled\t, libc\t
libc\tinstalled\t, \t
nginx\tinstalled\t, nginx-common (= 1), libssl (>= 3)\thttpd, httpd-cgi
nginx-common\tinstalled\t, libc\t
libssl\tinstalled\t, libc\t
cron\tinstalled\t, cron-daemon | systemd-cron\t
cron-daemon\tinstalled\t, libc\t
gone\tconfig-files\t, \t
"""


def gone(listing: str, *asked: str) -> set[str]:
    return host_removal.removable(asked, host_removal.parse_packages(listing), ["base", "libc"], ["nginx-common", "libssl", "cron-daemon", "libc"])


def test_what_came_with_a_package_goes_with_it() -> None:
    assert gone(LISTING, "nginx") == {"nginx", "nginx-common", "libssl"}


def test_what_was_there_before_stays() -> None:
    assert gone(LISTING, "nginx", "base", "libc") == {"nginx", "nginx-common", "libssl"}


def test_what_others_need_stays_with_what_it_needs() -> None:
    assert gone(LISTING + "other\tinstalled\t, libssl\t\n", "nginx") == {"nginx", "nginx-common"}
    assert gone(LISTING + "site\tinstalled\t, apache2 | httpd\t\n", "nginx") == set()


def test_an_alternative_that_stays_satisfies_a_need() -> None:
    listing = LISTING + "apache2\tinstalled\t, \thttpd\nsite\tinstalled\t, httpd\t\n"
    assert gone(listing, "nginx") == {"nginx", "nginx-common", "libssl"}


def test_what_is_not_installed_does_not_count() -> None:
    assert gone(LISTING, "gone", "never") == set()


def test_files_of_others_use_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf.d").mkdir()
    for name in ("ours.conf", "theirs.conf"):
        (tmp_path / "conf.d" / name).write_text("")
    monkeypatch.setitem(host_removal.USED_IN, "nginx", (str(tmp_path),))
    assert host_removal.users_of("nginx", lambda path: path.endswith("ours.conf")) == [str(tmp_path / "conf.d" / "theirs.conf")]
    assert host_removal.users_of("tree", lambda path: False) == []


def test_a_directory_goes_when_no_file_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "empty" / "a" / "b").mkdir(parents=True)
    (tmp_path / "used" / "a").mkdir(parents=True)
    (tmp_path / "used" / "file").write_text("")
    assert host_removal.prune(str(tmp_path / "empty")) and not host_removal.prune(str(tmp_path / "used"))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "used"]
