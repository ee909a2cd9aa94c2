"""The SQLite database: one connection per request, the schema made at start."""

import sqlite3
from pathlib import Path

from flask import Flask, current_app, g


def init_app(app: Flask) -> None:
    """Make the schema and close every request's connection when it ends."""
    path = Path(app.config["DATABASE"])
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _connect(str(path))
    try:
        # Readers and the one writer do not wait for each other.
        connection.execute("PRAGMA journal_mode = WAL")
        with app.open_resource("schema.sql", mode="r") as schema:
            connection.executescript(schema.read())
    finally:
        connection.close()
    app.teardown_appcontext(_close)


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def get() -> sqlite3.Connection:
    """This request's connection."""
    if "db" not in g:
        g.db = _connect(current_app.config["DATABASE"])
    return g.db


def _close(_error: BaseException | None) -> None:
    connection = g.pop("db", None)
    if connection is not None:
        connection.close()


def products() -> list[sqlite3.Row]:
    """The whole catalogue."""
    return get().execute("SELECT id, name, description, cents FROM product ORDER BY name").fetchall()


def product(product_id: int) -> sqlite3.Row | None:
    """One product, or None."""
    query = "SELECT id, name, description, cents FROM product WHERE id = ?"
    return get().execute(query, (product_id,)).fetchone()


def reviews(product_id: int) -> list[sqlite3.Row]:
    """The newest reviews of a product."""
    query = "SELECT author, text, created FROM review WHERE product_id = ? ORDER BY id DESC LIMIT 50"
    return get().execute(query, (product_id,)).fetchall()


def add_review(product_id: int, author: str, text: str) -> None:
    """Store one review."""
    with get() as connection:
        connection.execute(
            "INSERT INTO review (product_id, author, text) VALUES (?, ?, ?)", (product_id, author, text)
        )
