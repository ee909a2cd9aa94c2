#!/usr/bin/env python3
"""Create build/release/shop: a copy of the example with commands, a slow page and a version, for faults."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
COPY = ROOT / "build" / "release" / "shop"

MORE = {
    "shop/health.py": '''

@blueprint.get("/version")
def version() -> str:
    """Which state of the source this is."""
    return VERSION


@blueprint.get("/slow")
def slow() -> str:
    """Take three seconds."""
    time.sleep(3)
    return VERSION
''',
    "shop/before.py": '''"""Comes before the switch: notes its arguments where the application may write."""
import os
import sys
from pathlib import Path

from shop import create_app

create_app()
with open(Path(os.environ["STATE_DIRECTORY"]) / "before", "a") as file:
    file.write(repr(sys.argv[1:]) + "\\n")
''',
    "shop/after.py": '''"""Comes after the switch."""
''',
}
# One of the files that nginx serves. It has the version too.
FILE = "/static/version.txt"


def make(version: str, *changes: tuple[str, str, str]) -> None:
    """Make the copy anew; each change is a file, what to replace in it (all when empty) and by what."""
    if COPY.exists():
        shutil.rmtree(COPY)
    shutil.copytree(ROOT / "examples" / "shop", COPY, ignore=shutil.ignore_patterns("__pycache__", ".venv", "instance"))
    # Of a work tree, what its repository ignores is left out: it needs one of its own.
    subprocess.run(["git", "init", "--quiet", str(COPY)], check=True)
    for name, text in MORE.items():
        with open(COPY / name, "a", encoding="utf-8") as file:
            file.write(text)
    health = COPY / "shop" / "health.py"
    health.write_text(health.read_text().replace("import sqlite3\n", f"import sqlite3\nimport time\n\nVERSION = {version!r}\n", 1))
    (COPY / f"shop{FILE}").write_text(version)
    for name, old, new in changes:
        text = (COPY / name).read_text()
        assert not old or old in text, f"{name} has no {old!r}"
        (COPY / name).write_text(text.replace(old, new) if old else new)


if __name__ == "__main__":
    make("first")
