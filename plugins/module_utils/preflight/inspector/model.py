"""A check and its findings."""

from __future__ import annotations

from typing import Any, Callable, Iterator, NamedTuple

Seen = Iterator[tuple]  # (result, text) or (result, text, cure); result is pass, warning, error or unknown


class Check(NamedTuple):
    """One check of the inspection.

    `severity` is the worst result it can have, `why` the reason for that, `fix` the remedy. `setting` is the Flask setting
    that fixes it, with its value: the deployment can set it without a change of the application.
    """

    id: str
    title: str
    severity: str
    why: str
    fix: str
    setting: tuple | None = None
    run: Callable[[Any], Seen] | None = None


def check(title: str, severity: str, why: str, fix: str, setting: tuple | None = None) -> Callable[[Callable[[Any], Seen]], Check]:
    """Register a function as the check of its name. It gets the subject; no finding means that the check passes."""
    return lambda function: Check(function.__name__, title, severity, why, fix, setting, function)


def finding(one: Check, result: str, found: str, fix: str | None = None) -> dict[str, str]:
    """One finding with the check's own advice, or `fix`. A pass needs none, and neither does what has an empty `fix`."""
    advice = {} if result == "pass" or fix == "" else {"why": one.why, "fix": one.fix if fix is None else fix}
    return {"check": one.id, "result": result, "found": found, "why": "", "fix": "", **advice}
