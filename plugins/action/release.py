"""Deploy a release: pack a local source on the controller, and upload it only when the host lacks it."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.source import kinds
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.base import Source
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.unpack import ArchiveError
from ansible_collections.bulwark.flask.plugins.plugin_utils.operator import operator
from ansible_collections.bulwark.flask.plugins.plugin_utils.unchanged import digest_of

OWN = ("local", "source_secrets", "built_by")


class ActionModule(ActionBase):
    """Ask the host first; pack and upload only when it lacks the release."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the action."""
        super().run(tmp, task_vars)
        arguments = {key: value for key, value in self._task.args.items() if key not in OWN}
        name = arguments.get("name")
        try:
            source = kinds.parse(arguments.get("source"), on_controller=True)
            # Ansible can keep whole arguments out of the host's log, but not a secret inside a dict.
            arguments["source"], arguments["source_secrets"] = source.split_secrets()
            local = source.read_local()
            arguments |= {"local": asdict(local) if local else None}
            arguments |= {"_digest": digest_of(arguments), "built_by": operator()}
            result = self._call(arguments, task_vars)
            if result.pop("need_upload", False):
                result = self._upload_and_build(source, arguments, task_vars)
        except (ReleaseError, ArchiveError) as error:
            raise AnsibleActionFail(f"{name}: {error}") from error
        if local and local.left_out:
            Display().warning(f"{name}: private keys are left out of the release: {', '.join(local.left_out)}")
        return result

    def _call(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        return self._execute_module(module_name="bulwark.flask.release", module_args=arguments, task_vars=task_vars)

    def _upload_and_build(self, source: Source, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        shell = self._connection._shell  # pylint: disable=protected-access  # no public way
        if not shell.tmpdir:
            self._make_tmp_path()
        remote = shell.join_path(shell.tmpdir, "source")
        with tempfile.TemporaryDirectory() as folder:
            local = source.read_local()  # the digest of the packed files, in case one has changed since
            self._transfer_file(str(source.pack(Path(folder))), remote)
        if local is None:
            raise AnsibleActionFail("the source has nothing that could be packed on the controller")
        return self._call({**arguments, "local": {**asdict(local), "upload": remote}}, task_vars)
