"""Pack a local source on the controller, and send it only where the host does not have it yet."""

from __future__ import annotations

import getpass
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.bulwark.flask.plugins.module_utils import packing


class ActionModule(ActionBase):
    """Controller side of release."""

    TRANSFERS_FILES = True

    def _packed(self, source: dict[str, Any]) -> bytes | None:
        """The archive of a source that lies on the controller; None for any other."""
        if source.get("path"):
            folder = Path(os.path.expanduser(source["path"]))
            if not folder.is_dir():
                raise AnsibleActionFail(f"source.path {folder} is not a directory on the controller")
            try:
                return packing.pack(folder)
            except packing.Unsafe as error:
                raise AnsibleActionFail(f"source.path: {error}") from error
        if source.get("archive") and "://" not in source["archive"]:
            return Path(os.path.expanduser(source["archive"])).read_bytes()
        return None

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the host whether it has the release; send the source and ask again if not."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        data = self._packed(arguments.get("source") or {})
        arguments["built_by"] = f"{getpass.getuser()}@{socket.gethostname()}"
        if data is not None:
            arguments["content_sha256"] = packing.digest(data)
        result = self._execute_module(module_name="bulwark.flask.release", module_args=arguments, task_vars=task_vars)
        if not result.get("need_upload"):
            return result
        folder = self._make_tmp_path()
        with tempfile.NamedTemporaryFile() as local:
            local.write(data or b"")
            local.flush()
            arguments["upload"] = self._transfer_file(local.name, self._connection._shell.join_path(folder, "source"))
        try:
            return self._execute_module(module_name="bulwark.flask.release", module_args=arguments, task_vars=task_vars)
        finally:
            self._remove_tmp_path(folder, force=True)
