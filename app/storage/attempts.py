"""How often something was tried: what is limited by person, organisation or address whichever process is asked.

A holder (a person, an organisation, an address) is kept as a hash: nobody can be read out of the table.
"""

from __future__ import annotations

from hashlib import blake2b

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table

from app.storage import resources
from app.storage.engine import Tx
from app.storage.tables import Key, Serial, metadata

attempt = Table(
    "attempt",
    metadata,
    Column("number", Serial, primary_key=True),
    Column("kind", Key, nullable=False),
    Column("holder", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("attempt_holder", "kind", "holder", "at"),
    Index("attempt_at", "at"),
)

KEPT = 2 * 24 * 3_600_000_000


def _hash(kind: str, holder: str) -> bytes:
    return blake2b(f"{kind}\x1f{holder}".encode(), digest_size=16).digest()


def hold(tx: Tx, kind: str, *holders: str) -> None:
    """Whoever else tries for one of them waits until the transaction ends: what is read from here on stays as it is."""
    resources.lock_match_keys(tx, [_hash(f"attempt {kind}", one) for one in holders], now=True)


def note(tx: Tx, kind: str, *holders: str) -> None:
    """One more of each. Whoever else notes one of them at the same time waits, so that a count is exact."""
    hold(tx, kind, *holders)
    tx.run("DELETE FROM attempt WHERE at < ?", tx.at - KEPT)
    tx.many(
        "INSERT INTO attempt (kind, holder, at) VALUES (?, ?, ?)",
        [(kind, _hash(kind, one), tx.at) for one in holders],
    )


def count(tx: Tx, kind: str, holder: str, since: int) -> int:
    """How many since an instant (microseconds UTC), those of this transaction among them."""
    row = tx.one(
        "SELECT count(*) FROM attempt WHERE kind = ? AND holder = ? AND at > ?", kind, _hash(kind, holder), since
    )
    return int(row[0]) if row else 0


def forget(tx: Tx, kind: str, holder: str) -> None:
    """Begin to count anew."""
    tx.run("DELETE FROM attempt WHERE kind = ? AND holder = ?", kind, _hash(kind, holder))
