"""Deploy a release: the controller's side packs what is on the controller, and uploads it only when needed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import ReleaseError, sha256_of
from ansible_collections.bulwark.flask.plugins.module_utils.release.source import pack as packing
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.base import check, is_url, public, split_credentials
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.unpack import ArchiveError
from ansible_collections.bulwark.flask.plugins.plugin_utils.operator import operator

OWN = ("source_digest", "source_note", "upload", "git_credentials", "git_key", "archive_url", "built_by")


class LocalSource:
    """A directory or archive on the controller."""

    def __init__(self, source: dict[str, Any], kind: str) -> None:
        self.kind = kind
        self.path = Path(os.path.abspath(os.path.expanduser(source[kind])))
        self.note: dict[str, Any] = {"from": str(self.path)}
        self.keys: list[str] = []
        if kind == "path":
            self._read_directory()
        else:
            self._read_archive(source.get("sha256"))

    def _read_directory(self) -> None:
        if not self.path.is_dir():
            raise ReleaseError("source", f"source: {self.path} is not a directory on the controller.")
        self.entries, self.keys = packing.entries(self.path)
        self.digest = packing.tree_digest(self.entries)
        self.note |= packing.git_state(self.path)

    def _read_archive(self, expected: str | None) -> None:
        if not self.path.is_file():
            raise ReleaseError("source", f"source: {self.path} is not a file on the controller.")
        self.digest = sha256_of(self.path)
        if expected and expected.lower() != self.digest:
            raise ReleaseError("source", f"source: {self.path} is not the expected file: its sha256 is {self.digest}.")

    def pack(self, folder: Path) -> Path:
        """The file to upload."""
        if self.kind == "archive":
            return self.path
        self._read_directory()  # what is packed decides, should a file have changed meanwhile
        packed = folder / "source.tar.gz"
        packing.pack(self.entries, packed)
        return packed


class ActionModule(ActionBase):
    """Ask the host first; pack and upload only when it lacks the release."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the action."""
        super().run(tmp, task_vars)
        arguments = {key: value for key, value in self._task.args.items() if key not in OWN}
        name = arguments.get("name")
        try:
            local, arguments = self._prepare(arguments)
            result = self._call(arguments, task_vars)
            if result.pop("need_upload", False) and local:
                result = self._upload_and_build(local, arguments, task_vars)
        except (ReleaseError, ArchiveError) as error:
            raise AnsibleActionFail(f"{name}: {error}") from error
        if local and local.keys:
            Display().warning(f"{name}: private keys are left out of the release: {', '.join(local.keys)}")
        return result

    def _prepare(self, arguments: dict[str, Any]) -> tuple[LocalSource | None, dict[str, Any]]:
        if not isinstance(arguments.get("source"), dict):
            raise ReleaseError("source", "source needs one of git, path, archive and package.")
        source = {key: value for key, value in arguments["source"].items() if value is not None}
        kind = check(source)
        arguments = {**arguments, "source": source, "built_by": operator()}
        if kind == "git":
            # On the host, a secret inside of a dict would be logged: only whole arguments are kept out.
            source["git"], arguments["git_credentials"] = split_credentials(str(source["git"]))
            arguments["git_key"] = source.pop("deploy_key", None)
        if is_url(source) and public(source["archive"]) != source["archive"]:
            arguments["archive_url"], source["archive"] = source["archive"], public(source["archive"])
        if kind in ("git", "package") or is_url(source):
            return None, arguments
        local = LocalSource(source, kind)
        return local, {**arguments, "source_digest": local.digest, "source_note": local.note}

    def _call(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        return self._execute_module(module_name="bulwark.flask.release", module_args=arguments, task_vars=task_vars)

    def _upload_and_build(
        self, local: LocalSource, arguments: dict[str, Any], task_vars: dict[str, Any] | None,
    ) -> dict[str, Any]:
        shell = self._connection._shell  # pylint: disable=protected-access  # no public way
        if not shell.tmpdir:
            self._make_tmp_path()
        with tempfile.TemporaryDirectory() as folder:
            packed = local.pack(Path(folder))
            remote = shell.join_path(shell.tmpdir, "source")
            self._transfer_file(str(packed), remote)
        found = {"source_digest": local.digest, "source_note": local.note, "upload": remote}
        return self._call({**arguments, **found}, task_vars)
