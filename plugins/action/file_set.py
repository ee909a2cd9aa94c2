"""Check a set of files, render it on the controller and pass the whole set to the module."""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from difflib import get_close_matches
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError, AnsibleUndefinedVariable
from ansible.module_utils.common.text.converters import to_bytes
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.template import generate_ansible_template_vars, trust_as_template

COMMANDS = ("validate", "apply")
PURGE = ("path", "patterns", "remove_empty")
OPTIONS = ("files", "purge", *COMMANDS, "state_dir")
SOURCES = ("template", "content", "link", "state")
ALWAYS = ("dest", "owner", "group", "sensitive")
# The keys that apply to each kind of entry.
KEYS = {
    "template": (*ALWAYS, "template", "mode", "backup", "vars"),
    "content": (*ALWAYS, "content", "mode", "backup"),
    "link": (*ALWAYS, "link"),
    "directory": (*ALWAYS, "state", "mode"),
    "absent": (*ALWAYS, "state"),
}
ALL_KEYS = sorted({key for keys in KEYS.values() for key in keys})
DEFAULT_MODES = {"directory": "0755", "link": "0777", "absent": "0644"}


def _nearest(key: Any, known: Any) -> str:
    near = get_close_matches(str(key), known, 1)
    return f" (did you mean {near[0]}?)" if near else f" (known are {', '.join(known)})"


def _absolute(value: Any) -> bool:
    return isinstance(value, str) and os.path.isabs(value) and os.path.normpath(value) == value and "\0" not in value


def kind_of(entry: dict[str, Any]) -> str:
    """The kind of an entry: the key of its source, or its state."""
    source = next((key for key in SOURCES if key in entry), "")
    return str(entry["state"]) if source == "state" else source


def _entry_problems(entry: dict[str, Any]) -> list[str]:
    problems = [f"unknown key {key}{_nearest(key, ALL_KEYS)}" for key in entry if key not in ALL_KEYS]
    if "dest" not in entry:
        problems.append("dest is missing")
    elif not _absolute(entry["dest"]) or entry["dest"] == "/":
        problems.append(f"dest must be an absolute path without //, /./, /../ or a slash at the end, not {entry['dest']!r}")
    sources = [key for key in SOURCES if key in entry]
    if len(sources) != 1:
        problems.append(f"needs exactly one of {', '.join(SOURCES)}, and has {' and '.join(sources) or 'none'}")
    elif sources == ["state"] and entry["state"] not in ("directory", "absent"):
        problems.append("state must be directory or absent; a file or link has template, content or link instead")
    else:
        kind = kind_of(entry)
        problems += [f"{key} does not apply to {kind}" for key in entry if key in ALL_KEYS and key not in KEYS[kind]]
    if not isinstance(entry.get("content", ""), str):
        problems.append("content must be text; quote it, or use a filter such as to_nice_json")
    for key in ("template", "link"):
        if key in entry and not (isinstance(entry[key], str) and entry[key]):
            problems.append(f"{key} must be a path")
    for key in ("owner", "group"):
        value = entry.get(key, "root")
        if isinstance(value, bool) or not isinstance(value, (str, int)) or not re.fullmatch(r"[\w.$@-]+", str(value)):
            problems.append(f"{key} must be a name or a number")
    if not isinstance(entry.get("mode", ""), str):
        problems.append("mode must be a quoted octal number such as '0644' (without quotes YAML reads another number)")
    elif "mode" in entry and not re.fullmatch(r"0?[0-7]{3,4}", entry["mode"]):
        problems.append(f"mode must be an octal number such as '0644', not {entry['mode']!r}")
    for key in ("sensitive", "backup"):
        try:
            boolean(entry.get(key, False))
        except TypeError:
            problems.append(f"{key} must be true or false")
    if not isinstance(entry.get("vars", {}), dict):
        problems.append("vars must be a mapping")
    return problems


def _set_problems(entries: list[dict[str, Any]]) -> list[str]:
    """Problems between entries."""
    dests = [entry["dest"] for entry in entries]
    problems = [f"{dest} is in the set {dests.count(dest)} times" for dest in sorted({d for d in dests if dests.count(d) > 1})]
    leaves = [entry["dest"] for entry in entries if kind_of(entry) != "directory"]
    return problems + [
        f"{dest} is below {leaf}, which is not a directory in this set"
        for dest in sorted({entry["dest"] for entry in entries if kind_of(entry) != "absent"})
        for leaf in sorted(set(leaves)) if dest.startswith(leaf + "/")
    ]


def _purge_problems(rule: Any) -> list[str]:
    if not isinstance(rule, dict):
        return ["must be a mapping of path and patterns"]
    problems = [f"unknown key {key}{_nearest(key, PURGE)}" for key in rule if key not in PURGE]
    if not _absolute(rule.get("path")) or rule["path"] == "/":
        problems.append("path must be an absolute path")
    patterns = rule.get("patterns")
    if not isinstance(patterns, list) or not (patterns or rule.get("remove_empty")) or not all(isinstance(p, str) and p and "/" not in p for p in patterns):
        problems.append('patterns must be a list of patterns for names, such as ["*.conf"]')
    return problems


