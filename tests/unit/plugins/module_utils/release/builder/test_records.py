"""Files of a venv against the hashes of their packages."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.records import Records, sha256_of
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError


def package(venv: Path, name: str, *files: str) -> Path:
    """A package as an installer leaves it."""
    site = venv / "lib/python3.13/site-packages"
    info = site / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    lines = []
    for file in files:
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text(f"# {name}")
        lines.append(f"{file},sha256={sha256_of(site / file)},9\n")
    (info / "RECORD").write_text("".join([*lines, f"{name}/__pycache__/a.pyc,,\n", f"{name}-1.dist-info/RECORD,,\n"]))
    return site


def test_a_changed_file_is_refused_by_name(tmp_path: Path) -> None:
    site, records = package(tmp_path, "flask", "flask/app.py", "../../../bin/flask"), Records(tmp_path)
    records.read()
    records.compare()
    (site / "flask/app.py").write_text("# changed")
    (site / "../../../bin/flask").write_text("# changed")
    with pytest.raises(ReleaseError, match=r"bin/flask, lib/python3\.13/site-packages/flask/app\.py\. "):
        records.compare()


def test_a_record_that_a_build_rewrites_does_not_count(tmp_path: Path) -> None:
    site, records = package(tmp_path, "flask", "flask/app.py"), Records(tmp_path)
    records.read()
    (site / "flask/app.py").write_text("# changed")
    (site / "flask-1.dist-info/RECORD").write_text(f"flask/app.py,sha256={sha256_of(site / 'flask/app.py')},9\n")
    with pytest.raises(ReleaseError, match=r"flask/app\.py"):
        records.compare()


def test_packages_that_share_a_file_or_lose_one_are_fine(tmp_path: Path) -> None:
    site, records = package(tmp_path, "one", "tests/__init__.py", "one.py"), Records(tmp_path)
    records.read()
    package(tmp_path, "two", "tests/__init__.py")
    (site / "one.py").unlink()
    records.compare()


def test_links_out_of_the_venv_are_not_read(tmp_path: Path) -> None:
    site, records = package(tmp_path / "venv", "flask", "flask/app.py"), Records(tmp_path / "venv")
    (site / "flask-1.dist-info/RECORD").write_text("../../../../outside,sha256=x,1\nflask/app.py,sha256=x,1\n")
    (tmp_path / "outside").write_text("")
    (site / "flask/app.py").unlink()
    (site / "flask/app.py").symlink_to("/etc/shadow")
    records.read()
    records.compare()
