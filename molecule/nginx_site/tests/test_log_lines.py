"""Lines of the access log, which maps of nginx make from parts of a request."""

from __future__ import annotations

import json
from typing import Any


def test_the_log_of_the_longest_name_has_the_parts_of_a_request(longest: Any, plain: Any) -> None:
    lines = {}
    for site in (longest, plain):  # which share the names of the parts
        assert site.get("/heard?page=2&token=hidden", headers={"Referer": f"https://{site.domain}/from?token=hidden"}).status == 200
        lines[site.name] = json.loads(site.server.host.check_output(f"tail -n 1 /var/log/nginx/{site.name}/access.log"))
    for site in (longest, plain):
        assert (lines[site.name]["path"], lines[site.name]["referer"], lines[site.name]["agent"]) == ("/heard", f"https://{site.domain}/from", "")
        assert lines[site.name]["time"][10] == "T" and "." in lines[site.name]["time"]
    assert lines[longest.name]["query"] == {"page": "2"} and "query" not in lines[plain.name]
    assert lines[longest.name]["client"].endswith(".0") and not lines[plain.name]["client"].endswith(".0")