def _is_command(command: Any) -> bool:
    return isinstance(command, list) and bool(command) and str(command[0]) != "" and all(
        isinstance(part, (str, int, float)) and not isinstance(part, bool) for part in command)


def problems_of(arguments: dict[str, Any], known: tuple[str, ...] = OPTIONS, commands: tuple[str, ...] = COMMANDS) -> list[str]:
    """All problems of a task's arguments."""
    problems = [f"unknown option {key}{_nearest(key, known)}" for key in arguments if key not in known]
    lists: dict[str, list[Any]] = {}
    for key in ("files", "purge", *commands):
        given = arguments.get(key)
        lists[key] = given if isinstance(given, list) else []
        if not isinstance(given, (list, type(None))) or key == "files" and key not in arguments:
            problems.append(f"{key} must be a list")
    whole = []
    for number, entry in enumerate(lists["files"], 1):
        mapping = isinstance(entry, dict)
        where = f"files, entry {number} ({entry.get('dest', 'without dest') if mapping else 'not a mapping'})"
        wrong = _entry_problems(entry) if mapping else ["must be a mapping"]
        problems += [f"{where}: {text}" for text in wrong]
        if mapping and _absolute(entry.get("dest")):
            whole.append(entry)
    problems += _set_problems(whole)
    for number, rule in enumerate(lists["purge"], 1):
        problems += [f"purge, entry {number}: {text}" for text in _purge_problems(rule)]
    for key in commands:
        problems += [
            f"{key}, command {number}: must be a list of arguments, such as [nginx, -t]"
            for number, command in enumerate(lists[key], 1) if not _is_command(command)
        ]
    if "state_dir" in arguments and not _absolute(arguments["state_dir"]):
        problems.append("state_dir must be an absolute path")
    return problems


class ActionModule(ActionBase):
    """Controller side of file_set."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def _render(self, entry: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        """Render one template the way ansible.builtin.template does."""
        source = self._find_needle("templates", entry["template"])
        text = trust_as_template(self._loader.get_text_file_contents(source))
        roots = [*task_vars.get("ansible_search_path", []), self._loader.get_basedir(), os.path.dirname(source)]
        own = generate_ansible_template_vars(path=entry["template"], fullpath=source, dest_path=entry["dest"])
        if "ansible_managed" in task_vars:
            del own["ansible_managed"]
        templar = self._templar.copy_with_new_env(
            searchpath=[path for root in roots for path in (os.path.join(root, "templates"), root)],
            available_variables={**task_vars, **own, **(entry.get("vars") or {})},
        )
        result = templar.template(text, escape_backslashes=False, overrides={"trim_blocks": True, "lstrip_blocks": False})
        return "" if result is None else result

    def _content(self, entry: dict[str, Any], task_vars: dict[str, Any]) -> bytes:
        if "template" not in entry:
            return to_bytes(entry["content"], errors="surrogate_or_strict")
        try:
            return to_bytes(self._render(entry, task_vars), errors="surrogate_or_strict", nonstring="simplerepr")
        except AnsibleError as error:
            where = f"{entry['dest']}: template {entry['template']}"
            if boolean(entry.get("sensitive", False)) and not isinstance(error, AnsibleUndefinedVariable):
                # The text of other errors may quote a value.
                raise AnsibleActionFail(f"{where} failed with {type(error).__name__}; the text is hidden, as the file is "
                                        "sensitive") from None
            raise AnsibleActionFail(f"{where}: {error.message}") from error

    def packed(self, arguments: dict[str, Any], variables: dict[str, Any], commands: tuple[str, ...]) -> dict[str, Any]:
        """The rendered set and its commands, as arguments of the module."""
        files, contents = [], []
        for entry in arguments["files"]:
            kind, sensitive = kind_of(entry), boolean(entry.get("sensitive", False))
            mode = entry.get("mode") or DEFAULT_MODES.get(kind, "0600" if sensitive else "0644")
            files.append({
                **{key: str(entry[key]) for key in ("dest", "template", "link", "state") if key in entry},
                "owner": str(entry.get("owner", "root")), "group": str(entry.get("group", "root")), "mode": str(mode),
                "sensitive": sensitive, "backup": boolean(entry.get("backup", False)),
            })
            data = self._content(entry, variables) if kind in ("template", "content") else None
            contents.append(None if data is None else base64.b64encode(data).decode())
        return {
            "files": files, "_contents": base64.b64encode(zlib.compress(json.dumps(contents).encode())).decode(),
            **{key: [[str(part) for part in command] for command in arguments.get(key) or []] for key in commands},
        }

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check the arguments, render, and run the module once."""
        super().run(tmp, task_vars)
        arguments, variables = self._task.args, task_vars or {}
        problems = problems_of(arguments)
        if problems:
            title = f"file_set found {len(problems)} problem(s) in its arguments:"
            raise AnsibleActionFail("\n".join([title, *(f"- {text}" for text in problems)]))
        rest = {key: arguments[key] for key in ("purge", "state_dir") if arguments.get(key)}
        return self._execute_module(
            module_name="bulwark.flask.file_set", task_vars=variables,
            module_args={**self.packed(arguments, variables, COMMANDS), **rest},
        )
