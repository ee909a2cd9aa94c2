"""Sessions that live in the session store of the host; the cookie holds a random id and nothing else.

Flask's own sessions are a signed cookie: readable by the user, impossible to end, limited to 4 KB. They stay
in use where FLASK_SESSION_STORE_URL is not set.

What is stored is JSON, in the form Flask writes into its own cookie. It is never unpickled: whoever can write to
a store that is read with pickle can run code in the application, and Flask-Session 0.8 still reads with pickle.
"""

import secrets
from hashlib import sha256
from typing import Any

from flask import Flask, Request, Response, current_app
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SessionInterface, SessionMixin
from redis import Redis, RedisError
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.retry import Retry
from werkzeug.datastructures import CallbackDict
from werkzeug.exceptions import ServiceUnavailable

serializer = TaggedJSONSerializer()


def init_app(app: Flask) -> None:
    """Keep sessions in the store, if there is one."""
    url = app.config["SESSION_STORE_URL"]
    if not url:
        app.logger.info("no FLASK_SESSION_STORE_URL: sessions are signed cookies, and each process counts by itself")
        return
    # The store is next door: what takes two seconds does not come. A store that restarts is back within a second.
    store = Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2,
                           retry=Retry(ConstantBackoff(0.1), 10), retry_on_error=[Disconnected])
    app.extensions["session_store"] = store
    app.session_interface = StoredSessions(store)


def check() -> None:
    """Raise RedisError when there is a store and it does not answer."""
    if store := current_app.extensions.get("session_store"):
        store.ping()


class Session(CallbackDict, SessionMixin):
    """A user's session. It has no id while it is empty."""

    def __init__(self, sid: str | None = None, initial: dict[str, Any] | None = None) -> None:
        def changed(session: "Session") -> None:
            session.modified = True

        super().__init__(initial, changed)
        self.sid, self.modified = sid, False


def _unavailable(*_unused: Any, **__: Any) -> Any:
    raise ServiceUnavailable("The shop cannot remember you right now. Please try again in a minute.")


class Unavailable(Session):
    """A session that could not be read. Pages that need none go on; others answer 503."""

    __getitem__ = __setitem__ = __delitem__ = __contains__ = __iter__ = __len__ = _unavailable
    get = pop = setdefault = update = clear = _unavailable


class StoredSessions(SessionInterface):
    """Flask's way to read a session before a request and to write it afterwards."""

    def __init__(self, store: Redis) -> None:
        self.store = store

    def _key(self, sid: str) -> str:
        # Hashed: who reads the store, or a backup of it, learns no id that could be sent as a cookie.
        return f"session:{sha256(sid.encode()).hexdigest()}"

    def open_session(self, app: Flask, request: Request) -> Session:
        """The user's session. An id that is not in the store is replaced by a new one."""
        sid = request.cookies.get(self.get_cookie_name(app))
        if not sid:
            return Session()
        try:
            text = self.store.get(self._key(sid))
        except RedisError:
            app.logger.exception("the session store does not answer")
            return Unavailable()
        return Session() if text is None else Session(sid, serializer.loads(text.decode()))

    def is_null_session(self, obj: object) -> bool:
        """Whether there is nothing that could be saved."""
        return isinstance(obj, Unavailable)

    def save_session(self, app: Flask, session: Session, response: Response) -> None:
        """Write what has changed; forget what is empty."""
        response.vary.add("Cookie")
        if not session.modified:
            return
        try:
            self._write(app, session, response)
        except RedisError:
            app.logger.exception("the session could not be stored")
            # The answer of the view promises what did not happen.
            error = app.make_response(app.handle_user_exception(ServiceUnavailable("Nothing was changed. Please try again.")))
            response.status_code, response.content_type = error.status_code, error.content_type
            response.headers.pop("Location", None)
            response.set_data(error.get_data())

    def _write(self, app: Flask, session: Session, response: Response) -> None:
        cookie = {"key": self.get_cookie_name(app), "path": self.get_cookie_path(app), "domain": self.get_cookie_domain(app),
                  "secure": self.get_cookie_secure(app), "httponly": self.get_cookie_httponly(app),
                  "samesite": self.get_cookie_samesite(app)}
        if not session:
            if session.sid:
                self.store.delete(self._key(session.sid))
                response.delete_cookie(**cookie)
            return
        sid = session.sid or secrets.token_urlsafe(32)
        self.store.set(self._key(sid), serializer.dumps(session), ex=int(app.permanent_session_lifetime.total_seconds()))
        response.set_cookie(value=sid, expires=self.get_expiration_time(app, session), **cookie)
