"""The region's choices as they were: each set that was ever in force, by its hash."""

from __future__ import annotations

from app.storage.engine import Tx


def keep(tx: Tx, hash: str, version: str, body: str) -> None:
    """Keep a set; `body` is its choices as JSON. One that is there already stays."""
    tx.run(
        "INSERT INTO policy_set (hash, version, body, since) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        hash,
        version,
        body,
        tx.at,
    )


def find(tx: Tx, hash: str) -> tuple[str, str] | None:
    """(version, body) of a set."""
    row = tx.one("SELECT version, body FROM policy_set WHERE hash = ?", hash)
    return (row[0], row[1]) if row else None
