"""Rate limits of changes per client. With a session store, all processes share the counts."""

from flask import Flask, current_app
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits.storage import RedisStorage


class ScriptlessStorage(RedisStorage):
    """Counts without Lua: the store lets applications run no scripts."""

    STORAGE_SCHEME = ["unix"]

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to the counter of this window; the first one sets when it ends."""
        with self.storage.pipeline(transaction=True) as pipeline:
            pipeline.incrby(self.prefixed_key(key), amount)
            pipeline.expire(self.prefixed_key(key), expiry, nx=True)
            return int(pipeline.execute()[0])


# A client is an address: ProxyFix has taken it from the one proxy in front. While the store is away each
# process counts by itself.
limiter = Limiter(get_remote_address, strategy="fixed-window", headers_enabled=True)
changes = limiter.shared_limit(lambda: current_app.config["CHANGES_LIMIT"], scope="changes")


def init_app(app: Flask) -> None:
    """Count in the store, if there is one."""
    if url := app.config["SESSION_STORE_URL"]:
        app.config["RATELIMIT_STORAGE_URI"] = url
        app.config["RATELIMIT_STORAGE_OPTIONS"] = {
            "connection_pool": app.extensions["session_store"].connection_pool,
            "key_prefix": "limits",
        }
        app.config["RATELIMIT_IN_MEMORY_FALLBACK_ENABLED"] = True
    else:
        app.config["RATELIMIT_STORAGE_URI"] = "memory://"
    limiter.init_app(app)
