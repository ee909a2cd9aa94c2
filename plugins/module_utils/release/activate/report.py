"""The summary of a deployment. No Ansible imports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def seconds(value: float) -> str:
    """A duration."""
    return f"{value:.1f} s" if value >= 0.05 else "0 s"


def summary(name: str, answer: Mapping[str, Any], build: Mapping[str, float] | None = None) -> list[str]:
    """The live release, every step with its duration, and the findings of the inspection."""
    if not answer["steps"]:
        return [f"{name}: {answer['release']} is live; nothing to do"]
    lines = [f"{name}: {answer['release']} is live, {seconds(sum(answer['steps'].values()))}"]
    for step, took in answer["steps"].items():
        parts = ", ".join(f"{part} {seconds(each)}" for part, each in (build or {}).items() if each >= 0.05)
        lines.append(f"  {step:<10}{seconds(took):>8}" + (f"  ({parts})" if step == "build" and parts else ""))
    if answer.get("kept"):
        target, *paths = answer["kept"]
        lines.append(f"Paths of the release that the application writes to are kept in {target}: {', '.join(paths)}. "
                     "They were found; `shared` in its entry can name them.")
    if answer["report"]:
        lines += str(answer["report"]["table"]).splitlines()
    lines += answer.get("page_lines", [])
    return lines
