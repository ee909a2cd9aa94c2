"""The session cookie, and where sessions are stored."""

from __future__ import annotations

import datetime
import os
import stat
from pathlib import Path
from typing import Any

from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.loading import kind_of
from ansible_collections.bulwark.flask.plugins.module_utils.preflight.inspector.model import Seen, check

LONGEST_SESSION = datetime.timedelta(days=31)
NO_SESSION = ("pass", "the application makes no session")


def _flag(subject: Any, name: str) -> Seen:
    value = subject.config.get(name)
    if not subject.session_uses:
        yield NO_SESSION
    elif not value:
        yield "error", f"{name} is off"
    elif value is not True:
        yield "warning", f"{subject.kind_of_setting(name)}, not True: any text is true, the text False too"


@check("the session cookie is Secure", "error", "the cookie would be sent over plain HTTP, where others on the network can read it",
       "SESSION_COOKIE_SECURE = True", ("SESSION_COOKIE_SECURE", True))
def cookie_secure(subject: Any) -> Seen:
    yield from _flag(subject, "SESSION_COOKIE_SECURE")


@check("the session cookie is HttpOnly", "error", "a script in a page could read the cookie", "SESSION_COOKIE_HTTPONLY = True",
       ("SESSION_COOKIE_HTTPONLY", True))
def cookie_httponly(subject: Any) -> Seen:
    yield from _flag(subject, "SESSION_COOKIE_HTTPONLY")


@check("the session cookie is SameSite Lax or Strict", "error", "requests of other sites would carry the client's session",
       'SESSION_COOKIE_SAMESITE = "Lax"', ("SESSION_COOKIE_SAMESITE", "Lax"))
def cookie_samesite(subject: Any) -> Seen:
    if not subject.session_uses:
        yield NO_SESSION
        return
    value = subject.config.get("SESSION_COOKIE_SAMESITE")
    if value is None:
        yield "warning", "SESSION_COOKIE_SAMESITE is not set, and browsers differ in what they make of it"
    elif str(value).lower() == "none":
        yield "error", "SESSION_COOKIE_SAMESITE is None: other sites' requests carry the session"
    elif str(value).lower() not in ("lax", "strict"):
        yield "error", "SESSION_COOKIE_SAMESITE is neither Lax nor Strict; every response with a cookie fails"


@check("a session lasts 31 days at most", "warning", "a stolen cookie works as long as the session lasts",
       "PERMANENT_SESSION_LIFETIME = 12 * 3600")
def cookie_lifetime(subject: Any) -> Seen:
    if not subject.session_uses:
        yield NO_SESSION
        return
    lifetime = subject.config.get("PERMANENT_SESSION_LIFETIME")
    if isinstance(lifetime, int):
        lifetime = datetime.timedelta(seconds=lifetime)
    if not isinstance(lifetime, datetime.timedelta):
        yield "warning", f"{subject.kind_of_setting('PERMANENT_SESSION_LIFETIME')}, which must be a number of seconds"
    elif lifetime > LONGEST_SESSION:
        yield "warning", f"a session lasts {lifetime.days} days"
    else:
        yield "pass", f"a session lasts {lifetime}"


@check("the session cookie has the prefix __Host- or __Secure-", "error", "without it a neighbouring subdomain can plant a session cookie",
       'SESSION_COOKIE_NAME = "__Host-session"', ("SESSION_COOKIE_NAME", "__Host-session"))
def cookie_name(subject: Any) -> Seen:
    if not subject.session_uses:
        yield NO_SESSION
        return
    name = str(subject.config.get("SESSION_COOKIE_NAME") or "")
    interface = subject.app.session_interface
    domain, root = interface.get_cookie_domain(subject.app), interface.get_cookie_path(subject.app) == "/"
    # Both prefixes also need Secure, which has a separate check.
    if name.startswith("__Host-") and (domain or not root):
        yield "error", "browsers refuse a __Host- cookie that has a domain or another path than /", 'SESSION_COOKIE_NAME = "__Secure-session"'
    elif not name.startswith(("__Host-", "__Secure-")):
        prefix = "__Host-" if root and not domain else "__Secure-"
        yield "warning", "SESSION_COOKIE_NAME has no prefix", f'SESSION_COOKIE_NAME = "{prefix}session"'


@check("sessions are in a signed cookie, or in a store of this application alone", "warning",
       "write access to the store allows a login as any user and, with pickled data, execution of code",
       "a Redis user of its own on a unix socket: redis.Redis(unix_socket_path=…, username=…, password=…)")
def session_store(subject: Any) -> Seen:
    from flask.sessions import SecureCookieSessionInterface

    interface = subject.app.session_interface
    if isinstance(interface, SecureCookieSessionInterface):
        yield "pass", "the session is a signed cookie, which the client can read; the server stores nothing"
        return
    kind = kind_of(interface)
    if kind.endswith("NullSessionInterface"):
        yield "pass", "there are no sessions"
        return
    held = list(vars(interface).values())
    held += [client for client in (getattr(thing, "_client", None) for thing in held) if client is not None]  # cachelib's RedisCache
    pools = [getattr(getattr(thing, "connection_pool", None), "connection_kwargs", None) for thing in held]
    pool = next((p for p in pools if isinstance(p, dict)), None)
    directory = next((p for p in (getattr(thing, "_path", None) for thing in held) if isinstance(p, (str, Path))), None)
    if pool is not None:
        yield from _redis(pool)
    elif directory is not None:
        yield from _directory(Path(directory))
    elif "memcache" in " ".join([kind, *map(kind_of, held)]).lower():
        yield "warning", "sessions are in memcached, which has no passwords"
    elif "sqlalchemy" in kind.lower():
        yield "pass", "sessions are in the application's own database"
    else:
        yield "unknown", f"sessions are kept by {kind}, which the inspection does not know; check that only this application can use its store"


def _redis(pool: dict[str, Any]) -> Seen:
    where = "a unix socket" if pool.get("path") else "TCP"
    user, password = pool.get("username"), pool.get("password")
    if user and user != "default" and password:
        yield "pass", f"sessions are in Redis on {where}, under a user of its own"
    elif password:
        yield "warning", f"sessions are in Redis on {where}, under the default user, which all of its clients share"
    elif pool.get("path") and _private(Path(pool["path"])):
        yield "pass", "sessions are in Redis on a unix socket that only this account can use"
    else:
        yield "warning", f"sessions are in Redis on {where} without a password: any client that can connect can write them"


def _directory(directory: Path) -> Seen:
    if not directory.exists():
        yield "unknown", f"sessions are to be files in {directory}, which does not exist yet"
    elif not _private(directory):
        yield "warning", f"sessions are files in {directory}, which other accounts can enter", f"os.chmod({str(directory)!r}, 0o700)"
    else:
        yield "pass", f"sessions are files in {directory}, which only this account can enter"


def _private(path: Path) -> bool:
    """Whether a file or directory is accessible to this account only."""
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o077
