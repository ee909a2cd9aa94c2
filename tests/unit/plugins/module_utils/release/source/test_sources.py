"""Sources are checked before anything happens, and their secrets go nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.layout import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.source import base as release_sources
from ansible_collections.bulwark.flask.plugins.module_utils.release.source import git as release_git


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({}, "exactly one of git, path, archive, package; it has none"),
        ({"git": "x", "path": "y"}, "it has git, path"),
        ({"package": "shop"}, "one exact version"),
        ({"package": "shop>=1"}, "one exact version"),
        ({"package": "--index-url=x==1"}, "one exact version"),
        ({"git": "--upload-pack=evil"}, "start with a dash"),
        ({"git": "https://x/y", "version": "--evil"}, "start with a dash"),
        ({"archive": "http://x/y.tar", "sha256": "a" * 64}, "only fetched over https"),
        ({"archive": "https://x/y.tar"}, "needs its sha256"),
        ({"archive": "y.tar", "sha256": "abc"}, "64 hexadecimal digits"),
    ],
)
def test_a_malformed_source_is_refused_in_plain_words(source: dict[str, Any], words: str) -> None:
    with pytest.raises(ReleaseError, match=words):
        release_sources.check(source)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ({"git": "git@host:shop.git", "path": None}, "git"),
        ({"path": "."}, "path"),
        ({"archive": "a.zip"}, "archive"),
        ({"package": "shop[fast]==1.2.post1"}, "package"),
    ],
)
def test_a_good_source_has_one_kind(source: dict[str, Any], kind: str) -> None:
    assert release_sources.check(source) == kind


def test_a_password_in_a_url_is_taken_out_for_git_and_hidden_everywhere_else() -> None:
    bare, credentials = release_sources.split_credentials("https://jo:t%40k@git.example.com:8443/shop.git")
    assert bare == "https://git.example.com:8443/shop.git"
    assert credentials == "https://jo:t%40k@git.example.com:8443"
    assert release_sources.split_credentials("git@host:shop.git") == ("git@host:shop.git", None)
    assert release_sources.public("https://jo:secret@host/a.tar?token=secret#secret") == "https://host/a.tar"
    assert release_sources.public("ssh://git@host/shop.git") == "ssh://git@host/shop.git"


LISTING = "\n".join(
    f"{digit * 40}\t{name}"
    for digit, name in [
        ("1", "HEAD"),
        ("2", "refs/heads/feature/main"),
        ("3", "refs/heads/main"),
        ("4", "refs/tags/v1"),
        ("5", "refs/tags/v1^{}"),
        ("6", "refs/tags/main"),
    ]
)


@pytest.mark.parametrize(
    ("version", "digit"), [("HEAD", "1"), ("main", "3"), ("feature/main", "2"), ("v1", "5"), ("refs/tags/main", "6")]
)
def test_a_branch_wins_and_a_tag_means_its_commit(version: str, digit: str) -> None:
    assert release_git.pick_ref(LISTING, version) == digit * 40


def test_a_part_of_a_branch_name_is_no_branch() -> None:
    assert release_git.pick_ref(LISTING, "feature") is None


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("git@host: Permission denied (publickey).", "refused to let us in"),
        ('Load key "/run/x": error in libcrypto\ngit@host: Permission denied (publickey).', "not a private key"),
        ("Host key verification failed.", "SSH host key is not the expected one"),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", "could not be reached"),
        ("ERROR: Repository not found.", "no such repository"),
    ],
)
def test_what_git_says_is_explained(said: str, meaning: str) -> None:
    assert meaning in release_git.explain(said)


class FakeSandbox:
    """Runs nothing; remembers what it was asked to run and what lay in the key directory then."""

    unit = "flask-build-test.service"
    ids = (0, 0)

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.seen: list[tuple[list[str], dict[str, str], dict[str, str]]] = []

    def run(self, argv: list[str], *, env: dict[str, str], **_: Any) -> tuple[int, str]:
        files = {path.name: path.read_text() for path in Path(env["HOME"]).iterdir()}
        self.seen.append((argv, env, files))
        return 0, f"{'a' * 40}\tHEAD\n"


def test_the_deploy_key_is_a_file_while_git_runs_and_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class RunPath(type(tmp_path)):  # type: ignore[misc]
        """/run, somewhere a test may write."""

        def __new__(cls, *parts: Any) -> Any:
            return tmp_path / "run" if parts == ("/run",) else Path(*parts)

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(release_git, "Path", RunPath)
    monkeypatch.setattr(release_git.os, "chown", lambda *_, **__: None)
    sandbox = FakeSandbox(tmp_path)
    git = release_git.Git(sandbox, {"git": "git@host:shop.git"}, "KEY", None, tmp_path / "known_hosts", "/ca.pem")  # type: ignore[arg-type]
    assert git.resolve(None, None) == "a" * 40
    argv, env, files = sandbox.seen[0]
    assert files["key"] == "KEY\n"
    assert "KEY" not in " ".join([*argv, *env.values()])
    assert not list((tmp_path / "run").iterdir())
