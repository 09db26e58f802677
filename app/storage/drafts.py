"""Forms that people are filling in: sealed answers, under the hash of a random name, for the browser that began them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table, Text

from app.storage.engine import Tx
from app.storage.tables import Key, metadata

draft = Table(
    "draft",
    metadata,
    Column("id", Key, primary_key=True),
    Column("browser", Key, nullable=False),
    Column("body", Text, nullable=False),
    Column("expires", BigInteger, nullable=False),
)


def put(tx: Tx, id: str, browser: str, body: str, expires: int) -> None:
    """Keep a draft, or keep it anew; those whose time has passed go. `id` and `browser` are hashes."""
    tx.run("DELETE FROM draft WHERE expires < ? OR (id = ? AND browser = ?)", tx.at, id, browser)
    tx.run("INSERT INTO draft (id, browser, body, expires) VALUES (?, ?, ?, ?)", id, browser, body, expires)


def find(tx: Tx, id: str, browser: str) -> str | None:
    """What this browser has filled in so far."""
    row = tx.one("SELECT body FROM draft WHERE id = ? AND browser = ? AND expires > ?", id, browser, tx.at)
    return str(row[0]) if row else None
