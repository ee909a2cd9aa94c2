"""The metrics of a check, for node_exporter."""

from __future__ import annotations

import time

HELP = {
    "alert": "A current alert.",
    "audit_state": "Result of the last audit of an application's packages: 1 for the current state, 0 for the others.",
    "audit_timestamp_seconds": "Time of the last audit.",
    "audit_findings": "Known vulnerabilities in the live release.",
    "certificate_not_before_seconds": "Start of the validity of the served certificate.",
    "certificate_not_after_seconds": "End of the validity of the served certificate.",
    "http_responses": "Responses within errors_minutes.",
    "http_5xx_responses": "5xx responses within errors_minutes.",
    "csp_reports": "Reports of browsers about the Content-Security-Policy within an hour.",
    "disk_free_ratio": "Free share of a file system's space or inodes.",
    "spooled_messages": "Messages waiting for delivery.",
    "dropped_messages": "Discarded messages.",
    "last_check_timestamp_seconds": "Time of the last check.",
}


def render(state: dict, measured: list) -> str:
    """The metrics in the format of node_exporter's textfile collector."""
    measured = measured + [("alert", {"key": key, "severity": alert["severity"]}, 1) for key, alert in state["alerts"].items()]
    measured += [("dropped_messages", {}, state["dropped"]), ("last_check_timestamp_seconds", {}, time.time())]
    lines = []
    for name, text in HELP.items():
        lines += [f"# HELP flask_host_{name} {text}", f"# TYPE flask_host_{name} gauge"]
        for _unused, labels, value in [sample for sample in measured if sample[0] == name]:
            shown = ",".join('{}="{}"'.format(label, str(text).replace("\\", "\\\\").replace('"', '\\"')) for label, text in labels.items())
            lines.append(f"flask_host_{name}{{{shown}}} {value}" if shown else f"flask_host_{name} {value}")
    return "\n".join(lines) + "\n"
