#!/usr/bin/env python3
"""Write the tables of variables in the roles' READMEs from their argument specifications.

    role_docs.py            write them
    role_docs.py --check    exit 1 and name the READMEs that are not current
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
# Ansible's own marks for code, values and options; the text may hold one pair of brackets.
MARKED = re.compile(r"[CVO]\(((?:[^()]|\([^()]*\))*)\)")
BEGIN, END = "<!-- variables: begin -->", "<!-- variables: end -->"


def description(option: dict[str, Any]) -> str:
    """One line of text, in Markdown."""
    text = option.get("description", "")
    text = " ".join(text) if isinstance(text, list) else text
    text = MARKED.sub(lambda found: f"`{found.group(1)}`", text)
    return " ".join(text.split()).replace("|", "\\|")


def rows(options: dict[str, Any]) -> list[str]:
    """The table's rows."""
    lines = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, option in options.items():
        kind = option.get("type", "str") + (f" of {option['elements']}" if option.get("elements") else "")
        default = "required" if option.get("required") else "computed"
        if "default" in option:
            default = f"`{json.dumps(option['default'], ensure_ascii=False)}`"
        choices = f" One of {', '.join(f'`{c}`' for c in option['choices'])}." if option.get("choices") else ""
        lines.append(f"| `{name}` | {kind} | {default} | {description(option)}{choices} |")
    return lines


def current(role: Path) -> tuple[str, str]:
    """A README as it is, and as it should be."""
    readme = (role / "README.md").read_text(encoding="utf-8")
    spec = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    table = "\n".join(rows(spec["argument_specs"]["main"]["options"]))
    head, _, tail = readme.partition(BEGIN)
    _, _, rest = tail.partition(END)
    return readme, f"{head}{BEGIN}\n\n{table}\n\n{END}{rest}"


def main(arguments: list[str]) -> int:
    """Entry point."""
    stale = []
    for role in sorted((ROOT / "roles").iterdir()):
        now, wanted = current(role)
        if now != wanted:
            stale.append(role.name)
            if "--check" not in arguments:
                (role / "README.md").write_text(wanted, encoding="utf-8")
    if stale and "--check" in arguments:
        print(f"not current, run tools/role_docs.py: {', '.join(stale)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
