"""The limit of disk space of an account: which one is set, and what refuses it. molecule/quota proves it on a kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import disk_limit
from ansible_collections.bulwark.flask.plugins.module_utils.host_part.disk_limit import Amount, DiskLimit, Wanted, wanted_limit

GIB = 2**30
SIZE, USED, FREE = Amount(20 * GIB, 1_000_000), Amount(2 * GIB, 1000), Amount(10 * GIB, 500_000)


def test_a_given_limit_is_in_mib_with_64_inodes_for_each() -> None:
    assert wanted_limit(500, SIZE, USED, FREE, {}) == (500 * 2**20, 32_000)


def test_a_computed_limit_leaves_a_fifth_of_what_is_free() -> None:
    limit = wanted_limit(disk_limit.COMPUTED, SIZE, USED, FREE, {})
    assert limit == (10 * GIB, 401_000)
    assert limit.space - USED.space < FREE.space and limit.inodes - USED.inodes < FREE.inodes


def test_a_computed_limit_is_never_below_what_is_in_use() -> None:
    assert wanted_limit(disk_limit.COMPUTED, SIZE, USED, Amount(0, 0), {}) == USED


def test_a_computed_limit_stays_until_the_file_system_has_another_size() -> None:
    record = {"size": list(SIZE), "limit": [7 * GIB, 9]}
    assert wanted_limit(disk_limit.COMPUTED, SIZE, USED, FREE, record) == (7 * GIB, 9)
    assert wanted_limit(disk_limit.COMPUTED, Amount(21 * GIB, 1), USED, FREE, record) == (10 * GIB, 401_000)


@pytest.mark.parametrize(("name", "text", "is_named"), [
    ("projid", "shop:990\n", True), ("projid", "# shop:990\nother:99\n", False), ("projects", "990:/srv/films\n", True),
    ("projects", "99:/srv/990\n", False), ("projid", "990:5\n\n", False),
])
def test_a_number_of_an_operator_is_not_free(tmp_path: Path, name: str, text: str, is_named: bool) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / name).write_text(text)
    assert disk_limit.registered(990, str(tmp_path)) == (f"/etc/{name}" if is_named else "")


def test_a_limit_that_cannot_be_kept_is_refused_with_its_variable_and_the_remedy() -> None:
    """/proc never has quotas."""
    [problem] = DiskLimit(Wanted("root", ["/proc/shop"], 500, "app_release_disk_max_mb"), None).refusals()
    assert problem.startswith("app_release_disk_max_mb is 500, and the file system of /proc/shop does not enforce project quotas.")
    assert "tune2fs" in problem and "prjquota" in problem


@pytest.mark.parametrize("max_mb", [disk_limit.COMPUTED, disk_limit.NONE])
def test_without_project_quotas_nothing_is_done_unless_a_limit_is_given(max_mb: int) -> None:
    limit = DiskLimit(Wanted("root", ["/proc/shop"], max_mb, "app_release_disk_max_mb"), None)
    assert (limit.refusals(), limit.ensure(False), limit.warnings, limit.record) == ([], [], [], {})
