#!/usr/bin/python
"""Secrets that are made on the host and never leave it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: generated_secrets
short_description: Make random secrets on the host, once, in an environment file only root can read
version_added: "0.1.0"
description:
  - Names that are missing from the file get a random value. Values that are there are never changed,
    never returned and never shown, and names that are no longer asked for stay.
  - A file that is damaged or empty is an error. A new key in its place would sign every visitor out
    and make what was encrypted with the old one unreadable; that is for a person to decide.
options:
  path:
    description: The environment file. Its directory is made, readable by root alone, if it is missing.
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
  diff_mode:
    description: There is nothing that could be shown.
    support: none
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
import stat
import tempfile

from ansible.module_utils.basic import AnsibleModule

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LINE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="[A-Za-z0-9_-]{32,}"')
HEADER = ["# Made on this host, once, by the module bulwark.flask.generated_secrets.",
          "# These values exist nowhere else: back this file up, and let nobody but root read it."]


class Damaged(Exception):
    """The file is not what this module wrote."""


def names_in(text):
    """Names with a value; anything that is not a comment or an assignment of ours is damage."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = [LINE.fullmatch(line) for line in lines]
    names = [match.group(1) for match in found if match]
    if not lines or len(names) != len(lines) or len(set(names)) != len(names):
        raise Damaged
    return names


def read(path):
    """The file's text, names and whether its owner or mode is wrong."""
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return "", [], False
    if not stat.S_ISREG(state.st_mode):
        raise Damaged
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except ValueError:
        raise Damaged from None
    unsafe = stat.S_IMODE(state.st_mode) != 0o600 or (state.st_uid, state.st_gid) != (os.geteuid(), os.getegid())
    return text, names_in(text), unsafe


def write(path, text):
    """Replace the file atomically, 0600 root."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".generated.", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    folder_handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(folder_handle)
    finally:
        os.close(folder_handle)


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True},
                       "names": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    path, wanted = module.params["path"], list(dict.fromkeys(module.params["names"]))
    wrong = [name for name in wanted if not NAME.fullmatch(name)]
    if wrong:
        module.fail_json(msg=f"Not a name for an environment variable: {', '.join(wrong)}")
    try:
        text, known, unsafe = read(path)
    except Damaged:
        module.fail_json(msg=f"{path} is damaged. Bring it back from a backup, or remove it to have new keys made, "
                             "which signs every visitor out.")
    missing = [name for name in wanted if name not in known]
    if (missing or unsafe) and not module.check_mode:
        # The letter in front keeps a key of digits from being read as a number.
        lines = (text.splitlines() or HEADER) + [f'{name}="k{secrets.token_urlsafe(48)}"' for name in missing]
        write(path, "\n".join(lines) + "\n")
    module.exit_json(changed=bool(missing or unsafe), generated=missing)


if __name__ == "__main__":
    main()
