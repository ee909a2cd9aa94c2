"""All mistakes in the arguments are reported at once, before rendering."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.action.file_set import problems_of

GOOD: dict[str, Any] = {
    "files": [
        {"dest": "/etc/d", "state": "directory", "mode": "2750", "owner": 0, "group": "adm"},
        {"dest": "/etc/d/a", "template": "a.j2", "vars": {"x": 1}, "backup": True, "sensitive": "yes"},
        {"dest": "/etc/d/b", "content": "", "mode": "0644"},
        {"dest": "/etc/d/c", "link": "../target"},
        {"dest": "/etc/old", "state": "absent"},
        {"dest": "/etc/old/leaf", "state": "absent"},
    ],
    "purge": [{"path": "/etc/d", "patterns": ["*.conf"]}],
    "validate": [["nginx", "-t"]], "apply": [["sleep", 1]], "state_dir": "/var/lib/file_set",
}


def test_a_good_set_has_no_problems() -> None:
    assert problems_of(GOOD) == []
    assert problems_of({"files": [], "purge": None}) == []


@pytest.mark.parametrize(("entry", "problem"), [
    ({"content": ""}, "dest is missing"),
    ({"dest": "etc/a", "content": ""}, "must be an absolute path"),
    ({"dest": "/etc/../a", "content": ""}, "must be an absolute path"),
    ({"dest": "/etc/a/", "content": ""}, "must be an absolute path"),
    ({"dest": "/", "state": "directory"}, "must be an absolute path"),
    ({"dest": "/a"}, "and has none"),
    ({"dest": "/a", "content": "", "template": "b"}, "has template and content"),
    ({"dest": "/a", "content": "", "state": "absent"}, "has content and state"),
    ({"dest": "/a", "state": "file"}, "state must be directory or absent"),
    ({"dest": "/a", "content": 5}, "content must be text"),
    ({"dest": "/a", "content": None}, "content must be text"),
    ({"dest": "/a", "content": {"b": 1}}, "content must be text"),
    ({"dest": "/a", "link": ""}, "link must be a path"),
    ({"dest": "/a", "content": "", "mode": 0o644}, "mode must be a quoted octal number"),
    ({"dest": "/a", "content": "", "mode": "u=rw"}, "mode must be an octal number"),
    ({"dest": "/a", "content": "", "mode": "0888"}, "mode must be an octal number"),
    ({"dest": "/a", "link": "b", "mode": "0644"}, "mode does not apply to link"),
    ({"dest": "/a", "state": "absent", "backup": True}, "backup does not apply to absent"),
    ({"dest": "/a", "content": "", "vars": {}}, "vars does not apply to content"),
    ({"dest": "/a", "content": "", "owner": "a b"}, "owner must be a name"),
    ({"dest": "/a", "content": "", "group": True}, "group must be a name"),
    ({"dest": "/a", "content": "", "sensitive": "perhaps"}, "sensitive must be true or false"),
    ({"dest": "/a", "template": "b", "vars": []}, "vars must be a mapping"),
    ({"dest": "/a", "content": "", "sensitve": True}, "unknown key sensitve (did you mean sensitive?)"),
    ("/a", "must be a mapping"),
])
def test_a_bad_entry_is_refused(entry: Any, problem: str) -> None:
    found = problems_of({"files": [entry]})
    assert any(problem in text for text in found), found


@pytest.mark.parametrize(("change", "problem"), [
    ({"aply": []}, "unknown option aply (did you mean apply?)"),
    ({"files": "a"}, "files must be a list"),
    ({"validate": ["nginx -t"]}, "validate, command 1: must be a list of arguments"),
    ({"validate": ["nginx", "-t"]}, "validate, command 2: must be a list of arguments"),
    ({"apply": [[]]}, "apply, command 1: must be a list of arguments"),
    ({"apply": [[True]]}, "apply, command 1: must be a list of arguments"),
    ({"purge": [{"path": "etc", "patterns": ["*"]}]}, "path must be an absolute path"),
    ({"purge": [{"path": "/etc", "patterns": "*"}]}, "patterns must be a list"),
    ({"purge": [{"path": "/etc", "patterns": []}]}, "patterns must be a list"),
    ({"purge": [{"path": "/etc", "patterns": ["a/*"]}]}, "patterns must be a list"),
    ({"purge": [{"path": "/etc", "patterns": ["*"], "pattern": 1}]}, "unknown key pattern (did you mean patterns?)"),
    ({"state_dir": "var"}, "state_dir must be an absolute path"),
])
def test_a_bad_option_is_refused(change: dict[str, Any], problem: str) -> None:
    assert any(problem in text for text in problems_of({**GOOD, **change}))


def test_entries_that_contradict_each_other_are_refused() -> None:
    assert problems_of({"files": [{"dest": "/a", "content": ""}, {"dest": "/a", "state": "absent"}]}) == ["/a is in the set 2 times"]
    for leaf in ({"content": ""}, {"link": "/b"}, {"state": "absent"}):
        assert problems_of({"files": [{"dest": "/a", **leaf}, {"dest": "/a/b", "content": ""}]}) == [
            "/a/b is below /a, which is not a directory in this set"]


def test_all_problems_are_reported_at_once() -> None:
    assert len(problems_of({"files": [{"dest": "a"}, {"dest": "/b", "mode": 1}], "validate": ["x"], "nope": 1})) == 6
