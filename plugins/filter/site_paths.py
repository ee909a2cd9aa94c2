"""The filter that makes nginx locations from `nginx_site_paths`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: site_paths
short_description: Settings of paths as nginx locations, in the order in which nginx must try them
version_added: "0.1.0"
description:
  - A path stands for itself and everything below it, in any case and with anything behind it that is no
    letter, digit, C(_) or C(-). What an outer path says holds for inner ones that say nothing else.
positional: _input, static
options:
  _input:
    description: Settings by path.
    type: dict
    required: true
  static:
    description: URL prefixes that are served as files. Access to a path includes its files.
    type: list
    elements: str
    default: []
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Two locations, and the one for all else
  ansible.builtin.debug:
    msg: "{{ {'/admin': {'allow': ['192.0.2.0/24']}, '/ws': {'websocket': true}} | bulwark.flask.site_paths }}"
"""

RETURN = r"""
_value:
  description:
    - Complete settings, inner paths before outer ones and V(/) last, each with C(path), C(match) (the arguments
      of nginx's C(location)), C(pattern) (the same as a regular expression), C(files) (whether it is served as
      files), C(rate_zone) and C(connections_zone) (the numbers of its own limits, 0 without one), and C(sets)
      (which of these this path sets).
  type: list
  elements: dict
"""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
LONG_SECONDS = 3600
DEFAULTS: dict[str, Any] = {
    "rate": "", "rate_burst": 0, "connections_per_client": 0, "body_max_mb": 0, "proxy_read_timeout_seconds": 0, "methods": METHODS,
    "allow": [], "users": [], "client_certificate": False, "websocket": False, "response_buffering": True, "request_buffering": True,
    "hidden": False, "cache_seconds": 0, "rate_zone": 0, "connections_zone": 0,
}


def _within(path: str, outer: str) -> bool:
    return bool(re.match(pattern(outer), path, re.IGNORECASE))


def pattern(path: str) -> str:
    """The regular expression of a path and all below it."""
    return "^" + re.escape(path.rstrip("/")) + r"(?![A-Za-z0-9_-])" if path.strip("/") else "^/"


def _own(given: Mapping[str, Any], number: int) -> dict[str, Any]:
    """One path's own settings in nginx's terms."""
    own = {key: value for key, value in given.items() if key not in ("rate_per_second", "rate_per_minute")}
    for unit in ("second", "minute"):
        if f"rate_per_{unit}" in given:
            own |= {"rate": f"{given[f'rate_per_{unit}']}r/{unit[0]}", "rate_zone": number, "rate_burst": given.get("rate_burst", 0)}
    if "connections_per_client" in given:
        own["connections_zone"] = number
    if "methods" in given:
        own["methods"] = [*given["methods"], *(["HEAD"] if "GET" in given["methods"] and "HEAD" not in given["methods"] else [])]
    return own


def site_paths(paths: Mapping[str, Any], static: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Locations, each with all settings that apply to it."""
    owns = {path: _own(given or {}, number) for number, (path, given) in enumerate(paths.items(), 1)}
    outermost_first = sorted(owns, key=lambda path: len(path.rstrip("/")))
    locations = []
    for path, files in [*((prefix, True) for prefix in static), *((path, False) for path in owns if path != "/"), ("/", False)]:
        settings = dict(DEFAULTS)
        for outer in outermost_first:
            if _within(path, outer):
                settings |= owns[outer]
        if settings["proxy_read_timeout_seconds"] == 0 and (settings["websocket"] or not settings["response_buffering"]):
            settings["proxy_read_timeout_seconds"] = LONG_SECONDS
        if files or settings["websocket"] or not settings["response_buffering"]:
            settings["cache_seconds"] = 0
        match = f"^~ {path}" if files else "/" if path == "/" else f'~* "{pattern(path)}"'
        locations.append({**settings, "path": path, "match": match, "pattern": pattern(path), "files": files,
                          "sets": [zone for zone in ("rate_zone", "connections_zone") if not files and owns.get(path, {}).get(zone)]})
    return sorted(locations, key=lambda one: (not one["files"], -len(one["path"].rstrip("/"))))


class FilterModule:
    """The filter's name."""

    def filters(self) -> dict[str, Any]:
        return {"site_paths": site_paths}
