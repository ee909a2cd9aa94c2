"""Archives with paths outside of the destination are refused."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.source import unpack as unpacking
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.unpack import ArchiveError, unpack


def tar(path: Path, *members: dict[str, Any]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            info, content = tarfile.TarInfo(), member.pop("content", b"")
            for key, value in member.items():
                setattr(info, key, value)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def out(tmp_path: Path) -> Path:
    folder = tmp_path / "inner" / "out"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    "members",
    [
        [{"name": "../evil"}],
        [{"name": "/etc/evil"}],
        [{"name": "a/../../evil"}],
        [{"name": "link", "type": tarfile.SYMTYPE, "linkname": "/etc"}],
        [{"name": "link", "type": tarfile.SYMTYPE, "linkname": "../.."}],
        [{"name": "hard", "type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}],
        [{"name": "hard", "type": tarfile.LNKTYPE, "linkname": "../evil"}],
        [{"name": "device", "type": tarfile.CHRTYPE}],
        [{"name": "fifo", "type": tarfile.FIFOTYPE}],
        [{"name": "d", "type": tarfile.DIRTYPE}, {"name": "l", "type": tarfile.SYMTYPE, "linkname": "d"}, {"name": "l/x"}],
        # Each single link stays inside; together they do not.
        [
            {"name": "y", "type": tarfile.SYMTYPE, "linkname": "."},
            {"name": "d", "type": tarfile.DIRTYPE},
            {"name": "x", "type": tarfile.SYMTYPE, "linkname": "y/../out2"},
        ],
    ],
)
def test_a_hostile_tar_is_refused_and_writes_nothing_outside(tmp_path: Path, members: list[dict[str, Any]]) -> None:
    archive = tar(tmp_path / "a.tar.gz", *[dict(member) for member in members])
    folder = out(tmp_path)
    with pytest.raises(ArchiveError, match="not safe to unpack"):
        unpack(archive, folder, False)
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    assert not (tmp_path / "evil").exists()


def test_modes_and_setuid_bits_are_not_taken_over(tmp_path: Path) -> None:
    folder = out(tmp_path)
    unpack(tar(tmp_path / "a.tar", {"name": "x", "mode": 0o6777, "uid": 5}, {"name": "y", "mode": 0o666}), folder, False)
    assert stat.S_IMODE((folder / "x").stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "y").stat().st_mode) == 0o644


def test_a_hard_link_becomes_a_copy(tmp_path: Path) -> None:
    folder = out(tmp_path)
    unpack(
        tar(tmp_path / "a.tar", {"name": "x", "content": b"1"}, {"name": "y", "type": tarfile.LNKTYPE, "linkname": "x"}),
        folder,
        False,
    )
    assert (folder / "y").read_bytes() == b"1"
    assert (folder / "x").stat().st_nlink == 1


@pytest.mark.parametrize(("strip", "expected"), [(True, "setup.py"), (False, "shop-1.0/setup.py")])
def test_the_single_top_directory_of_an_archive_is_dropped_on_request(tmp_path: Path, strip: bool, expected: str) -> None:
    folder = out(tmp_path)
    unpack(tar(tmp_path / "a.tar", {"name": "shop-1.0/setup.py"}, {"name": "shop-1.0/shop/x.py"}), folder, strip)
    assert (folder / expected).is_file()


def test_two_top_directories_stay(tmp_path: Path) -> None:
    folder = out(tmp_path)
    unpack(tar(tmp_path / "a.tar", {"name": "a/x"}, {"name": "b/x"}), folder, True)
    assert (folder / "a/x").is_file()


def test_a_zip_is_unpacked_under_the_same_rules(tmp_path: Path) -> None:
    good, bad, link = tmp_path / "good.zip", tmp_path / "bad.zip", tmp_path / "link.zip"
    with zipfile.ZipFile(good, "w") as archive:
        archive.writestr("top/a.py", "1")
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("../evil", "1")
    with zipfile.ZipFile(link, "w") as archive:
        item = zipfile.ZipInfo("l")
        item.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(item, "/etc/passwd")
    folder = out(tmp_path)
    unpack(good, folder, True)
    assert (folder / "a.py").read_text() == "1"
    for archive_path in (bad, link):
        with pytest.raises(ArchiveError, match="not safe to unpack"):
            unpack(archive_path, folder, False)
    assert not (tmp_path / "inner/evil").exists()


def test_something_else_than_an_archive_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("<html>")
    with pytest.raises(ArchiveError, match="not a tar or zip archive"):
        unpack(tmp_path / "a", out(tmp_path), True)


def test_an_archive_that_unpacks_to_more_than_the_limit_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "GIB", 2**20)
    monkeypatch.setattr(unpacking, "MOST_GIB", 10)
    folder, content = out(tmp_path), bytes(6 * 2**20)
    link = {"type": tarfile.LNKTYPE}
    copied = tar(tmp_path / "a.tar.gz", {"name": "x", "content": content}, {"name": "y", "linkname": "x", **link}, {"name": "z", "linkname": "y", **link})
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", content * 2)
    for path in (copied, tmp_path / "a.zip"):
        assert path.stat().st_size < 2**20
        with pytest.raises(ArchiveError, match="unpacks to more than 10 GiB"):
            unpack(path, folder, False)
    assert list(folder.iterdir()) == []


def test_a_tenth_of_the_free_space_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, archive = out(tmp_path), tar(tmp_path / "a.tar", {"name": "x", "content": bytes(950)})
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda path: unpacking.shutil._ntuple_diskusage(10**6, 10**6, 1000))
    with pytest.raises(ArchiveError, match="the disk has 0.0 GiB free"):
        unpack(archive, folder, False)
    assert list(folder.iterdir()) == []


def test_an_archive_of_very_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_MEMBERS", 2)
    folder = out(tmp_path)
    with pytest.raises(ArchiveError, match="more than 2 files"):
        unpack(tar(tmp_path / "a.tar", {"name": "x"}, {"name": "y"}, {"name": "z"}), folder, False)
    assert list(folder.iterdir()) == []
