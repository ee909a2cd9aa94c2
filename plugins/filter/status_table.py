"""The filter that formats the result of `application_status` as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DOCUMENTATION = r"""
name: status_table
short_description: The result of application_status as a table
version_added: "0.1.0"
description:
  - One block of lines for all hosts, with what the sandbox denied and what was done last below each application.
positional: _input
options:
  _input:
    description: Host to the list that M(bulwark.flask.application_status) returned.
    type: dict
    required: true
author:
  - The bulwark.flask authors (@bulwark)
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ {inventory_hostname: found.applications} | bulwark.flask.status_table }}"
"""

RETURN = r"""
_value:
  description: The table's lines.
  type: list
  elements: str
"""

HEAD = ("host", "application", "release", "unit", "certificate until", "audit", "inspection", "way back")


def _unit(app: Mapping[str, Any]) -> str:
    if not app["unit"]:
        return "-"
    restarts = app["unit"]["restarts"]
    state = str(app["unit"]["state"]) + (f", {restarts} restarts" if restarts else "")
    return f"{state}, maintenance" if app["maintenance"] else state


def _preflight(app: Mapping[str, Any]) -> str:
    findings = app["preflight"]
    if not findings:
        return "-"
    counts = [f"{len(findings[key])} {key}" for key in ("blocking", "warnings", "waived") if findings.get(key)]
    return ", ".join(counts) or "clean"


def _row(host: str, app: Mapping[str, Any]) -> tuple[str, ...]:
    back = [entry["release"] for entry in app["previous"] if entry["state"] == "good"]
    certificate, audit = app["certificate"], app["audit"]
    name = app["name"] if app.get("listed", True) else f"{app['name']} (not in flask_apps)"
    return (host, name, app["release"] or "none", _unit(app), certificate["until"][:10] if certificate else "none",
            f"{audit['state']}, {str(audit['time'])[:10]}" if audit else "none yet", _preflight(app), back[0] if back else "-")


def _done(entry: Mapping[str, Any]) -> str:
    commit = f" {str(entry['commit'])[:12]}" if entry.get("commit") else ""
    took = f", {entry['seconds']} s" if entry.get("seconds") else ""
    why = f": {entry.get('step')}: {entry['reason']}" if entry.get("reason") else ""
    return (f"{entry.get('time', '')}  {entry.get('action', ''):<8} {entry.get('result', ''):<11} "
            f"{entry.get('release') or '-'}{commit} by {entry.get('by', '')}{took}{why}")


def status_table(hosts: Mapping[str, list[Mapping[str, Any]]]) -> list[str]:
    """The lines of the table, then the last action of each application."""
    rows = [HEAD, *(_row(host, app) for host, apps in hosts.items() for app in apps)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEAD))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    for host, apps in hosts.items():
        for app in apps:
            if app["deploying"]:
                lines.append(f"{host} {app['name']}: a deploy is under way")
            if app["sandbox"]:
                lines += [f"{host} {app['name']}: its sandbox or its limits denied", *(f"  {line}" for line in app["sandbox"])]
            if app["history"]:
                lines += [f"{host} {app['name']}:", *(f"  {_done(entry)}" for entry in reversed(app["history"]))]
    return lines


class FilterModule:
    """The filter's name."""

    def filters(self) -> dict[str, Any]:
        return {"status_table": status_table}
