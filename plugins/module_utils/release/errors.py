"""The error of a release."""

from __future__ import annotations


class ReleaseError(Exception):
    """A step failed; the text is meant for the operator."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step
