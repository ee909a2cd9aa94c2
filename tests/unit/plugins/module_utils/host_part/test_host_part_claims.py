"""Which files on a host may be replaced."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Entry, make_plan
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import claims


@pytest.mark.parametrize(("present", "entry", "managed", "refused"), [
    ("by hand\n", {}, False, True),
    ("new\n", {}, False, False),  # the same text: nothing is lost
    ("by hand\n", {"backup": True}, False, False),
    ("by hand\n", {}, True, False),
    ("# Ansible managed\n# Owned by the role nginx_site.\nold\n", {}, False, False),
])
def test_a_file_of_others_is_refused(tmp_path: Path, present: str, entry: dict[str, bool], managed: bool, refused: bool) -> None:
    path = tmp_path / "a.conf"
    path.write_text(present)
    changes = make_plan([Entry(str(path), "file", data=b"new\n", **entry)])
    assert claims.replaced(changes, [str(path)] if managed else []) == ([str(path)] if refused else [])


def test_an_unmodified_file_of_a_package_is_told_from_a_changed_one(tmp_path: Path) -> None:
    path, status = tmp_path / "default", tmp_path / "status"
    path.write_text("welcome\n")
    status.write_text(f"Conffiles:\n {path} cc8d6a1a0d7a8a0e9b3d6c8ff2f9c8aa\n")
    assert not claims.as_packaged(str(path), str(status))
    status.write_text(f"Conffiles:\n {path} {hashlib.md5(path.read_bytes()).hexdigest()}\n")
    (tmp_path / "link").symlink_to(path)
    assert claims.as_packaged(str(tmp_path / "link"), str(status))
