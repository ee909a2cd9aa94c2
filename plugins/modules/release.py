#!/usr/bin/python
"""Build a release of a Python web application aside, from its source to its own venv."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Build a release of a Python web application without touching the live one
version_added: "0.1.0"
description:
  - Builds C(<base>/releases/<id>/) with the source in C(src), its own C(venv), the static files for the
    web server in C(static), a C(build.log) and a C(manifest.json). Nothing is made live.
  - A release is found again by a fingerprint of its source, its settings and its Python. When a
    finished one is there already, it is reused; nothing is uploaded, fetched or built.
  - Commands that run the code of the application or of its dependencies run as an account of their
    own in a systemd sandbox, and see no secret. A deploy key is gone from the host before they run.
    Afterwards everything belongs to root, and the application can read it.
  - The manifest is written last. What an interrupted run left is removed by the next one. Of builds
    that failed, the last one is kept as C(releases/.failed-<id>) with its source and log.
options:
  name:
    description: The application, also its group.
    type: str
    required: true
  source:
    description: Where the code comes from; exactly one of O(source.git), O(source.path),
      O(source.archive) and O(source.package).
    type: dict
    required: true
    suboptions:
      git:
        description: Repository, as C(https://), C(ssh://) or C(git@host:path). A user and password
          in the URL are used for fetching and written nowhere.
        type: str
      version:
        description: Branch, tag or commit. The repository's default branch otherwise.
        type: str
      deploy_key:
        description: Private SSH key that may read the repository, as text without a passphrase.
        type: str
      host_key:
        description: Lines for C(known_hosts). Without it, the first key the server shows is kept.
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
  subdirectory:
    description: Directory below the source that holds the application and names its dependencies.
    type: str
    default: ""
  static:
    description: URL prefix to directory with files the web server serves itself. The directory is
      looked for below O(subdirectory), then below the source; for a package below site-packages.
    type: dict
    default: {}
  requirements:
    description:
      - File that names the dependencies. V(auto) takes the first of F(uv.lock), F(pylock.toml),
        F(requirements.txt) and F(pyproject.toml) that is there; pip knows the last two.
      - Hashes are enforced wherever the file has them. A project whose F(pyproject.toml) has a
        C([build-system]) is installed itself too.
    type: str
    default: auto
  installer:
    description: What installs the dependencies.
    type: str
    choices: [uv, pip]
    default: uv
  uv:
    description: Path of uv on the host.
    type: path
    default: /opt/uv/current/bin/uv
  gunicorn_requirements:
    description: Text of a hash-locked requirements file that pins gunicorn; installed last, so that
      it takes the place of another version. Empty leaves gunicorn to the project.
    type: str
    default: ""
  python:
    description: Interpreter the venv is made with.
    type: path
    default: /usr/bin/python3
  index_url:
    description: Package index; empty means PyPI. With F(uv.lock), the locked names and hashes are
      installed from here.
    type: str
    default: ""
  ca_bundle:
    description: Certificates trusted while downloading.
    type: path
    default: /etc/ssl/certs/ca-certificates.crt
  base:
    description: Where the releases are. Default C(/srv/<name>).
    type: path
  group:
    description: Group that can read the releases. Default C(<name>).
    type: str
  build_user:
    description: Account that builds. Default C(<name>-build). Its cache is C(/var/cache/<build_user>).
    type: str
  timeout_seconds:
    description: A build that takes longer is given up.
    type: int
    default: 900
  source_digest:
    description: Identity of a source on the controller. Set by the action plugin.
    type: str
  source_note:
    description: What the manifest says about a source on the controller. Set by the action plugin.
    type: dict
    default: {}
  upload:
    description: Where the source was uploaded to. Set by the action plugin.
    type: path
  git_credentials:
    description: User and password taken out of O(source.git). Set by the action plugin.
    type: str
  git_key:
    description: O(source.deploy_key), as a whole argument. Set by the action plugin.
    type: str
  archive_url:
    description: O(source.archive) with its user, password or query. Set by the action plugin.
    type: str
  built_by:
    description: Who builds. Set by the action plugin.
    type: str
    default: somebody
attributes:
  check_mode:
    description: Looks whether the release is there already; on a host that is not prepared yet it
      says that one would be built.
    support: full
author:
  - The bulwark.flask authors
"""

EXAMPLES = r"""
- name: Build a release from a private repository
  bulwark.flask.release:
    name: shop
    source:
      git: git@git.example.com:shop.git
      version: main
      deploy_key: "{{ vault_shop_deploy_key }}"
    static: {/static/: shop/static}
  register: build

- name: Build a release from a directory of the controller
  bulwark.flask.release:
    name: shop
    source: {path: ../shop}
"""

RETURN = r"""
release:
  description: Id of the release. In check mode, the id a new one could have.
  returned: always
  type: str
  sample: 20261124-061502-1f0c9a3e
path:
  description: Directory of the release.
  returned: always
  type: str
fingerprint:
  description: Hash of everything that decides what the release is.
  returned: always
  type: str
reused:
  description: Whether a finished release was found.
  returned: always
  type: bool
commit:
  description: The commit that was built, where there is one.
  returned: always
  type: str
manifest:
  description: Contents of F(manifest.json).
  returned: always
  type: dict
steps:
  description: Seconds each step took.
  returned: always
  type: dict
step:
  description: The step that failed.
  returned: on failure
  type: str
"""

import sys

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils.release_build import Build
from ansible_collections.bulwark.flask.plugins.module_utils.release_paths import ReleaseError

SOURCE = {
    "git": {"type": "str"},
    "version": {"type": "str"},
    "deploy_key": {"type": "str", "no_log": True},
    "host_key": {"type": "str", "no_log": False},
    "path": {"type": "str"},
    "archive": {"type": "str"},
    "sha256": {"type": "str"},
    "package": {"type": "str"},
}
ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "source": {"type": "dict", "required": True, "options": SOURCE},
    "subdirectory": {"type": "str", "default": ""},
    "static": {"type": "dict", "default": {}},
    "requirements": {"type": "str", "default": "auto"},
    "installer": {"type": "str", "choices": ["uv", "pip"], "default": "uv"},
    "uv": {"type": "path", "default": "/opt/uv/current/bin/uv"},
    "gunicorn_requirements": {"type": "str", "default": ""},
    "python": {"type": "path", "default": "/usr/bin/python3"},
    "index_url": {"type": "str", "default": ""},
    "ca_bundle": {"type": "path", "default": "/etc/ssl/certs/ca-certificates.crt"},
    "base": {"type": "path"},
    "group": {"type": "str"},
    "build_user": {"type": "str"},
    "timeout_seconds": {"type": "int", "default": 900},
    "source_digest": {"type": "str"},
    "source_note": {"type": "dict", "default": {}},
    "upload": {"type": "path"},
    "git_credentials": {"type": "str", "no_log": True},
    "git_key": {"type": "str", "no_log": True},
    "archive_url": {"type": "str", "no_log": True},
    "built_by": {"type": "str", "default": "somebody"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        build = Build(module.params)
        result = build.predict() if module.check_mode else build.run()
    except ReleaseError as error:
        module.fail_json(msg=f"{module.params['name']}: {error}", step=error.step)
        sys.exit(1)
    for warning in result.pop("warnings", []):
        module.warn(f"{module.params['name']}: {warning}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
