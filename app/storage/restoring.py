"""After a restore: what is numbered by transactions goes on above what is stored.

The feed and the outbox are read in the order of PostgreSQL's transaction numbers. A dump that is restored into another
cluster holds higher numbers than that cluster gives: what is new would come before what is old, and wait for long. So a
distance is kept, by which its numbers are raised. A base backup and a SQLite file need none.
"""

from __future__ import annotations

from app.storage.engine import Store, Tx

STORED = (
    "SELECT GREATEST((SELECT max(xid) FROM change), (SELECT max(xid) FROM outbox), (SELECT max(xid) FROM progress), 0)"
)
NEXT = "SELECT (pg_snapshot_xmax(pg_current_snapshot())::text)::bigint"


def carry_on(store: Store) -> int:
    """Keep the distance that is needed; how much it has grown, 0 where nothing was restored. To be called before anything
    is written."""
    if store.dialect != "postgresql":
        return 0

    def work(tx: Tx) -> int:
        behind = behindhand(tx)
        if behind:
            tx.run(
                "INSERT INTO epoch (name, number) VALUES ('xid', ?)"
                " ON CONFLICT (name) DO UPDATE SET number = epoch.number + excluded.number",
                behind,
            )
        return behind

    return store.retry(work)


def behindhand(tx: Tx) -> int:
    """How far the cluster's numbers, raised, lie below what is stored."""
    if not tx.postgresql:
        return 0
    stored, following = tx.rows(STORED)[0][0], tx.rows(NEXT)[0][0]
    raised = tx.one("SELECT number FROM epoch WHERE name = 'xid'")
    return max(0, int(stored) + 1 - int(following) - (int(raised[0]) if raised else 0))
