"""Render a set of files on the controller and hand it to the module in one piece."""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from difflib import get_close_matches
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.template import generate_ansible_template_vars, trust_as_template

KEYS = {"dest", "template", "content", "link", "state", "owner", "group", "mode", "sensitive", "backup", "vars"}
OPTIONS = {"files", "purge", "validate", "apply"}


def problems_of(number: int, entry: Any) -> list[str]:
    """What is wrong with one entry, in words."""
    if not isinstance(entry, dict):
        return [f"files[{number}] is not a mapping"]
    where = f"files[{number}] ({entry.get('dest', 'no dest')})"
    found = []
    for key in sorted(set(entry) - KEYS):
        near = get_close_matches(key, KEYS, 1)
        found.append(f"{where}: unknown key {key}" + (f", did you mean {near[0]}?" if near else ""))
    dest = entry.get("dest")
    if not isinstance(dest, str) or not dest.startswith("/") or os.path.normpath(dest) != dest:
        found.append(f"{where}: dest must be an absolute, normal path")
    if sum(key in entry for key in ("template", "content", "link", "state")) != 1:
        found.append(f"{where}: exactly one of template, content, link and state is needed")
    if entry.get("state", "absent") not in ("absent", "directory"):
        found.append(f"{where}: state must be absent or directory")
    if not isinstance(entry.get("mode", "0644"), str) or not re.fullmatch(r"[0-7]{3,4}", entry.get("mode", "0644")):
        found.append(f"{where}: mode must be a quoted octal number such as '0644'")
    return found


class ActionModule(ActionBase):
    """Controller side of file_set."""

    TRANSFERS_FILES = False

    def _render(self, entry: dict[str, Any], task_vars: dict[str, Any]) -> str:
        source = self._find_needle("templates", entry["template"])
        text = trust_as_template(self._loader.get_text_file_contents(source))
        roots = [*task_vars.get("ansible_search_path", []), os.path.dirname(source)]
        search = [path for root in roots for path in (os.path.join(root, "templates"), root)]
        variables = {**task_vars, **generate_ansible_template_vars(
            path=entry["template"], fullpath=source, dest_path=entry["dest"]),
            **entry.get("vars", {})}
        templar = self._templar.copy_with_new_env(searchpath=search, available_variables=variables)
        return str(templar.template(text, escape_backslashes=False,
                                    overrides={"trim_blocks": True, "keep_trailing_newline": True}))

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check the arguments, render, and run the module once."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = self._task.args
        entries = arguments.get("files") or []
        found = [f"unknown option {key}" for key in sorted(set(arguments) - OPTIONS)]
        found += [text for number, entry in enumerate(entries) for text in problems_of(number, entry)]
        seen = [entry.get("dest") for entry in entries if isinstance(entry, dict)]
        found += [f"{dest} is in the set twice" for dest in sorted({d for d in seen if seen.count(d) > 1})]
        if found:
            raise AnsibleActionFail("file_set: " + "; ".join(found))
        files = []
        for entry in entries:
            kind = next((k for k in ("absent", "directory") if entry.get("state") == k),
                        "link" if "link" in entry else "file")
            item = {"dest": entry["dest"], "kind": kind, "owner": entry.get("owner", "root"),
                    "group": entry.get("group", "root"), "sensitive": bool(entry.get("sensitive")),
                    "mode": entry.get("mode", "0755" if kind == "directory" else "0644"),
                    "backup": bool(entry.get("backup")), "link": entry.get("link")}
            if kind == "file":
                text = self._render(entry, task_vars) if "template" in entry else str(entry["content"])
                item["data"] = base64.b64encode(text.encode()).decode()
            files.append({key: str(value) if isinstance(value, str) else value for key, value in item.items()})
        payload = base64.b64encode(zlib.compress(json.dumps(files).encode())).decode()
        return self._execute_module(
            module_name="bulwark.flask.file_set", task_vars=task_vars,
            module_args={"payload": payload, **{k: arguments.get(k) or [] for k in ("purge", "validate", "apply")}},
        )
