"""First answers to requests that carry an Idempotency-Key, kept with the change that they answer."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table

from app.storage.engine import Tx
from app.storage.tables import Key, metadata

DAY = 86_400_000_000  # microseconds: a key is good for so long
SWEPT = 100  # expired keys that a new one takes along

# `part` is 0 for a request as a whole, else one more than the place of an entry in its batch. `request` is a hash.
idempotency_key = Table(
    "idempotency_key",
    metadata,
    Column("holder", LargeBinary, primary_key=True),
    Column("key", Key, primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("answer", LargeBinary),
    Index("idempotency_key_at", "at"),
)


@dataclass(frozen=True, slots=True)
class Claim:
    """Whether the key is new, and if not, whether it came with the same request and what was answered (None: nothing
    yet)."""

    new: bool
    same: bool = True
    answer: bytes | None = None


def claim(tx: Tx, holder: bytes, key: str, part: int, request: bytes) -> Claim:
    """Take the key for this transaction; another with the same key waits until this one ends."""
    _sweep(tx)
    made = tx.run(
        "INSERT INTO idempotency_key (holder, key, part, at, request) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (holder, key, part) DO NOTHING",
        holder,
        key,
        part,
        tx.at,
        request,
    )
    if made:
        return Claim(True)
    row = tx.one(
        "SELECT at, request, answer FROM idempotency_key WHERE holder = ? AND key = ? AND part = ?", holder, key, part
    )
    if row is None:  # swept between the two statements
        return claim(tx, holder, key, part, request)
    at, before, answer = row
    if at >= tx.at - DAY:
        return Claim(False, bytes(before) == request, None if answer is None else bytes(answer))
    taken = tx.run(
        "UPDATE idempotency_key SET at = ?, request = ?, answer = NULL WHERE holder = ? AND key = ? AND part = ? AND at = ?",
        tx.at,
        request,
        holder,
        key,
        part,
        at,
    )
    return Claim(True) if taken else claim(tx, holder, key, part, request)


def keep(tx: Tx, holder: bytes, key: str, part: int, answer: bytes) -> bytes:
    """Keep the answer under a key that is claimed; the one that is kept, which may be another's."""
    tx.run(
        "UPDATE idempotency_key SET answer = ? WHERE holder = ? AND key = ? AND part = ? AND answer IS NULL",
        answer,
        holder,
        key,
        part,
    )
    row = tx.one("SELECT answer FROM idempotency_key WHERE holder = ? AND key = ? AND part = ?", holder, key, part)
    return answer if row is None or row[0] is None else bytes(row[0])


def _sweep(tx: Tx) -> None:
    """Forget some of the keys that are no longer good, passing over those that another transaction holds."""
    passing = " FOR UPDATE SKIP LOCKED" if tx.postgresql else ""
    tx.run(
        "DELETE FROM idempotency_key WHERE (holder, key, part) IN"
        f" (SELECT holder, key, part FROM idempotency_key WHERE at < ? ORDER BY at LIMIT {SWEPT}{passing})",
        tx.at - DAY,
    )
