"""The hash chain over the audit, in days. Rows are linked in batches behind their insert, by whichever process comes by.

A row's place in the chain is the order in which it was linked. No insert waits for the chain, and no row is forgotten:
on PostgreSQL a transaction with a lower number may commit after one with a higher, so the horizon below which nothing
is looked for again moves only when every transaction that was open while it was the newest row has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from app.storage.engine import Store, Tx

LOCK = 0x61756469  # of pg_try_advisory_xact_lock: one linker at a time, nobody waits
BATCH = 2000
DAY = 86_400_000_000
NOTHING = bytes(32)

_OLDEST = (
    "SELECT (extract(epoch FROM min(xact_start)) * 1000000)::bigint FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def leaf(record: bytes) -> bytes:
    """The hash of a record's canonical bytes (RFC 8785)."""
    return sha256(record).digest()


def following(previous: bytes, leaf: bytes) -> bytes:
    """The hash of a link."""
    return sha256(previous + leaf).digest()


class Tree:
    """A Merkle tree (RFC 9162, section 2.1) as it grows: kept are the roots of its full subtrees, the largest first."""

    def __init__(self, count: int = 0, frontier: bytes = b"") -> None:
        self.count = count
        self._roots = [frontier[i : i + 32] for i in range(0, len(frontier), 32)]

    def add(self, leaf: bytes) -> None:
        node, number = sha256(b"\0" + leaf).digest(), self.count
        while number & 1:
            node, number = sha256(b"\1" + self._roots.pop() + node).digest(), number >> 1
        self._roots.append(node)
        self.count += 1

    @property
    def frontier(self) -> bytes:
        return b"".join(self._roots)

    @property
    def root(self) -> bytes:
        if not self._roots:
            return sha256(b"").digest()
        *rest, node = self._roots
        for left in reversed(rest):
            node = sha256(b"\1" + left + node).digest()
        return node


@dataclass(frozen=True, slots=True)
class Head:
    """How far the chain of one day (days since 1970, UTC) has come."""

    day: int
    count: int
    hash: bytes
    frontier: bytes

    @property
    def root(self) -> bytes:
        return Tree(self.count, self.frontier).root


@dataclass(frozen=True, slots=True)
class Link:
    """One place in the chain. `record` is None where the row it stands for is gone; `columns` are those of the row."""

    day: int
    n: int
    seq: int
    hash: bytes
    record: bytes | None
    columns: tuple[object, ...] = ()


def heads(tx: Tx) -> list[Head]:
    """Every day's head, the oldest first."""
    rows = tx.rows("SELECT day, count, hash, frontier FROM audit_chain ORDER BY day")
    return [Head(day, count, bytes(hash), bytes(frontier)) for day, count, hash, frontier in rows]


def link_all(store: Store) -> int:
    """Link what there is to link; how many rows that were. Another linker at work leaves nothing to do."""
    done = 0
    while linked := store.retry(link):
        done += linked
    return done


def link(tx: Tx, most: int = BATCH) -> int:
    """Link the next rows; how many. All of them or none, whatever happens to the process."""
    tx.begin()
    if tx.postgresql and not tx.rows("SELECT pg_try_advisory_xact_lock(?)", LOCK)[0][0]:
        return 0
    row = tx.one(
        "SELECT day, count, hash, frontier, horizon, pending, pending_at FROM audit_chain ORDER BY day DESC LIMIT 1"
    )
    day, count, hash, frontier, horizon, pending, pending_at = row or (0, 0, NOTHING, b"", 0, None, None)
    settled = _settled(tx, pending_at)
    rows = tx.rows(
        "SELECT a.seq, a.body FROM audit a WHERE a.seq > ?"
        " AND NOT EXISTS (SELECT 1 FROM audit_link l WHERE l.seq = a.seq) ORDER BY a.seq LIMIT ?",
        horizon,
        most,
    )
    if not rows and not (settled and pending is not None and pending > horizon):
        return 0
    today = max(day, tx.at // DAY)
    if row is None or today > day:
        day, count, frontier = today, 0, b""
        tx.run(
            "INSERT INTO audit_chain (day, count, hash, frontier, horizon) VALUES (?, 0, ?, ?, ?)",
            day,
            hash,
            frontier,
            horizon,
        )
    tree, hash, links = Tree(count, bytes(frontier)), bytes(hash), []
    for seq, body in rows:
        mark = leaf(bytes(body))
        hash = following(hash, mark)
        tree.add(mark)
        links.append((day, tree.count, seq, hash))
    tx.many("INSERT INTO audit_link (day, n, seq, hash) VALUES (?, ?, ?, ?)", links)
    if not tx.postgresql:
        horizon = rows[-1][0] if rows else horizon
    elif settled:
        if pending is not None and len(rows) < most:
            horizon = max(horizon, pending)
        pending, pending_at = tx.rows(
            "SELECT COALESCE(max(seq), 0), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM audit"
        )[0]
    tx.run(
        "UPDATE audit_chain SET count = ?, hash = ?, frontier = ?, horizon = ?, pending = ?, pending_at = ? WHERE day = ?",
        tree.count,
        hash,
        tree.frontier,
        horizon,
        pending,
        pending_at,
        day,
    )
    return len(rows)


def _settled(tx: Tx, since: int | None) -> bool:
    """Whether every transaction that was open at `since` has ended."""
    if not tx.postgresql or since is None:
        return True
    oldest = tx.rows(_OLDEST)[0][0]
    return oldest is None or oldest > since


def links(tx: Tx, columns: str, until: Head | None, most: int = 2000) -> Iterator[Link]:
    """Every link in order, as far as `until`, with its row."""
    if until is None:
        return
    day, n = -1, 0
    while rows := tx.rows(
        f"SELECT l.day, l.n, l.seq, l.hash, a.body, {columns} FROM audit_link l LEFT JOIN audit a ON a.seq = l.seq"
        " WHERE (l.day, l.n) > (?, ?) AND (l.day, l.n) <= (?, ?) ORDER BY l.day, l.n LIMIT ?",
        day,
        n,
        until.day,
        until.count,
        most,
    ):
        for row in rows:
            yield Link(row[0], row[1], row[2], bytes(row[3]), bytes(row[4]) if row[4] is not None else None, row[5:])
        day, n = rows[-1][0], rows[-1][1]


def waiting(tx: Tx) -> int:
    """How many rows are still to be linked, as far as they are above the horizon."""
    return int(
        tx.rows(
            "SELECT count(*) FROM audit a WHERE a.seq > COALESCE((SELECT max(horizon) FROM audit_chain), 0)"
            " AND NOT EXISTS (SELECT 1 FROM audit_link l WHERE l.seq = a.seq)"
        )[0][0]
    )


def unlinked(tx: Tx) -> tuple[list[tuple[int, str]], int]:
    """(seq, id) of rows that stand below the horizon and in no chain, so that they came another way than by the
    registry; and how many rows are still to be linked."""
    found = tx.rows(
        "SELECT a.seq, a.id, a.seq <= COALESCE((SELECT max(horizon) FROM audit_chain), 0) FROM audit a"
        " WHERE NOT EXISTS (SELECT 1 FROM audit_link l WHERE l.seq = a.seq) ORDER BY a.seq"
    )
    strange = [(seq, id) for seq, id, below in found if below]
    return strange, len(found) - len(strange)
