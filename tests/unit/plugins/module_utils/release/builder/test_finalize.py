"""A sealed release has files of its own."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.bulwark.flask.plugins.module_utils.release.builder import finalize


def test_a_descriptor_from_before_the_seal_does_not_reach_the_sealed_tree(tmp_path: Path) -> None:
    tree = tmp_path / "src"
    (tree / "shop").mkdir(parents=True)
    program = tree / "shop/app.py"
    program.write_text("good")
    program.chmod(0o755)
    (tree / "link").symlink_to("shop/app.py")
    os.link(program, tmp_path / "hard-link")
    os.mkfifo(tree / "pipe")
    with open(program, "r+") as held:
        finalize.copy_afresh(tree)
        finalize.seal(tree, os.getgid())
        held.write("evil")
    (tmp_path / "hard-link").write_text("evil")
    assert program.read_text() == "good" and os.readlink(tree / "link") == "shop/app.py"
    assert program.stat().st_mode & 0o777 == 0o750 and not (tree / "pipe").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
