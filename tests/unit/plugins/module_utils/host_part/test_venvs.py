"""A venv is installed completely or not at all, and the previous one stays."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Problem
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import venvs

# An interpreter whose venvs contain a copy of it and the program `tool`; its pip fails when the file `fail` exists.
PYTHON = r"""#!/bin/sh
echo "$0 $*" >> {log}
case "$*" in
    *version_info*) echo 3.13 ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp {tool} "$3/bin/tool" ;;
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


def command(argv: list[str], environ_update: dict[str, str] | None = None, handle_exceptions: bool = True) -> tuple[int, str, str]:
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **(environ_update or {})}, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def run(tmp_path: Path) -> Run:
    python = tmp_path / "python3"
    for path, text in ((tmp_path / "python3.13", PYTHON.format(log=tmp_path / "log", fail=tmp_path / "fail", tool=tmp_path / "tool")),
                       (tmp_path / "tool", "#!/bin/sh\necho tool 1.2\n")):
        path.write_text(text)
        path.chmod(0o755)
    python.symlink_to("python3.13")

    def once(requirements: str = "a==1 --hash=sha256:00", check_mode: bool = False, **options: Any) -> tuple[bool, Path]:
        params = {"path": str(tmp_path / "opt"), "requirements": requirements, "python": str(python),
                  "ca_bundle": "/ca.pem", "index_url": "", "program": "tool", **options}
        module: Any = SimpleNamespace(check_mode=check_mode, run_command=command)
        return venvs.present(module, params)

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
    assert (tmp_path / "log").read_text().splitlines()[-1].endswith("bin/python -m pip check")
    environment = (tmp_path / "log.environment").read_text()
    assert {"PIP_CERT=/ca.pem", "PIP_NO_CACHE_DIR=1", "PIP_INDEX_URL=https://mirror.example.com/simple",
            "PIP_CONFIG_FILE=/dev/null"} <= set(environment.splitlines())
    assert "mirror" not in install, "the index would be in the process list"


def test_another_lock_makes_another_venv_and_keeps_one(run: Run, tmp_path: Path) -> None:
    venvs = [run(f"a=={number}")[1] for number in (1, 2, 3)]
    assert current(tmp_path) == venvs[2]
    assert [venv.exists() for venv in venvs] == [False, True, True]


def test_a_return_to_the_previous_venv_needs_no_download(run: Run, tmp_path: Path) -> None:
    first = run("a==1")[1]
    run("a==2")
    (tmp_path / "log").unlink()
    assert run("a==1") == (True, first)
    assert "pip" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("output", [UNREACHABLE, HASHES])
def test_a_failed_build_changes_nothing(run: Run, tmp_path: Path, output: str) -> None:
    before = run("a==1")[1]
    (tmp_path / "fail").write_text(output)
    with pytest.raises(venvs.BuildError):
        run("a==2")
    assert current(tmp_path) == before
    assert venvs.venvs(tmp_path / "opt") == [before]


@pytest.mark.parametrize(("room", "full"), [((100000, 9000, 5000), False), ((10, 9000, 5000), True), ((100000, 9000, 0), True), ((100000, 0, 0), False)])
def test_a_full_disk_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: tuple[int, int, int], full: bool) -> None:
    blocks, files, free = room
    monkeypatch.setattr(venvs.os, "statvfs", lambda path: SimpleNamespace(f_bavail=blocks, f_frsize=4096, f_files=files, f_favail=free))
    (tmp_path / "fail").write_text("Error: Command 'python -m ensurepip' returned non-zero exit status 1.\n")
    with pytest.raises(venvs.BuildError) as refused:
        run()
    assert ("The disk is full." in str(refused.value)) is full
    assert not list((tmp_path / "opt").glob("[0-9a-f]*")), "what was made until then stays"


def test_an_interrupted_build_is_done_again(run: Run, tmp_path: Path) -> None:
    venv = run()[1]
    (venv / ".complete").unlink()
    (venv / "half").touch()
    assert run() == (True, venv)
    assert not (venv / "half").exists()


def test_a_venv_names_the_versioned_interpreter(run: Run, tmp_path: Path) -> None:
    _, venv = run()
    assert f"{tmp_path}/python3.13 -m venv {venv}" in (tmp_path / "log").read_text().splitlines()


