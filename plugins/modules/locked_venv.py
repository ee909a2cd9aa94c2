#!/usr/bin/python
"""A virtual environment that holds exactly what a lock file names."""

from __future__ import annotations

DOCUMENTATION = r"""
module: locked_venv
short_description: Install a tool from a hash-locked requirements file into a venv of its own
version_added: "0.1.0"
description:
  - Builds the venv aside, proves it with C(pip check), and moves the link C(<path>/current) to it. The
    venv before stays, so that what runs from it goes on.
  - A venv is named after its lock file and its Python, so a run with nothing to do is one look at the
    disk. A build that was interrupted is removed and done again.
  - Needs python3-venv on the host, unless in check mode. Nothing is compiled from source.
options:
  path:
    description: Directory of the tool.
    type: path
    required: true
  requirements:
    description: Text of the lock file, complete and with a hash for everything. Needed unless O(state=absent).
    type: str
  python:
    description: Interpreter the venv is made with.
    type: path
    default: /usr/bin/python3
  ca_bundle:
    description: Certificates trusted while downloading.
    type: path
    default: /etc/ssl/certs/ca-certificates.crt
  index_url:
    description:
      - Package index; empty means PyPI, or what the host's environment says.
      - A password does not belong here, but into a C(.netrc) of root on the host.
    type: str
    default: ""
  state:
    description: V(absent) removes the venvs, and O(path) if nothing else is in it.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    description: Predicts whether the venv would be built or removed.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Install certbot
  bulwark.flask.locked_venv:
    path: /opt/certbot
    requirements: "{{ lookup('ansible.builtin.file', 'certbot.txt') }}"
"""

RETURN = r"""
venv:
  description: The venv that the link points to.
  type: str
  returned: always
"""

import hashlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import fs

# What pip says, and what it means; the first that is found counts.
CAUSES = (
    (r"DO NOT MATCH THE HASHES",
     "A download is not what the lock file promises: the index serves something else, or the lock was edited by hand."),
    (r"Hashes are required|must have their versions pinned",
     "The lock file is not complete: every package needs a version and a hash."),
    (r"invalid path|Could not find a suitable TLS CA",
     "The file of trusted certificates, ca_bundle, is not on the host."),
    (r"CERTIFICATE_VERIFY_FAILED|confirming the ssl certificate",
     "The index has a certificate that ca_bundle does not trust; behind a proxy, ca_bundle must hold its authority."),
    (r"No space left", "The disk is full."),
    (r"Name or service not known|name resolution|Connection refused|unreachable|timed out|Timeout|ProxyError|connect to proxy",
     "The package index cannot be reached from the host."),
    (r"\b(401|403|407) ", "The package index, or a proxy before it, refuses access."),
    (r"ensurepip is not available|No module named .?venv", "The Debian package python3-venv is missing."),
    (r"No matching distribution", "The index has no such version for this host's Python and processor."),
)


class BuildError(Exception):
    """A venv that could not be made; the text is for a person."""


def without_passwords(text: str) -> str:
    """The text, with what stands between :// and @ left out."""
    return re.sub(r"://[^/\s@]+@", "://***@", text)


def explain(output: str) -> str:
    """What went wrong in one sentence, then what pip said about it."""
    cause = next((meaning for pattern, meaning in CAUSES if re.search(pattern, output)), None)
    lines = [line.rstrip() for line in without_passwords(output).splitlines() if line.strip()]
    told = [line for line in lines if not re.match(r"\s*(WARNING: Location|\[notice\]|Looking in|  warnings\.warn)", line)]
    # The first retry says why; the others repeat it.
    retries = [line for line in told if "Retrying" in line]
    told = retries[:1] + [line for line in told if "Retrying" not in line][-8:]
    return "\n".join(([cause] if cause else []) + [line[:400] for line in told])


def python_version(module: AnsibleModule, python: str) -> Optional[str]:
    """Major and minor version of an interpreter, or None where there is none."""
    if os.path.realpath(python) == os.path.realpath(sys.executable):
        return "{}.{}".format(*sys.version_info)
    if not os.access(python, os.X_OK):
        return None
    rc, out, _ = module.run_command([python, "-I", "-c", "import sys; print('{}.{}'.format(*sys.version_info))"])
    return out.strip() if rc == 0 else None


