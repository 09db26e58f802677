"""What is to be done at a time to come: put down with what makes it due, done once, by whichever worker comes first."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Index, Table

from app.storage.engine import Tx
from app.storage.tables import Key, metadata

agenda = Table(
    "agenda",
    metadata,
    Column("kind", Key, primary_key=True),
    Column("ref", Key, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Index("agenda_at", "at"),
)


@dataclass(frozen=True, slots=True)
class Item:
    """`kind` says what is to be done about `ref`; `at` in microseconds UTC."""

    kind: str
    ref: str
    at: int


def put(tx: Tx, *items: Item) -> None:
    """To be done at its time; one that is there already moves."""
    tx.many(
        "INSERT INTO agenda (kind, ref, at) VALUES (?, ?, ?) ON CONFLICT (kind, ref) DO UPDATE SET at = excluded.at",
        [(one.kind, one.ref, one.at) for one in items],
    )


def put_new(tx: Tx, one: Item) -> None:
    """To be done at its time, unless it is there already."""
    tx.many(
        "INSERT INTO agenda (kind, ref, at) VALUES (?, ?, ?) ON CONFLICT (kind, ref) DO NOTHING",
        [(one.kind, one.ref, one.at)],
    )


def drop(tx: Tx, kind: str, ref: str) -> None:
    """Not to be done any more."""
    tx.many("DELETE FROM agenda WHERE kind = ? AND ref = ?", [(kind, ref)])


def due(tx: Tx, most: int) -> list[Item]:
    """What is due, the oldest first."""
    rows = tx.rows("SELECT kind, ref, at FROM agenda WHERE at <= ? ORDER BY at, kind, ref LIMIT ?", tx.at, most)
    return [Item(*row) for row in rows]


def take(tx: Tx, one: Item) -> bool:
    """Whether it is this transaction's to do. Nobody else's is it then, unless this transaction is undone."""
    return tx.run("DELETE FROM agenda WHERE kind = ? AND ref = ? AND at = ?", one.kind, one.ref, one.at) == 1