def test_a_new_interpreter_means_a_new_venv(run: Run, tmp_path: Path) -> None:
    _, old = run()
    (tmp_path / "python3").unlink()
    (tmp_path / "python3.14").write_text((tmp_path / "python3.13").read_text())
    (tmp_path / "python3.14").chmod(0o755)
    (tmp_path / "python3").symlink_to("python3.14")
    changed, new = run()
    assert changed and new != old and current(tmp_path) == new


def test_a_venv_is_on_disk_before_it_is_marked_complete(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sync").write_text(f'#!/bin/sh\n[ ! -e "$2/.complete" ] && [ -e "$2/bin/tool" ] && ! [ -e {tmp_path}/full ]\n')
    (tmp_path / "bin/sync").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "full").touch()
    with pytest.raises(venvs.BuildError):
        run()
    assert venvs.venvs(tmp_path / "opt") == []
    (tmp_path / "full").unlink()
    assert run()[0]


def test_an_empty_program_is_installed_again(run: Run, tmp_path: Path) -> None:
    _, venv = run()
    (venv / "bin/tool").write_text("")
    assert run() == (True, venv)
    assert (venv / "bin/tool").read_text()


@pytest.mark.parametrize(("program", "lock"), [("", "tool==1.2"), ("#!/bin/sh\nexit 1\n", "tool==1.2"), ("#!/bin/sh\necho tool 1.2\n", "tool==1.3"),
                                               ("#!/bin/sh\n", "other==1")])
def test_a_program_that_does_not_print_its_version_is_not_linked(run: Run, tmp_path: Path, program: str, lock: str) -> None:
    before = run()[1]
    (tmp_path / "tool").write_text(program)
    with pytest.raises(venvs.BuildError, match="tool --version does not print its version"):
        run(lock)
    assert current(tmp_path) == before


def test_a_venv_whose_interpreter_is_gone_is_made_again(run: Run, tmp_path: Path) -> None:
    venv = run()[1]
    (venv / "bin/python").unlink()
    (venv / "bin/python").symlink_to("/usr/bin/python3.0")
    assert run() == (True, venv)


def test_check_mode_predicts_on_a_host_without_anything(run: Run, tmp_path: Path) -> None:
    changed, _ = run(check_mode=True, python=str(tmp_path / "nowhere"))
    assert changed and not (tmp_path / "opt").exists()


def test_a_missing_interpreter_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(venvs.BuildError, match=r"nowhere is not a working Python"):
        run(python=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(("output", "meaning"), [
    (UNREACHABLE, "cannot reach"),
    (HASHES, "does not match its hash"),
    ("SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] failed')\nERROR: No matching distribution found", "does not trust"),
    ("ERROR: Could not find a suitable TLS CA certificate bundle, invalid path: /x", "does not exist on the host"),
    ("The virtual environment was not created successfully because ensurepip is not available.", "python3-venv"),
    ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
    ("ERROR: No matching distribution found for acme==5.9.0", "no such version"),
])
def test_each_failure_of_pip_has_a_cause(output: str, meaning: str) -> None:
    assert meaning in venvs.explain(output).splitlines()[0]


def test_errors_are_short_name_the_package_and_hide_passwords() -> None:
    message = venvs.explain(UNREACHABLE)
    assert "acme==5.9.0" in message and message.count("Retrying") == 1
    message = venvs.explain(HASHES)
    assert "acme==5.9.0 from https://***@mirror" in message and "s3cret" not in message
    assert len(venvs.explain("line\n" * 500).splitlines()) <= 10


def test_a_run_that_waits_for_another_ends_and_names_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fs.locked.__wrapped__, "__defaults__", (0, False))
    (tmp_path / "opt").mkdir()
    options = {"path": str(tmp_path / "opt"), "requirements": "a==1", "python": str(tmp_path / "python3"), "ca_bundle": "", "index_url": "",
               "program": "tool"}
    with fs.locked(tmp_path / "opt/.lock"), pytest.raises(Problem, match=rf"Could not install .*opt: process {os.getpid()} .* holds .*opt/.lock"):
        venvs.ensure(SimpleNamespace(check_mode=False, run_command=command), options)


def test_a_download_without_an_end_is_given_up(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venvs, "STEP_SECONDS", 1)
    python = tmp_path / "python3.13"
    python.write_text(python.read_text().replace('case "$*" in', 'case "$*" in\n    *"pip install"*) sleep 60 ;;', 1))
    with pytest.raises(venvs.BuildError, match="`-m pip install` did not end within 1 seconds"):
        run()
    assert venvs.venvs(tmp_path / "opt") == []
