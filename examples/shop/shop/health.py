"""The health check: requested before a release is activated, and by monitoring."""

import sqlite3

from flask import Blueprint, current_app
from redis import RedisError

from . import db, sessions

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> tuple[dict, int]:
    """200 when the database with its tables and the session store answer, 503 when not. Says nothing else."""
    try:
        db.get().execute("SELECT 1 FROM product LIMIT 1").fetchone()
    except sqlite3.Error:
        current_app.logger.exception("the database does not answer")
        return {"status": "unavailable"}, 503
    try:
        sessions.check()
    except RedisError:
        current_app.logger.exception("the session store does not answer")
        return {"status": "unavailable"}, 503
    return {"status": "ok"}, 200
