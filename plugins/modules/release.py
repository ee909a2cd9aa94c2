#!/usr/bin/python
"""Deploy a release of a Python web application: build it aside, inspect it, make it live."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Build a release of a Python web application, inspect it, and make it live
version_added: "0.1.0"
description:
  - Builds C(<base>/releases/<id>/) with the source in C(src), its own C(venv), the static files for the
    web server in C(static), a C(build.log) and a C(manifest.json).
  - Then inspects the application in the sandbox it will run in, starts an instance beside the live one,
    waits until it answers, moves the link the web server talks to, drains the old instance and stops it.
    A failure before the move changes nothing for visitors and prints what the application itself said.
  - A release is found again by a fingerprint of its source, its settings and its Python. When a
    finished one is there already, it is reused; nothing is uploaded, fetched or built.
  - Commands that run the code of the application or of its dependencies run as an account of their
    own in a systemd sandbox, and see no secret. A deploy key is gone from the host before they run.
    Afterwards everything belongs to root, and the application can read it.
  - Per application there is one run at a time; a second one is told who holds the lock since when. The kernel lets
    go of it when its holder dies. A run that was killed at any point is repeated and heals.
  - The manifest is written last. What an interrupted run left is removed by the next one. Of builds
    that failed, the last one is kept as C(releases/.failed-<id>) with its source and log.
  - The same switch happens, with a new instance of the same release, when a watched file has changed since
    the live instance started. That is how new settings and secrets reach the process.
  - A release that was rolled back stays where it is until its source changes or O(force) is set.
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
        description: Repository, as C(https://), C(ssh://) or C(git@host:path), without a password.
        type: str
      version:
        description: Branch, tag or commit. The repository's default branch otherwise.
        type: str
      deploy_key:
        description: Private SSH key that may read the repository, as text without a passphrase.
        type: str
      token:
        description:
          - Token that may read an C(https://) repository, or C(user:token) for a server that needs a name with it.
          - It is on the host in a file only the build account can read, while git runs.
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
        F(requirements.txt) and F(pyproject.toml) that is there.
      - Hashes are enforced wherever the file has them. A project whose F(pyproject.toml) has a
        C([build-system]) is installed itself too.
    type: str
    default: auto
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
  force:
    description: Make a release live again that was abandoned by a rollback.
    type: bool
    default: false
  local:
    description: Digest, origin and uploaded file of a source on the controller. Set by the action plugin.
    type: dict
  source_secrets:
    description: The suboptions of O(source) that must not be logged. Set by the action plugin.
    type: dict
  built_by:
    description: Who builds. Set by the action plugin.
    type: str
    default: somebody
extends_documentation_fragment:
  - bulwark.flask.activation
attributes:
  check_mode:
    description: Looks whether the release is there already and live; on a host that is not prepared yet it
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
      git: git@git.example.com:shop.git
      version: main
      deploy_key: "{{ vault_shop_deploy_key }}"
    static: {/static/: shop/static}
    wsgi: shop:create_app()
    domains: [shop.example.com]
    health_path: /healthz
    pre_activate: [flask db upgrade]
    restart_on_change: [/etc/flask-secrets/shop.env, /etc/gunicorn/shop.conf.py]

- name: Deploy a directory of the controller
  bulwark.flask.release:
    name: shop
    source: {path: ../shop}
    wsgi: shop:create_app()
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

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.activation import LIVE_ARGUMENTS, GoLive
from ansible_collections.bulwark.flask.plugins.module_utils.release.activate.report import summary
from ansible_collections.bulwark.flask.plugins.module_utils.release.builder.build import Build
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.history import ABANDONED

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
    "name": {"type": "str", "required": True},
    "source": {"type": "dict", "required": True, "options": SOURCE},
    "subdirectory": {"type": "str", "default": ""},
    "static": {"type": "dict", "default": {}},
    "build": {"type": "list", "elements": "str", "default": []},
    "requirements": {"type": "str", "default": "auto"},
    "uv": {"type": "path", "default": "/opt/uv/current/bin/uv"},
    "gunicorn_requirements": {"type": "str", "default": ""},
    "python": {"type": "path", "default": "/usr/bin/python3"},
    "index_url": {"type": "str", "default": ""},
    "ca_bundle": {"type": "path", "default": "/etc/ssl/certs/ca-certificates.crt"},
    "base": {"type": "path"},
    "group": {"type": "str"},
    "build_user": {"type": "str"},
    "timeout_seconds": {"type": "int", "default": 900},
    "local": {"type": "dict"},
    "source_secrets": {"type": "dict", "no_log": True},
    "built_by": {"type": "str", "default": "somebody"},
    "force": {"type": "bool", "default": False},
    **LIVE_ARGUMENTS,
}


class Deploy:
    """One run: from the source to the release that serves."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.build = Build(options)
        self.live = GoLive(options, options["built_by"])
        self.entry: dict[str, Any] | None = None

    def predict(self) -> dict[str, Any]:
        """What a run would do; touches nothing."""
        found = self.build.predict()
        held = self._is_held_back(found["release"])
        switch = bool(self.live.strangers()) or (not held and self.live.needs_switch(found["release"]))
        return {**found, "changed": found["changed"] or switch, "built": not found["reused"], "instance": self.live.instances.live(),
                "pruned": [], "report": {}, "summary": []}

    def _is_held_back(self, release: str) -> bool:
        """Whether a rollback keeps a release from going live again by itself."""
        held = self.live.record.state(release) == ABANDONED and not self.options["force"]
        if held:
            verdict = self.live.record.verdict(release)
            self.build.warnings.append(
                f"{release} was rolled back on {verdict['time']} by {verdict['by']} and stays so; {self.live.live_release()} goes on. "
                "Deploy a mended source, or this one all the same with -e app_release_force=true")
        return held

    def run(self) -> dict[str, Any]:
        """Do it, under the application's lock."""
        self.build.prepare()
        with self.build.releases.locked(self.options["name"], self.options["built_by"]):
            healed = self.live.heal()
            try:
                found = self.build.run(self._announce)
            except ReleaseError as error:
                if self.entry:
                    self.live.record.end(self.entry, "failed", step=error.step, reason=str(error).splitlines()[0])
                raise
            if found.get("need_upload"):
                return found
            release = found["release"]
            changed = healed or found["changed"]
            if not self._is_held_back(release) and self.live.needs_switch(release):
                changed = True
                self.live.steps = {"build": round(sum(found["steps"].values()), 2)} if not found["reused"] else {}
                self.live.go(release, "deploy" if self.live.live_release() != release else "restart", self.entry)
            pruned = self.live.prune()
        warnings = self.build.warnings + self.live.warnings
        answer = self.live.answer(changed=changed or bool(pruned), built=not found["reused"], manifest=found["manifest"], pruned=pruned)
        return {**answer, "warnings": warnings, "summary": summary(self.options["name"], answer, found["steps"])}

    def _announce(self, commit: str | None) -> None:
        self.entry = self.live.record.begin("deploy", self.options["built_by"], commit=commit, previous=self.live.live_release())


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    name = module.params["name"]
    try:
        deploy = Deploy(module.params)
        result = deploy.predict() if module.check_mode else deploy.run()
    except ReleaseError as error:
        module.fail_json(msg=f"{name}: {error}", step=error.step)
    for warning in result.pop("warnings", []):
        module.warn(f"{name}: {warning}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
