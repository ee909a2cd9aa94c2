#!/usr/bin/env python3
"""Run ansible-test or galaxy-importer on the collection as it is built, from a clone of any name and place.

    run_ansible_test.py sanity [OPTIONS]    the sanity tests, as Galaxy and Automation Hub run them
    run_ansible_test.py units [OPTIONS]     the unit tests of the plugins
    run_ansible_test.py galaxy              galaxy-importer, which decides what Galaxy takes

OPTIONS are ansible-test's own, such as `--test pep8` or the path of a file in the collection.
The exit status is that of the tool.

ansible-test wants a path that ends in ansible_collections/bulwark/flask and installs its own pinned
tools from PyPI into virtual environments. Both are below build/ansible-test, so that the second run is quick.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "ansible-test"
TREE = BUILD / "tree" / "ansible_collections" / "bulwark" / "flask"
# Files that ansible-test reads and the artefact does not contain.
TESTS = {"sanity": ["tests/sanity"], "units": ["tests/sanity", "tests/unit", "tests/conftest.py", "pyproject.toml"]}
# ansible-test bootstraps pip with a script that it downloads, the only file it does not take from PyPI.
# Python's own copy of pip does the same.
BOOTSTRAP = """\
import ensurepip, os, subprocess, sys
environment = {name: value for name, value in os.environ.items() if name != "GET_PIP"}
ensurepip.bootstrap()  # switches pip's configuration off in os.environ
options = [option for option in sys.argv[1:] if option not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *options], env=environment).returncode)
"""


def build() -> Path:
    """Build the collection; return the artefact."""
    shutil.rmtree(BUILD / "artefact", ignore_errors=True)
    subprocess.run(["ansible-galaxy", "collection", "build", "--output-path", str(BUILD / "artefact"), str(ROOT)],
                   check=True, stdout=subprocess.DEVNULL)
    return next((BUILD / "artefact").glob("*.tar.gz"))


def import_as_galaxy() -> int:
    """Run galaxy-importer on the artefact. A warning is a failure, because Galaxy shows it on the collection's page."""
    result = subprocess.run([sys.executable, "-m", "galaxy_importer.main", str(build())], cwd=BUILD, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    complaints = [line for line in result.stdout.splitlines() if line.startswith(("ERROR", "WARNING"))]
    print("\n".join(complaints or result.stdout.splitlines()[-1:]))
    return result.returncode or bool(complaints)


def unpack(tests: list[str]) -> None:
    """Build the collection, unpack it where ansible-test requires it, and copy the tests beside it."""
    shutil.rmtree(TREE, ignore_errors=True)
    TREE.mkdir(parents=True)
    with tarfile.open(build()) as artefact:
        artefact.extractall(TREE, filter="data")
    for name in tests:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, TREE / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, TREE / name)
    # A repository of its own: ansible-test tests what git lists, and the one around it ignores build/.
    subprocess.run(["git", "init", "--quiet"], cwd=TREE, check=True)
    subprocess.run(["git", "add", "--all"], cwd=TREE, check=True)


def prepare_home(home: Path) -> None:
    """Make a home directory with the user's settings of pip and the bootstrap script that ansible-test looks for.

    ansible-test passes no PIP_ variable on, so an index or a CA of the user's own is found in these files alone.
    """
    for name in (".config/pip", ".pip", ".cache/pip"):
        link = home / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        if (Path.home() / name).exists():
            link.symlink_to(Path.home() / name)
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    spec = find_spec("ansible_test")
    if spec is None or spec.origin is None:
        sys.exit("run_ansible_test.py: run it with the Python that has ansible-core")
    text = (Path(spec.origin).parent / "_internal" / "python_requirements.py").read_text(encoding="utf-8")
    for version in set(re.findall(r"pip='([0-9.]+)'", text)):
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(BOOTSTRAP, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Entry point."""
    if arguments == ["galaxy"]:
        return import_as_galaxy()
    if not arguments or arguments[0] not in TESTS:
        print(__doc__, file=sys.stderr)
        return 2
    kind, *options = arguments
    unpack(TESTS[kind])
    home = BUILD / "home"
    prepare_home(home)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"HOME": str(home), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONDONTWRITEBYTECODE": ""}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    venv = ["--venv"] if kind == "units" else []
    return subprocess.run(["ansible-test", kind, "--color=no", "--python", python, *venv, *options], cwd=TREE, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
