#!/usr/bin/python
"""Deploy a release of a Python web application: build, inspect and activate it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Build, inspect and activate a release of a Python web application
version_added: "0.1.0"
description:
  - Builds C(<base>/releases/<id>/) with the source in C(src), its own C(venv), the static files for the
    web server in C(static), a C(build.log) and a C(manifest.json).
  - Then inspects the application in the sandbox in which it will run, starts an instance beside the live one,
    waits until it responds, moves the link the web server talks to, drains the old instance and stops it.
    A failure before the move changes nothing for clients; the message has the output of the application.
  - A release is found again by a fingerprint of its source, its settings and its Python. When a
    finished one is there already, it is reused; nothing is uploaded, fetched or built.
  - Commands that run the code of the application or of its dependencies run as an account of their
    own in a systemd sandbox, and see no secret. A deploy key is gone from the host before they run.
    Afterwards everything belongs to root, and the application can read it.
  - One run per application at a time. The error of a second run has the holder of the lock and the time. The kernel lets
    go of it when its holder dies. A run that was killed at any point is repeated, and the next run recovers.
  - The manifest is written last. What an interrupted run left is removed by the next one. Of builds
    that failed, the last one is kept as C(releases/.failed-<id>) with its source and log.
  - A new instance of the same release is activated, when a watched file has changed since
    the live instance started. That is how new settings and secrets reach the process.
  - A release that was rolled back is not activated again until its source changes or O(force) is set.
options:
  _digest:
    description: A digest of the arguments, under which the host keeps them, without secrets. The action plugin sets it.
    type: str
  name:
    description: The application, also its group.
    type: str
    required: true
  source:
    description: Source of the code; exactly one of O(source.git), O(source.path),
      O(source.archive) and O(source.package).
    type: dict
    required: true
    suboptions:
      git:
        description: Repository, as C(https://), C(ssh://) or C(git@host:path), without a password.
        type: str
      version:
        description: Branch, tag or commit. The repository's default branch otherwise.
        type: str
      deploy_key:
        description: Private SSH key with read access to the repository, as text without a passphrase.
        type: str
      token:
        description:
          - Token that may read an C(https://) repository, or C(user:token) for a server that needs a name with it.
          - It is on the host in a file only the build account can read, while git runs.
        type: str
      host_key:
        description: Lines for C(known_hosts). Without it, the key that the server presents first is accepted and kept.
        type: str
      path:
        description:
          - Directory on the controller. In a git work tree, F(.gitignore) decides what is left out.
          - Files named F(.env) or like it and private keys are always left out.
        type: str
      archive:
        description: A tar or zip archive on the controller, or its https URL. When everything in it is
          in one directory, that directory is taken.
        type: str
      sha256:
        description: The archive's SHA-256. Required for a URL.
        type: str
      package:
        description: A package of the index with its exact version, C(shop==1.2).
        type: str
  credentials:
    description:
      - Tokens, or C(user:password), by host, for package indexes and for repositories that requirements name. They are on the host in a
        file only the build account can read, while dependencies are installed.
    type: dict
  force:
    description: Activate a release again that was rolled back.
    type: bool
    default: false
  local:
    description: Digest, origin and uploaded file of a source on the controller. Set by the action plugin.
    type: dict
  source_secrets:
    description: The suboptions of O(source) that must not be logged. Set by the action plugin.
    type: dict
  built_by:
    description: Name of the operator. Set by the action plugin.
    type: str
    default: unknown
extends_documentation_fragment:
  - bulwark.flask.release_options
attributes:
  check_mode:
    description: Predicts whether the release exists and is live; on a host that is not prepared yet it
      says that one would be built.
    support: full
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Deploy from a private repository
  bulwark.flask.release:
    name: shop
    source:
      git: https://git.example.com/shop.git
      version: main
      token: "{{ vault_shop_token }}"
    options: "{{ shop_release_options }}"

- name: Deploy a directory of the controller
  bulwark.flask.release:
    name: shop
    source: {path: ../shop}
    options: "{{ shop_release_options }}"
"""

RETURN = r"""
release:
  description: The release that is live. In check mode, the id a new one could have.
  returned: always
  type: str
  sample: 20261124-061502-1f0c9a3e
instance:
  description: The live instance.
  returned: success
  type: str
built:
  description: Whether a release was built.
  returned: success
  type: bool
manifest:
  description: Contents of the release's F(manifest.json).
  returned: success
  type: dict
steps:
  description: Seconds each step took, in their order.
  returned: success
  type: dict
report:
  description: What the inspection found, with a C(table) for people; empty when there was none.
  returned: success
  type: dict
pages:
  description: The C(pages) that were fetched before the switch with their statuses, what the strict Content-Security-Policy would
    stop on them (C(stopped)), and the directives that allow it (C(needed)). Empty when there were none.
  returned: success
  type: dict
summary:
  description: The same in lines for people.
  returned: success
  type: list
  elements: str
pruned:
  description: Releases that were removed.
  returned: success
  type: list
  elements: str
step:
  description: The step that failed.
  returned: on failure
  type: str
"""

from contextlib import suppress
from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils.host_part import remembered
from ansible_collections.bulwark.flask.plugins.module_utils.release import options
from ansible_collections.bulwark.flask.plugins.module_utils.release.deploy import Deploy
from ansible_collections.bulwark.flask.plugins.module_utils.release.entry import finish

SOURCE = {
    "git": {"type": "str"},
    "version": {"type": "str"},
    "deploy_key": {"type": "str", "no_log": True},
    "token": {"type": "str", "no_log": True},
    "host_key": {"type": "str", "no_log": False},
    "path": {"type": "str"},
    "archive": {"type": "str"},
    "sha256": {"type": "str"},
    "package": {"type": "str"},
}
ARGUMENTS = {
    **options.ARGUMENTS,
    "source": {"type": "dict", "required": True, "options": SOURCE},
    "source_secrets": {"type": "dict", "no_log": True},
    "local": {"type": "dict"},
    "credentials": {"type": "dict", "no_log": True},
    "force": {"type": "bool", "default": False},
    "_digest": {"type": "str", "no_log": True},
}
# What nothing keeps.
SECRETS = ("source_secrets", "credentials")


def deployed(params: dict[str, Any]) -> dict[str, Any]:
    """Run, and keep the arguments."""
    result = Deploy(params).run()
    if not result.get("need_upload"):
        local = {**params["local"], "upload": ""} if params["local"] else None
        with suppress(OSError):  # a call that is not remembered is made by every run
            remembered.remember_call("release", params["name"], {**params, "local": local, **dict.fromkeys(SECRETS)})
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    finish(module, Deploy(module.params).predict if module.check_mode else partial(deployed, module.params))


if __name__ == "__main__":
    main()
