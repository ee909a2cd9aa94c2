"""A venv appears whole or not at all, and what was there before stays."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest
from ansible_collections.bulwark.flask.plugins.modules import locked_venv

# An interpreter that makes a venv of itself, and whose pip does what FAIL says.
PYTHON = r"""#!/bin/sh
echo "$*" >> {log}
case "$*" in
    *version_info*) echo 3.13 ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *"pip install"*) env | grep '^PIP_' | sort > {log}.environment; [ ! -e {fail} ] || {{ cat {fail} >&2; exit 1; }} ;;
esac
"""
UNREACHABLE = """\
WARNING: Retrying (Retry(total=2)) after 'NewConnectionError(': [Errno 111] Connection refused')': /simple/acme/
WARNING: Retrying (Retry(total=1)) after 'NewConnectionError(': [Errno 111] Connection refused')': /simple/acme/
ERROR: Could not find a version that satisfies the requirement acme==5.9.0 (from versions: none)
ERROR: No matching distribution found for acme==5.9.0
"""
HASHES = """\
ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package versions, please ...
    acme==5.9.0 from https://me:s3cret@mirror.example.com/acme-5.9.0.whl (from -r /tmp/x.txt (line 1)):
        Expected sha256 aaaa
             Got        bbbb
"""

Run = Callable[..., tuple[bool, Path]]


def command(argv: list[str], environ_update: dict[str, str] | None = None) -> tuple[int, str, str]:
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **(environ_update or {})}, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def run(tmp_path: Path) -> Run:
    python = tmp_path / "python3"
    python.write_text(PYTHON.format(log=tmp_path / "log", fail=tmp_path / "fail"))
    python.chmod(0o755)

    def once(requirements: str = "a==1 --hash=sha256:00", check_mode: bool = False, **options: Any) -> tuple[bool, Path]:
        params = {"path": str(tmp_path / "opt"), "requirements": requirements, "python": str(python),
                  "ca_bundle": "/ca.pem", "index_url": "", **options}
        module: Any = SimpleNamespace(params=params, check_mode=check_mode, run_command=command)
        return locked_venv.present(module, tmp_path / "opt")

    return once


def current(tmp_path: Path) -> Path:
    return (tmp_path / "opt" / "current").resolve()


def test_a_venv_is_made_once(run: Run, tmp_path: Path) -> None:
    changed, venv = run()
    assert changed and current(tmp_path) == venv
    (tmp_path / "log").unlink()
    assert run() == (False, venv)
    assert "pip" not in (tmp_path / "log").read_text()


def test_everything_is_hash_checked_and_nothing_compiled_from_source(run: Run, tmp_path: Path) -> None:
    run(index_url="https://mirror.example.com/simple")
    install = next(line for line in (tmp_path / "log").read_text().splitlines() if "pip install" in line)
    assert "--require-hashes" in install and "--only-binary=:all:" in install
    assert (tmp_path / "log").read_text().splitlines()[-1] == "-m pip check"
    environment = (tmp_path / "log.environment").read_text()
    assert {"PIP_CERT=/ca.pem", "PIP_NO_CACHE_DIR=1", "PIP_INDEX_URL=https://mirror.example.com/simple",
            "PIP_CONFIG_FILE=/dev/null"} <= set(environment.splitlines())
    assert "mirror" not in install, "the index would be in the process list"


def test_another_lock_makes_another_venv_and_keeps_one(run: Run, tmp_path: Path) -> None:
    venvs = [run(f"a=={number}")[1] for number in (1, 2, 3)]
    assert current(tmp_path) == venvs[2]
    assert [venv.exists() for venv in venvs] == [False, True, True]


def test_going_back_to_the_one_before_needs_no_download(run: Run, tmp_path: Path) -> None:
    first = run("a==1")[1]
    run("a==2")
    (tmp_path / "log").unlink()
    assert run("a==1") == (True, first)
    assert "pip" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("said", [UNREACHABLE, HASHES])
def test_a_failed_build_leaves_what_was_there(run: Run, tmp_path: Path, said: str) -> None:
    before = run("a==1")[1]
    (tmp_path / "fail").write_text(said)
    with pytest.raises(locked_venv.BuildError):
        run("a==2")
    assert current(tmp_path) == before
    assert locked_venv.venvs(tmp_path / "opt") == [before]


def test_an_interrupted_build_is_done_again(run: Run, tmp_path: Path) -> None:
    venv = run()[1]
    (venv / ".complete").unlink()
    (venv / "half").touch()
    assert run() == (True, venv)
    assert not (venv / "half").exists()


def test_a_venv_whose_interpreter_is_gone_is_made_again(run: Run, tmp_path: Path) -> None:
    venv = run()[1]
    (venv / "bin/python").unlink()
    (venv / "bin/python").symlink_to("/usr/bin/python3.0")
    assert run() == (True, venv)


def test_check_mode_predicts_on_a_host_without_anything(run: Run, tmp_path: Path) -> None:
    changed, _ = run(check_mode=True, python=str(tmp_path / "nowhere"))
    assert changed and not (tmp_path / "opt").exists()


def test_a_missing_interpreter_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(locked_venv.BuildError, match=r"nowhere is no Python"):
        run(python=str(tmp_path / "nowhere"))


def test_removing_leaves_what_others_put_there(run: Run, tmp_path: Path) -> None:
    run()
    (tmp_path / "opt/notes.txt").touch()
    locked_venv.remove(tmp_path / "opt")
    assert [found.name for found in (tmp_path / "opt").iterdir()] == ["notes.txt"]
    (tmp_path / "opt/notes.txt").unlink()
    locked_venv.remove(tmp_path / "opt")
    assert not (tmp_path / "opt").exists()


@pytest.mark.parametrize(("said", "meant"), [
    (UNREACHABLE, "cannot be reached"),
    (HASHES, "not what the lock file promises"),
    ("SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] failed')\nERROR: No matching distribution found", "does not trust"),
    ("ERROR: Could not find a suitable TLS CA certificate bundle, invalid path: /x", "is not on the host"),
    ("The virtual environment was not created successfully because ensurepip is not available.", "python3-venv"),
    ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
    ("ERROR: No matching distribution found for acme==5.9.0", "no such version"),
])
def test_errors_say_what_they_mean(said: str, meant: str) -> None:
    assert meant in locked_venv.explain(said).splitlines()[0]


def test_errors_are_short_name_the_package_and_hide_passwords() -> None:
    told = locked_venv.explain(UNREACHABLE)
    assert "acme==5.9.0" in told and told.count("Retrying") == 1
    told = locked_venv.explain(HASHES)
    assert "acme==5.9.0 from https://***@mirror" in told and "s3cret" not in told
    assert len(locked_venv.explain("line\n" * 500).splitlines()) <= 10
