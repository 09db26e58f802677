"""A read replica, for searches that tolerate its lag: those of the directory, which nobody is kept from.

Such a search runs there only where the replica has every change of the directory that the primary has; so whoever has
written one finds it, however late the replica is for everything else. What a decision rests on, and what one protects,
is read from the primary alone, and so is everything while the replica is away.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from app import observability
from app.fhir.registry import TYPES

if TYPE_CHECKING:
    from app.storage.engine import Tx

T = TypeVar("T")

DIRECTORY = frozenset(name for name, definition in TYPES.items() if definition.visibility == "directory")
PAUSE_SECONDS = 5.0  # in which a replica that failed is left alone

CHANGED = (
    "INSERT INTO epoch (name, number) VALUES ('directory', 1)"
    " ON CONFLICT (name) DO UPDATE SET number = epoch.number + 1"
)


class Replica:
    """Runs work on the replica where that makes no difference. `begin` opens a transaction there."""

    def __init__(self, begin: Callable[[Tx], Any]) -> None:
        self._begin = begin
        self._not_before = 0.0

    def run(self, tx: Tx, work: Callable[[Tx], T]) -> T:
        """`work` there, else on `tx`, the transaction on the primary."""
        if time.monotonic() >= self._not_before:
            try:
                with self._begin(tx) as there:
                    if _number(there) == _number(tx):
                        return work(there)
            except (psycopg.Error, SQLAlchemyError):
                self._not_before = time.monotonic() + PAUSE_SECONDS
                observability.event("replica_unavailable", seconds=PAUSE_SECONDS)
        return work(tx)


def note(tx: Tx, type_name: str) -> None:
    """Queue that the directory has changed, if the type is of it."""
    if type_name in DIRECTORY:
        tx.many(CHANGED, [()])


def _number(tx: Tx) -> int:
    """How often the directory has changed."""
    row = tx.one("SELECT number FROM epoch WHERE name = 'directory'")
    return int(row[0]) if row else 0
