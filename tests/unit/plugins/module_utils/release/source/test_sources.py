"""Sources are checked first, and their secrets do not leak."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.bulwark.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.bulwark.flask.plugins.module_utils.release.source import git, kinds
from ansible_collections.bulwark.flask.plugins.module_utils.release.source.base import public

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("git@host:x", "must be a mapping"),
        ({}, "has none of what it needs; give exactly one of git, path, archive, package"),
        ({"git": "x", "path": "y"}, "has git and path"),
        ({"package": "shop"}, "package must name one version"),
        ({"package": "shop>=1"}, "package must name one version"),
        ({"package": "--index-url=x==1"}, "package must name one version"),
        ({"git": "--upload-pack=evil"}, "git is not the address of a repository"),
        ({"git": "http://x/y"}, "without encryption"),
        ({"git": "https://x/y", "version": "--evil"}, "version must be a branch, tag or commit"),
        ({"git": "https://x/y", "version": 1.0}, "version was read as a number"),
        ({"git": "https://x/y", "deploy_key": KEY}, "deploy_key is for SSH"),
        ({"git": "git@x:y", "deploy_key": "id_ed25519"}, "deploy_key must be the private key itself"),
        ({"git": "git@x:y", "token": "t"}, "token is for https://"),
        ({"git": "https://x/y", "token": "t\n"}, "token must be the token itself"),
        ({"git": "https://me:secret@x/y"}, "has a user or password in its address"),
        ({"archive": "https://me:secret@x/y.zip", "sha256": "a" * 64}, "has a user or password in its address"),
        ({"archive": "http://x/y.tar", "sha256": "a" * 64}, "must be an https:// URL"),
        ({"archive": "https://x/y.tar"}, "sha256 is missing"),
        ({"archive": "y.tar", "sha256": "abc"}, "64 hexadecimal digits"),
        ({"archive": "y.rar"}, "must end in one of"),
        ({"package": "x==1", "token": "t"}, "token does not go with package"),
        ({"path": ".", "sha256": "a" * 64}, "sha256 does not go with path"),
    ],
)
def test_a_malformed_source_is_refused_with_the_option_named(source: Any, words: str) -> None:
    with pytest.raises(ReleaseError, match=words) as refused:
        kinds.parse(source, on_controller=False)
    assert "secret" not in str(refused.value)


def test_all_problems_of_a_source_are_listed_at_once() -> None:
    found = kinds.problems("shop.source", {"git": "http://x/y", "version": "-x", "sha256": "1"})
    assert [text.split()[0] for text in found] == ["shop.source.git", "shop.source.version", "shop.source.sha256"]


@pytest.mark.parametrize("source", [{"path": "/nowhere"}, {"archive": "/nowhere.zip"}])
def test_a_source_on_the_controller_is_looked_for_there_only(source: dict[str, Any]) -> None:
    assert kinds.problems("source", source, on_controller=False) == []
    assert "there is no" in kinds.problems("source", source)[0]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ({"git": "git@host:shop.git", "path": None, "version": "", "deploy_key": KEY}, "git"),
        ({"git": "https://host/shop.git", "token": "me:t"}, "git"),
        ({"path": "."}, "path"),
        ({"archive": "a.zip"}, "archive"),
        ({"package": "shop[fast]==1.2.post1"}, "package"),
    ],
)
def test_a_good_source_has_one_kind(source: dict[str, Any], kind: str) -> None:
    assert kinds.parse(source, on_controller=False).kind == kind


def test_secrets_of_a_source_are_separated_from_options_that_may_be_logged() -> None:
    git = kinds.parse({"git": "https://host/x", "token": "secret", "version": "main"}, on_controller=False)
    assert git.split_secrets() == ({"git": "https://host/x", "version": "main"}, {"token": "secret"})
    archive = kinds.parse({"archive": "https://host/a.tar?signature=secret", "sha256": "a" * 64}, on_controller=False)
    logged, hidden = archive.split_secrets()
    assert logged["archive"] == "https://host/a.tar"
    assert kinds.parse({**logged, **hidden}, on_controller=False).options == archive.options


def test_a_url_is_shown_without_password_and_query() -> None:
    assert public("https://jo:secret@host/a.tar?token=secret#secret") == "https://host/a.tar"
    assert public("ssh://git@host/shop.git") == "ssh://git@host/shop.git"


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
    assert git.pick_ref(LISTING, version) == digit * 40


def test_a_part_of_a_branch_name_is_no_branch() -> None:
    assert git.pick_ref(LISTING, "feature") is None


@pytest.mark.parametrize(
    ("output", "meaning"),
    [
        ("git@host: Permission denied (publickey).", "refused access"),
        ('Load key "/run/x": error in libcrypto\ngit@host: Permission denied (publickey).', "not a private key"),
        ("Host key verification failed.", "SSH host key is not the expected one"),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", "could not be reached"),
        ("ERROR: Repository not found.", "no such repository"),
    ],
)
def test_messages_of_git_are_explained(output: str, meaning: str) -> None:
    assert meaning in git.explain(output)