def build(module: AnsibleModule, target: Path) -> None:
    """Make the venv; a failure removes what was begun."""
    options = module.params
    environment = {"PIP_CERT": options["ca_bundle"], "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                   "PIP_NO_CACHE_DIR": "1", "PIP_NO_INPUT": "1", "PIP_RETRIES": "3", "LC_ALL": "C.UTF-8"}
    if options["index_url"]:
        environment["PIP_INDEX_URL"] = options["index_url"]
    python = str(target / "bin" / "python")
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as lock:
        lock.write(options["requirements"])
        lock.flush()
        for command in ([options["python"], "-m", "venv", str(target)],
                        [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:",
                         "--requirement", lock.name],
                        [python, "-m", "pip", "check"]):
            rc, out, err = module.run_command(command, environ_update=environment)
            if rc:
                if target.exists():
                    shutil.rmtree(target)
                raise BuildError(explain(f"{out}\n{err}"))
    # Written last: a venv without it is a build that was interrupted.
    (target / ".complete").touch()


def switch(path: Path, target: Path) -> None:
    """Point `current` at the venv, and remove all others but the one before."""
    link = path / "current"
    previous = os.readlink(link) if link.is_symlink() else None
    fs.link(link, target.name)
    if previous != target.name:
        for old in venvs(path):
            if old.name not in (target.name, previous):
                shutil.rmtree(old)


def venvs(path: Path) -> list[Path]:
    """The venvs below a path, half-made ones included, and nothing else."""
    return [found for found in path.iterdir() if re.fullmatch(r"[0-9a-f]{12}", found.name) and not found.is_symlink()
            and found.is_dir()] if path.is_dir() else []


def is_live(path: Path, target: Path) -> bool:
    """Whether the link points to a finished venv whose interpreter is still there."""
    link = path / "current"
    return (link.is_symlink() and os.readlink(link) == target.name and (target / ".complete").exists()
            and os.access(target / "bin" / "python", os.X_OK))


def remove(path: Path) -> None:
    """Remove what this module made."""
    (path / "current").unlink(missing_ok=True)
    for old in venvs(path):
        shutil.rmtree(old)
    (path / ".lock").unlink(missing_ok=True)
    if not any(path.iterdir()):
        path.rmdir()


def present(module: AnsibleModule, path: Path) -> tuple[bool, Path]:
    """Have the venv. Returns whether it had to be made, and where it is."""
    python = module.params["python"]
    version = python_version(module, python)
    if version is None and not module.check_mode:
        raise BuildError(f"{python} is no Python that runs.")
    identity = f"{os.path.realpath(python)} {version}\n{module.params['requirements']}"
    target = path / hashlib.sha256(identity.encode()).hexdigest()[:12]
    if is_live(path, target):
        return False, target
    if not module.check_mode:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)
        # Two runs at a time: the second finds the venv made.
        with fs.locked(path / ".lock"):
            if not (target / ".complete").exists() or not os.access(target / "bin" / "python", os.X_OK):
                if target.exists():
                    shutil.rmtree(target)
                build(module, target)
            switch(path, target)
    return True, target


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "requirements": {"type": "str"},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "ca_bundle": {"type": "path", "default": "/etc/ssl/certs/ca-certificates.crt"},
            "index_url": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["requirements"])],
        supports_check_mode=True,
    )
    # Other accounts run what is installed here, whatever root's umask is.
    os.umask(0o022)
    path = Path(module.params["path"])
    password = re.match(r"\w+://([^/\s@]+)@", module.params["index_url"])
    if password:
        module.no_log_values.update({password[1], *password[1].split(":")} - {""})
        module.fail_json(msg="index_url has a password in it, which would end up in logs; put it into the host's /root/.netrc.")
    if module.params["state"] == "absent":
        there = bool(venvs(path)) or (path / "current").is_symlink()
        if there and not module.check_mode:
            remove(path)
        module.exit_json(changed=there, venv="")
    try:
        changed, venv = present(module, path)
    except BuildError as error:
        module.fail_json(msg=f"Could not install {path} from its lock file. {error}\nWhat was installed before is untouched.")
    except OSError as error:
        module.fail_json(msg=f"Could not install {path}: {error}. What was installed before is untouched.")
    module.exit_json(changed=changed, venv=str(venv))


if __name__ == "__main__":
    main()
