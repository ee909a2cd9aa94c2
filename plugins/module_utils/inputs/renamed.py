"""Renamed variables, and the message about the new name."""

from __future__ import annotations

# For each role: the old name of an option and the new one, both without the role's prefix.
RENAMED: dict[str, dict[str, str]] = {
    "acme_cert": {
        "doctor": "preflight",
        "doctor_resolvers": "preflight_resolvers",
        "origin": "source",
        "rsa_too": "rsa_certificate",
    },
    "app_release": {
        "after": "post_activate",
        "before": "pre_activate",
        "keep": "keep_releases",
        "revive": "force",
        "watch": "restart_on_change",
    },
    "nginx_site": {
        "answer_timeout_seconds": "proxy_read_timeout_seconds",
        "gzip_answers": "gzip_responses",
        "unlimited": "rate_limit_exempt",
    },
}
# The same for the settings of a path in `nginx_site_paths`.
PATH_SETTINGS: dict[str, str] = {
    "answer_timeout_seconds": "proxy_read_timeout_seconds",
    "stream_answers": "response_buffering, with the opposite value",
    "stream_requests": "request_buffering, with the opposite value",
}


def option(role: str, name: str) -> str:
    """`; it is now called …` when an option of a role was renamed, else nothing. `name` may begin with the role's name."""
    new = RENAMED.get(role, {}).get(name.removeprefix(f"{role}_"))
    return f"; it is now called {f'{role}_' if name.startswith(f'{role}_') else ''}{new}" if new else ""


def path_setting(name: str) -> str:
    """The same for a setting of a path."""
    return f"; it is now called {PATH_SETTINGS[name]}" if name in PATH_SETTINGS else ""
