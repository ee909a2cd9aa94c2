"""The diff of one path in Ansible's format: contents, then kind, owner and mode. No Ansible imports."""

from __future__ import annotations

import grp
import pwd
from typing import Any, Optional

from ansible_collections.bulwark.flask.plugins.module_utils.fileset.plan import DIFF_LIMIT, Change, Entry, State


def _name(number: Optional[int], lookup: Any, wanted: str) -> str:
    try:
        return str(lookup(number)[0])
    except (KeyError, TypeError):
        return wanted if number is None else str(number)


def _contents(state: State, hidden: bool) -> str:
    if state.kind == "link":
        return f"-> {state.link}\n"
    if state.kind != "file":
        return ""
    if hidden:
        return "[[ contents hidden: not readable by all accounts ]]\n"
    if state.data is None or len(state.data) > DIFF_LIMIT:
        return "[[ contents too long to show ]]\n"
    try:
        return state.data.decode()
    except UnicodeDecodeError:
        return f"[[ {len(state.data)} bytes that are not text ]]\n"


def _attributes(state: State, entry: Entry) -> str:
    if state.kind in ("absent", "backup"):
        return ""
    owner, group = _name(state.uid, pwd.getpwuid, entry.owner), _name(state.gid, grp.getgrgid, entry.group)
    mode = "" if state.kind == "link" else f"mode: {state.mode:04o}\n"
    return f"kind: {state.kind}\nowner: {owner}\ngroup: {group}\n{mode}"


def diff_of(change: Change) -> list[dict[str, str]]:
    """The differences of one change; contents of a sensitive file are hidden."""
    path, entry, now, want = change.path, change.entry, change.now, change.want
    if want.kind == "backup":
        return [{"prepared": f"{path}: a copy of {want.link}\n"}]
    parts = []
    # A removed file can contain secrets of another program.
    unknown = want.kind == "absent" and not (now.mode or 0) & 0o004
    before, after = _contents(now, unknown), _contents(want, False)
    header = {"before_header": path, "after_header": path}
    if now.kind == "absent" and want.kind in ("file", "link"):
        header["after_header"] += f" (new, {' '.join(_attributes(want, entry).split()[3::2])})"
    if now.kind == want.kind == "file" and now.data == want.data:
        pass
    elif entry.sensitive and "file" in (now.kind, want.kind):
        parts.append({**header, "prepared": f"--- before: {path}\n+++ after: {header['after_header']}\n"
                                            "[[ sensitive: contents hidden ]]\n"})
    elif before != after:
        parts.append({**header, "before": before, "after": after})
    elif before:  # both are too long, or are not text
        parts.append({**header, "prepared": f"--- before: {path}\n+++ after: {path}\n{after}"})
    before, after = _attributes(now, entry), _attributes(want, entry)
    if before != after and not (parts and "absent" in (now.kind, want.kind)):
        header = {"before_header": f"{path} (attributes)", "after_header": f"{path} (attributes)"}
        parts.append({**header, "before": before, "after": after})
    return parts
