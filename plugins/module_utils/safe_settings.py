"""The settings that are laid over what an application does not set itself. Each is safe behind the site that nginx_site writes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SAFE_SETTINGS: dict[str, Any] = {
    "SECRET_KEY": {"env": "FLASK_SECRET_KEY"},
    "SECRET_KEY_FALLBACKS": {"env_json": "FLASK_SECRET_KEY_FALLBACKS"},
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "REMEMBER_COOKIE_SECURE": True,
    "REMEMBER_COOKIE_HTTPONLY": True,
    "REMEMBER_COOKIE_SAMESITE": "Lax",
    "PREFERRED_URL_SCHEME": "https",
}


def safe_settings(domains: Iterable[str], body_max_mb: int) -> dict[str, Any]:
    """The settings of one application. A domain with a wildcard is written with a leading dot in TRUSTED_HOSTS."""
    hosts = [domain.removeprefix("*") for domain in domains]
    return {**SAFE_SETTINGS, "MAX_CONTENT_LENGTH": int(body_max_mb) * 2**20, **({"TRUSTED_HOSTS": hosts} if hosts else {})}
