#!/usr/bin/python
"""A virtual environment that holds exactly what a lock file names."""

from __future__ import annotations

DOCUMENTATION = r"""
module: locked_venv
short_description: Install a tool from a hash-locked requirements file into a venv of its own
version_added: "0.1.0"
description:
  - Builds the venv aside, checks it, and moves the link C(<path>/current) to it. The one before stays.
options:
  path:
    description: Directory of the tool.
    type: path
    required: true
  requirements:
    description: Text of the lock file; every line has a hash.
    type: str
    required: true
  python:
    description: Interpreter.
    type: path
    default: /usr/bin/python3
  ca_bundle:
    description: Certificates trusted while downloading.
    type: path
    default: /etc/ssl/certs/ca-certificates.crt
  index_url:
    description: Package index; empty means PyPI.
    type: str
    default: ""
attributes:
  check_mode:
    description: Predicts whether the venv would be built.
    support: full
author:
  - The bulwark.flask authors
"""

EXAMPLES = r"""
- name: Install certbot
  bulwark.flask.locked_venv:
    path: /opt/certbot
    requirements: "{{ lookup('ansible.builtin.file', 'requirements.txt') }}"
"""

RETURN = r"""
venv:
  description: The venv that the link points to.
  type: str
  returned: always
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def build(module, target):
    """Make the venv; a failure removes what was begun."""
    options = module.params
    environment = {"PIP_CERT": options["ca_bundle"], "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_CACHE_DIR": "1",
                   "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INPUT": "1"}
    if options["index_url"]:
        environment["PIP_INDEX_URL"] = options["index_url"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as lock:
        lock.write(options["requirements"])
        lock.flush()
        python = str(target / "bin" / "python")
        for command in ([options["python"], "-m", "venv", str(target)],
                        [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:",
                         "--requirement", lock.name],
                        [python, "-m", "pip", "check"]):
            rc, out, err = module.run_command(command, environ_update=environment)
            if rc:
                shutil.rmtree(target)
                module.fail_json(msg=f"Could not install {options['path']} from its lock file:\n{(err or out)[-2000:]}\n"
                                     "What was installed before is untouched.")
    # Written last: a venv without it is a build that was interrupted.
    (target / ".complete").touch()


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "requirements": {"type": "str", "required": True},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "ca_bundle": {"type": "path", "default": "/etc/ssl/certs/ca-certificates.crt"},
            "index_url": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    path, python = Path(module.params["path"]), os.path.realpath(module.params["python"])
    identity = f"{python}\n{module.params['requirements']}"
    target = path / hashlib.sha256(identity.encode()).hexdigest()[:12]
    link = path / "current"
    done = (target / ".complete").exists() and link.is_symlink() and os.readlink(link) == target.name
    if not done and not module.check_mode:
        path.mkdir(parents=True, exist_ok=True)
        if not (target / ".complete").exists():
            if target.exists():
                shutil.rmtree(target)
            build(module, target)
        previous = os.readlink(link) if link.is_symlink() else None
        temporary = path / ".current"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target.name)
        temporary.replace(link)
        for old in path.iterdir():
            if old.is_dir() and not old.is_symlink() and old.name not in (target.name, previous):
                shutil.rmtree(old)
    module.exit_json(changed=not done, venv=str(target))


if __name__ == "__main__":
    main()
