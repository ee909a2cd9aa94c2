"""Virtual environments that hold exactly the packages of a lock file.

A venv is built in a directory of its own, checked with `pip check` and its program, and flushed to disk before the link
`<path>/current` moves to it. The previous venv stays for processes that still use it. The directory is named after the
lock file and the interpreter, so a run without changes reads a few files only; an interrupted build is removed and
repeated. The versioned interpreter, such as /usr/bin/python3.11, is used, so an upgrade of the distribution does not
break a venv. Nothing is compiled from source.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Optional

from ansible_collections.bulwark.flask.plugins.module_utils import clock, fs
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import Problem
from ansible_collections.bulwark.flask.plugins.module_utils.fileset.session import TIMED_OUT

# No step takes longer than this on a host that can finish it. An index that sends a byte now and then has no end.
STEP_SECONDS = 900
# Patterns of pip's output and their meaning; the first match counts.
CAUSES = (
    (r"DO NOT MATCH THE HASHES",
     "A download does not match its hash: the index serves another file, or the lock file was edited by hand."),
    (r"Hashes are required|must have their versions pinned",
     "The lock file is incomplete: every package needs a version and a hash."),
    (r"invalid path|Could not find a suitable TLS CA",
     "The file ca_bundle does not exist on the host."),
    (r"CERTIFICATE_VERIFY_FAILED|confirming the ssl certificate",
     "ca_bundle does not trust the certificate of the index. Behind a proxy it must contain the proxy's CA."),
    (r"No space left", "The disk is full."),
    (r"Name or service not known|name resolution|Connection refused|unreachable|timed out|Timeout|ProxyError|connect to proxy",
     "The host cannot reach the package index."),
    (r"\b(401|403|407) ", "The package index or a proxy refuses access."),
    (r"ensurepip is not available|No module named .?venv", "The Debian package python3-venv is missing."),
    (r"No matching distribution", "The index has no such version for the host's Python and processor."),
)


class BuildError(Exception):
    """The venv could not be built; the text is the error message."""


def without_passwords(text: str) -> str:
    """The text without credentials in URLs."""
    return re.sub(r"://[^/\s@]+@", "://***@", text)


def explain(output: str) -> str:
    """The cause in one sentence, then the relevant lines of the output."""
    cause = clock.behind(output) or next((meaning for pattern, meaning in CAUSES if re.search(pattern, output)), None)
    lines = [line.rstrip() for line in without_passwords(output).splitlines() if line.strip()]
    relevant = [line for line in lines if not re.match(r"\s*(WARNING: Location|\[notice\]|Looking in|  warnings\.warn)", line)]
    # The first retry has the reason; the others repeat it.
    retries = [line for line in relevant if "Retrying" in line]
    relevant = retries[:1] + [line for line in relevant if "Retrying" not in line][-8:]
    return "\n".join(([cause] if cause else []) + [line[:400] for line in relevant])


def python_version(module: Any, python: str) -> Optional[str]:
    """Major and minor version of an interpreter, None if it does not run."""
    if os.path.realpath(python) == os.path.realpath(sys.executable):
        return "{}.{}".format(*sys.version_info)
    if not os.access(python, os.X_OK):
        return None
    rc, out, _unused = module.run_command([python, "-I", "-c", "import sys; print('{}.{}'.format(*sys.version_info))"])
    return out.strip() if rc == 0 else None


def check_program(module: Any, options: dict[str, Any], target: Path) -> None:
    """Raise BuildError unless the program of the venv runs and has the version of the lock file."""
    program = options["program"]
    if program:
        locked = re.search(rf"^{re.escape(program)}==([^\s;\\]+)", options["requirements"], re.MULTILINE)
        try:
            # Without a cache in the home of root.
            rc, out, err = module.run_command([str(target / "bin" / program), "--version"], handle_exceptions=False,
                                              environ_update={"XDG_CACHE_HOME": f"{os.devnull}/none"})
        except OSError as error:
            rc, out, err = 127, "", error.strerror or str(error)
        if rc or (locked[1] if locked else "") not in out + err or not (out + err).strip():
            raise BuildError(f"{program} --version does not print its version{f' {locked[1]}' if locked else ''}:\n{(out + err).strip()[-1000:]}")


def is_full(folder: Path) -> bool:
    """Whether a file system has no room for another file. Some have no limit of inodes."""
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize < 2**20 or bool(room.f_files) and not room.f_favail


def build(module: Any, options: dict[str, Any], python: str, target: Path) -> None:
    """Build, check and flush the venv; a failure removes it."""
    environment = {"PIP_CERT": options["ca_bundle"], "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                   "PIP_NO_CACHE_DIR": "1", "PIP_NO_INPUT": "1", "PIP_RETRIES": "3", "LC_ALL": "C.UTF-8"}
    if options["index_url"]:
        environment["PIP_INDEX_URL"] = options["index_url"]
    own_python = str(target / "bin" / "python")
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as lock:
        lock.write(options["requirements"])
        lock.flush()
        for command in ([python, "-m", "venv", str(target)],
                        [own_python, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:",
                         "--requirement", lock.name],
                        [own_python, "-m", "pip", "check"],
                        # A power cut after the mark below must not find files that are not on disk yet.
                        ["sync", "--file-system", str(target)]):
            rc, out, err = module.run_command(["timeout", "--kill-after=10", str(STEP_SECONDS), *command], environ_update=environment)
            if rc == TIMED_OUT:
                err += f"\n`{' '.join(command[1:4])}` did not end within {STEP_SECONDS} seconds."
            if rc:
                if is_full(target.parent):  # Python's venv module does not print that
                    err += "\nNo space left on device"
                if target.exists():
                    shutil.rmtree(target)
                raise BuildError(explain(f"{out}\n{err}"))
    # A venv without this mark is an interrupted build.
    fs.write(target / ".complete", b"", mode=0o644)


def switch(path: Path, target: Path) -> None:
    """Point `current` at the venv, and remove all others except the previous one."""
    link = path / "current"
    previous = os.readlink(link) if link.is_symlink() else None
    fs.link(link, target.name)
    if previous != target.name:
        for old in venvs(path):
            if old.name not in (target.name, previous):
                shutil.rmtree(old)


def venvs(path: Path) -> list[Path]:
    """The venvs below a path, unfinished ones included."""
    return [folder for folder in path.iterdir() if re.fullmatch(r"[0-9a-f]{12}", folder.name) and not folder.is_symlink()
            and folder.is_dir()] if path.is_dir() else []


def is_complete(target: Path, program: str) -> bool:
    """Whether a venv is finished, its interpreter exists and its program is not empty."""
    script = target / "bin" / program
    return ((target / ".complete").exists() and os.access(target / "bin" / "python", os.X_OK)
            and (not program or script.is_file() and script.stat().st_size > 0))


def present(module: Any, options: dict[str, Any]) -> tuple[bool, Path]:
    """Install the venv; returns whether anything changed, and its path."""
    # The versioned name: after an upgrade of the distribution, python3 is another interpreter.
    path, python, program = Path(options["path"]), os.path.realpath(options["python"]), options["program"]
    version = python_version(module, python)
    if version is None and not module.check_mode:
        raise BuildError(f"{options['python']} is not a working Python interpreter.")
    identity = f"{python}\n{version}\n{options['requirements']}"
    target, link = path / hashlib.sha256(identity.encode()).hexdigest()[:12], path / "current"
    if link.is_symlink() and os.readlink(link) == target.name and is_complete(target, program):
        return False, target
    if not module.check_mode:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)
        # Of two runs at a time, the second one finds the venv finished.
        with fs.locked(path / ".lock"):
            if not is_complete(target, program):
                if target.exists():
                    shutil.rmtree(target)
                build(module, options, python, target)
            check_program(module, options, target)
            switch(path, target)
    return True, target


def ensure(module: Any, options: dict[str, Any]) -> bool:
    """Install a venv, or predict it; returns whether anything changes. After a failure the previous one is untouched."""
    path = options["path"]
    password = re.match(r"\w+://([^/\s@]+)@", options["index_url"])
    if password:
        module.no_log_values.update({password[1], *password[1].split(":")} - {""})
        raise Problem("index_url contains a password, which would end up in logs; put it into the host's /root/.netrc.")
    # Other accounts run these programs, whatever root's umask is.
    umask = os.umask(0o022)
    try:
        return present(module, options)[0]
    except BuildError as error:
        raise Problem(f"Could not install {path} from its lock file. {error}\nThe previous installation is untouched.") from error
    except fs.Locked as error:
        raise Problem(f"Could not install {path}: {error}") from error
    except OSError as error:
        raise Problem(f"Could not install {path}: {error}. The previous installation is untouched.") from error
    finally:
        os.umask(umask)
