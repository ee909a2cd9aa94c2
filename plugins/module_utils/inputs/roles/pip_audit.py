"""Rules of `pip_audit`."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.inputs.primitives import INDEX_URL, INDEX_URL_HINT, URL, Rule, between, matches


def ignores(where: str, value: Any) -> list[str]:
    """Ignored advisories; each needs a reason and a last day."""
    problems, seen = [], Counter(str(rule["id"]).upper() for rule in value)
    for n, rule in enumerate(value):
        at = f"{where}[{n}]"
        if not re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)+", rule["id"]):
            problems.append(f"{at}.id must be one advisory's name, such as CVE-2025-47278 or GHSA-4grg-w6v8-c28g")
        if not rule["reason"].strip():
            problems.append(f"{at}.reason is empty; write why this advisory does not apply")
        try:
            if len(str(rule["until"])) != 10:
                raise ValueError
            date.fromisoformat(str(rule["until"]))
        except ValueError:
            problems.append(f"{at}.until must be the last day on which it is ignored, such as 2027-01-31")
    return problems + [f"{where}: {name} is there {n} times; keep one" for name, n in seen.items() if n > 1]


RULES: dict[str, Rule] = {
    "hour": between(0, 23, "an hour"),
    "ignores": ignores,
    "index_url": matches(INDEX_URL, INDEX_URL_HINT),
    "minute": between(0, 59, "a minute"),
    "osv_url": matches(URL, "must be a URL without user and password, such as https://api.osv.dev/v1/query"),
}
