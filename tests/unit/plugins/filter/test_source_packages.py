"""A source's kind decides which packages the host needs."""

from __future__ import annotations

from ansible_collections.bulwark.flask.plugins.filter.source_packages import source_packages


def test_a_repository_needs_git_and_ssh() -> None:
    assert source_packages({"git": "git@host:x", "path": None}) == ["git", "openssh-client"]


def test_a_directory_has_no_requirements() -> None:
    assert source_packages({"path": "."}) == []
