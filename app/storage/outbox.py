"""The feed of changes and the events that others are told of, written in the transaction of the change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.fhir.registry import TYPES
from app.fhir.topics import has_events
from app.storage import replica
from app.storage.engine import Tx

if TYPE_CHECKING:
    from app.storage.resources import Stored

# Types whose changes others act on.
TOLD = frozenset(name for name in TYPES if has_events(name))

# The transaction's own number: a reader that stays below the oldest open one sees every row exactly once.
# Raised by what a restored dump asks for: see `restoring`.
_RAISED = "COALESCE((SELECT number FROM epoch WHERE name = 'xid'), 0)"
XID = {"postgresql": f"(pg_current_xact_id()::text)::bigint + {_RAISED}", "sqlite": "0"}
OLDEST = {"postgresql": f"(pg_snapshot_xmin(pg_current_snapshot())::text)::bigint + {_RAISED}", "sqlite": "1"}


def record(tx: Tx, now: Stored, op: int) -> None:
    """Queue the feed row of a change, and its event."""
    known = tx.memory.get("xid")
    xid, first = (XID[tx.dialect], ()) if known is None else ("?", (known,))
    tx.many(
        f"INSERT INTO change (xid, patient, rid, version, type, op, updated) VALUES ({xid}, ?, ?, ?, ?, ?, ?)",
        [(*first, now.patient, now.rid, now.version, TYPES[now.type].code, op, now.updated)],
    )
    replica.note(tx, now.type)
    if now.type in TOLD:
        tx.told = True
        tx.many(
            f"INSERT INTO outbox (xid, at, topic, patient, rid, version, body) VALUES ({xid}, ?, ?, ?, ?, ?, ?)",
            [(*first, tx.at, f"{now.type}-{op}", now.patient, now.rid, now.version, "")],
        )


def announce(tx: Tx, topic: str, rid: int) -> int:
    """Queue an event that no change made, about the current version of a resource; how many (0 where it is gone)."""
    tx.told = True
    return tx.run(
        f"INSERT INTO outbox (xid, at, topic, patient, rid, version, body) SELECT {XID[tx.dialect]}, CAST(? AS BIGINT),"
        " CAST(? AS VARCHAR), r.patient, r.rid, r.version, '' FROM resource r WHERE r.rid = ? AND NOT r.deleted",
        tx.at,
        topic,
        rid,
    )
