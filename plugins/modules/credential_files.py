#!/usr/bin/python
"""Files that systemd passes to a service as credentials."""

from __future__ import annotations

DOCUMENTATION = r"""
module: credential_files
short_description: Write the files that systemd passes to a service as credentials, encrypted for this host or plain
version_added: "0.1.0"
description:
  - Each value becomes a file of its name, readable by root only. An encrypted file can be decrypted on this host only,
    with the key that systemd keeps in C(/var/lib/systemd/credential.secret).
  - A file is written when its value differs. An encrypted file is decrypted for the comparison.
  - Files of other names in the directory are removed.
  - After a success, the arguments stay on the host, with digests in place of the values.
options:
  _digest:
    description: A digest of the arguments. The action plugin sets it.
    type: str
  path:
    description: The directory. A missing one is created, accessible to root only.
    type: path
    required: true
  credentials:
    description: Values by name, passed byte for byte.
    type: dict
    required: true
  encrypted:
    description: Encrypt them with C(systemd-creds), bound to the host.
    type: bool
    default: true
attributes:
  check_mode:
    description: Predicts what would change.
    support: full
  diff_mode:
    description: Not supported, because every line is a secret.
    support: none
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Pass the key of the payment provider as a file
  bulwark.flask.credential_files:
    path: /etc/flask-secrets/shop.credentials
    credentials:
      payment.pem: "{{ vault_payment_key }}"
  no_log: true
"""

RETURN = r"""
written:
  description: Names of the credentials that were written.
  type: list
  elements: str
  returned: success
removed:
  description: Names of the files that were removed.
  type: list
  elements: str
  returned: success
reason:
  description: Why the credentials could not be written, without a value, for a task that has C(no_log).
  type: str
  returned: failure
"""

import os
from contextlib import suppress

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils import fs
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import remembered
from ansible_collections.bulwark.flask.plugins.module_utils.secrets import credentials


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "credentials": {"type": "dict", "required": True, "no_log": True},
            "encrypted": {"type": "bool", "default": True},
            "_digest": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    folder, encrypted = module.params["path"], module.params["encrypted"]
    wanted = {name: str(value).encode() for name, value in module.params["credentials"].items()}
    written = [name for name, data in wanted.items() if credentials.held(os.path.join(folder, name), name, encrypted) != data]
    removed = [name for name in credentials.names_in(folder) if name not in wanted]
    unsafe = credentials.is_unsafe(folder)
    try:
        if not module.check_mode:
            fs.make_private_directory(folder)
            os.chmod(folder, 0o700)
            for name in written:
                data = wanted[name]
                if encrypted:
                    data = credentials.systemd_creds("encrypt", "--with-key=host", f"--name={name}", "-", "-", data=data)
                fs.write(os.path.join(folder, name), data)
            for name in removed:
                os.unlink(os.path.join(folder, name))
    except OSError as error:
        reason = f"The credentials in {folder} could not be written: {error}"
        module.fail_json(msg=reason, reason=reason)
    if not module.check_mode:
        with suppress(OSError):  # a call that is not remembered is made by every run
            remembered.remember_call("credential_files", os.path.basename(folder), {"_digest": module.params["_digest"], "path": folder,
                                                                                    **credentials.sealed(wanted, encrypted)})
    module.exit_json(changed=bool(written or removed or unsafe), written=written, removed=removed)


if __name__ == "__main__":
    main()
