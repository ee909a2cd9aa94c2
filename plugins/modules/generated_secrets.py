#!/usr/bin/python
"""Secrets that are made on the host and never leave it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: generated_secrets
short_description: Make random secrets on the host, once, in an environment file only root can read
version_added: "0.1.0"
description:
  - Names that are missing from the file get a random value; values that are there are never changed,
    never returned and never shown.
options:
  path:
    description: The environment file.
    type: path
    required: true
  names:
    description: Names that must have a value.
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    description: Predicts whether a value would be made.
    support: full
author:
  - The bulwark.flask authors
"""

EXAMPLES = r"""
- name: Make the key that signs sessions
  bulwark.flask.generated_secrets:
    path: /etc/flask-secrets/shop.generated.env
    names: [FLASK_SECRET_KEY]
"""

RETURN = r"""
generated:
  description: Names that got a value in this run.
  type: list
  elements: str
  returned: always
"""

import os
import re
import secrets
import tempfile

from ansible.module_utils.basic import AnsibleModule

LINE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="[A-Za-z0-9_-]{32,}"')


def read(module, path):
    """Lines of the file, checked: a key that was lost is for a person to bring back, not to replace."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as stream:
        lines = stream.read().splitlines()
    if not lines or not all(LINE.fullmatch(line) for line in lines):
        module.fail_json(msg=f"{path} is damaged. Bring it back from a backup, or remove it to have new keys made, "
                             "which signs every visitor out.")
    return lines


def write(path, lines):
    """Replace the file atomically, 0600 root."""
    handle, temporary = tempfile.mkstemp(prefix=".", dir=os.path.dirname(path))
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True},
                       "names": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    path = module.params["path"]
    lines = read(module, path)
    known = {LINE.fullmatch(line).group(1) for line in lines}
    missing = [name for name in module.params["names"] if name not in known]
    if missing and not module.check_mode:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        # The letter keeps from_prefixed_env from reading a key of digits as a number.
        write(path, lines + [f'{name}="k{secrets.token_urlsafe(48)}"' for name in missing])
    unsafe = os.path.exists(path) and os.stat(path).st_mode & 0o777 != 0o600
    if unsafe and not module.check_mode:
        os.chmod(path, 0o600)
    module.exit_json(changed=bool(missing) or unsafe, generated=missing)


if __name__ == "__main__":
    main()
