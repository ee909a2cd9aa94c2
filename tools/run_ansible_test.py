#!/usr/bin/env python3
"""Run ansible-test or galaxy-importer on the collection as it is built, from a clone of any name and place.

    run_ansible_test.py sanity units galaxy     each in this order; all run, even when one fails
    run_ansible_test.py sanity [OPTION...]      the sanity tests, as Galaxy and Automation Hub run them
    run_ansible_test.py units [OPTION...]       the unit tests of the plugins, modules without the controller's part of Ansible
    run_ansible_test.py galaxy                  galaxy-importer, which decides what Galaxy takes

OPTION is one of ansible-test, such as `--test pep8` or the path of a file in the collection. A tool that passes prints
one line, a tool that fails all its output. The exit status is 1 when one fails.

ansible-test requires a path that ends in ansible_collections/bulwark/flask and installs its own pinned
tools from PyPI into virtual environments. Both are below build/ansible-test, so that the second run is quick.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "ansible-test"
TREE = BUILD / "tree" / "ansible_collections" / "bulwark" / "flask"
# Directories that ansible-test reads and the artefact does not contain.
TESTS = {"sanity": "tests/sanity", "units": "tests/unit"}
# ansible-test forks a process for each test, so a session shares nothing: it would start an environment with Flask for each
# test of the inspector, which does not run in Ansible.
DEFAULTS = {"sanity": [], "units": ["tests/unit/plugins/", "--exclude", "tests/unit/plugins/module_utils/preflight/"]}
NAMES = {"sanity": "ansible-test sanity", "units": "ansible-test units", "galaxy": "galaxy-importer"}
# ansible-test bootstraps pip with a script that it downloads, the only file it does not take from PyPI.
# Python's own copy of pip does the same.
BOOTSTRAP = """\
import ensurepip, os, subprocess, sys
environment = {name: value for name, value in os.environ.items() if name != "GET_PIP"}
ensurepip.bootstrap()  # switches pip's configuration off in os.environ
options = [option for option in sys.argv[1:] if option not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *options], env=environment).returncode)
"""


def remove(folder: Path) -> None:
    """Remove a directory of an earlier run."""
    if folder.exists():
        shutil.rmtree(folder)


@functools.cache
def build() -> Path:
    """Build the collection; return the artefact."""
    remove(BUILD / "artefact")
    subprocess.run(["ansible-galaxy", "collection", "build", "--output-path", str(BUILD / "artefact"), str(ROOT)],
                   check=True, stdout=subprocess.DEVNULL)
    return next((BUILD / "artefact").glob("*.tar.gz"))


def import_as_galaxy() -> subprocess.CompletedProcess[str]:
    """Run galaxy-importer on the artefact. A warning is a failure, because Galaxy shows it on the collection's page."""
    result = subprocess.run([sys.executable, "-m", "galaxy_importer.main", str(build())], cwd=BUILD, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    complaints = [line for line in result.stdout.splitlines() if line.startswith(("ERROR", "WARNING"))]
    result.returncode = result.returncode or int(bool(complaints))
    return result


def unpack(tests: str) -> None:
    """Build the collection, unpack it where ansible-test requires it, and copy a directory of tests into it."""
    remove(TREE)
    TREE.mkdir(parents=True)
    shutil.unpack_archive(build(), TREE)  # not tarfile's, whose filter Debian 12's Python does not know
    shutil.copytree(ROOT / tests, TREE / tests, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
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


def ansible_test(kind: str, options: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the sanity or the unit tests with this Python."""
    home = BUILD / "home"
    unpack(TESTS[kind])
    prepare_home(home)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"HOME": str(home), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONDONTWRITEBYTECODE": ""}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return subprocess.run(["ansible-test", kind, "--color=no", "--python", python, *(options or DEFAULTS[kind])], cwd=TREE, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def run(kind: str, options: list[str]) -> bool:
    """Run one tool and print its result; return whether it passed."""
    start = time.monotonic()
    result = import_as_galaxy() if kind == "galaxy" else ansible_test(kind, options)
    name = NAMES[kind]
    if result.returncode:
        print(f"{name:22} FAILED  {time.monotonic() - start:3.0f} s\n{result.stdout}", flush=True)
    else:
        print(f"{name:22} passed  {time.monotonic() - start:3.0f} s", flush=True)
    return result.returncode == 0


def main(arguments: list[str]) -> int:
    """Entry point."""
    kinds = list(itertools.takewhile(NAMES.__contains__, arguments))
    options = arguments[len(kinds):]
    if not kinds or options and (len(kinds) > 1 or kinds == ["galaxy"]):
        print(__doc__, file=sys.stderr)
        return 2
    return int(not all([run(kind, options) for kind in kinds]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
