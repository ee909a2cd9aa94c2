#!/usr/bin/python
"""Secrets that are generated on the host and never leave it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: generated_secrets
short_description: Generate random secrets on the host, once, and rotate them on request
version_added: "0.1.0"
description:
  - A name that is missing from the file gets a random value. Only O(rotate) changes a value. No value is returned or shown.
    A name that is no longer requested stays in the file.
  - A rotated C(SECRET_KEY) or C(FLASK_SECRET_KEY) stays valid for O(fallback_days), in the variable from which Flask reads
    old keys. Old and new key are written in one step.
  - The file records which instance was live when a value was rotated. A rotation that was interrupted before a new instance
    became live is continued, not repeated. The record is root's; no running process is asked.
  - O(sign_everybody_out) always generates a new value.
  - A damaged or empty file is an error, because a new key signs out every user and makes data that was encrypted with the
    old one unreadable.
  - Names that were added by hand to the file of the operator's values are an error. Nothing is overwritten.
options:
  _digest:
    description: A digest of the arguments, under which the host keeps them. The action plugin sets it.
    type: str
  path:
    description: The environment file. A missing directory is created, accessible to root only.
    type: path
    required: true
  names:
    description:
      - Names that must have a value, as a list, or as a mapping to kinds. V(url-safe) is a text of 65 letters, digits, - and _,
        V(hex) has 64 hexadecimal digits, V(fernet) is a key for C(cryptography).
      - Names in O(given) get no value.
    type: raw
    required: true
  given:
    description: Names for which the operator gives a value, in O(env_path).
    type: list
    elements: str
    default: []
  env_path:
    description: The environment file with the operator's values. Only its names are read.
    type: path
  remove:
    description: Names that were added to O(env_path) by hand and may be removed.
    type: list
    elements: str
    default: []
  rotate:
    description: Names that get a new value. V(SECRET_KEY) also means C(FLASK_SECRET_KEY).
    type: list
    elements: str
    default: []
  sign_everybody_out:
    description: Drop the old keys immediately. For a key that has leaked, and for a Flask that does not support old keys.
    type: bool
    default: false
  in_effect:
    description: Names whose value the live instance must have. The module fails when one was rotated after it had started.
    type: list
    elements: str
    default: []
  fallback_days:
    description: Days for which an old key stays valid.
    type: int
    default: 31
  current:
    description: Link to the live instance, for O(rotate) and O(in_effect). Its virtual environment has the version of Flask.
    type: path
attributes:
  check_mode:
    description: Predicts which values are generated, rotated and dropped, and fails where a run fails.
    support: full
  diff_mode:
    description: Not supported, because every line is a secret.
    support: none
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Generate the key that signs sessions, and one for an encrypted column
  bulwark.flask.generated_secrets:
    path: /etc/flask-secrets/shop.generated.env
    names: {FLASK_SECRET_KEY: url-safe, COLUMN_KEY: fernet}

- name: Rotate the first
  bulwark.flask.generated_secrets:
    path: /etc/flask-secrets/shop.generated.env
    names: {FLASK_SECRET_KEY: url-safe, COLUMN_KEY: fernet}
    rotate: [FLASK_SECRET_KEY]
    current: /srv/shop/current
"""

RETURN = r"""
generated:
  description: Names that got their first value in this run.
  type: list
  elements: str
  returned: success
rotated:
  description: Names that got a new value in this run.
  type: list
  elements: str
  returned: success
waiting:
  description: Names that were rotated by an earlier run and wait for a new instance.
  type: list
  elements: str
  returned: success
dropped:
  description: Keys of which old values were dropped because they had expired.
  type: list
  elements: str
  returned: success
"""

import os
from contextlib import suppress

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import remembered
from ansible_collections.bulwark.flask.plugins.module_utils.secrets.run import Run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "names": {"type": "raw", "required": True},
            "given": {"type": "list", "elements": "str", "default": []},
            "env_path": {"type": "path"},
            "remove": {"type": "list", "elements": "str", "default": []},
            "rotate": {"type": "list", "elements": "str", "default": []},
            "sign_everybody_out": {"type": "bool", "default": False},
            "fallback_days": {"type": "int", "default": 31},
            "in_effect": {"type": "list", "elements": "str", "default": []},
            "current": {"type": "path"},
            "_digest": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    run, folder = Run(module), os.path.dirname(module.params["path"])
    if run.wrong:
        module.fail_json(msg="; ".join(run.wrong))
    if not module.check_mode:
        fs.make_private_directory(folder)
    if not os.path.isdir(folder):
        module.exit_json(**run.execute())
    try:
        with fs.locked(folder):
            result = run.execute()
    except fs.Locked as error:
        module.fail_json(msg=f"Nothing was changed: {error}")
    # A rotation is not what the next run asks for.
    if not (module.check_mode or module.params["rotate"] or module.params["in_effect"]):
        with suppress(OSError):  # a call that is not remembered is made by every run
            remembered.remember_call("generated_secrets", os.path.basename(module.params["path"]), module.params)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
