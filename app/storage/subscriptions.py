"""Subscriptions at work: who is to be told of what, how far each has come, and what could not be delivered.

An event becomes a notification row for each subscription that it concerns, in the transaction that moves the mark in the
outbox; a worker claims a subscription by a lease, and settles what it has sent only while it still holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Index, Integer, SmallInteger, Table, Text

from app.fhir.registry import BY_CODE
from app.storage.engine import Tx
from app.storage.tables import Key, Serial, metadata

subscription = Table(
    "subscription",
    metadata,
    Column("rid", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Key, nullable=False),
    Column("client", Key, nullable=False),
    Column("state", Key, nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("due", BigInteger),
    Column("lease", BigInteger, nullable=False),
    Column("holder", Key, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failing", BigInteger),
    Column("problem", Text, nullable=False),
    Column("spoke", BigInteger, nullable=False),
    Column("heartbeat", BigInteger),
    Index("subscription_due", "due"),
    Index("subscription_id", "id"),
)

# `state`: see PENDING and the rest. `number` is the subscriber's, given when the event is first sent.
notification = Table(
    "notification",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("subscription", BigInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("number", BigInteger),
    Column("topic", Key, nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("focus", Key, nullable=False),
    Column("rid", BigInteger, nullable=False),
    Column("patient", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("op", SmallInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("settled", BigInteger),
    Index("notification_queue", "subscription", "state", "seq"),
    Index("notification_number", "subscription", "number"),
)

PENDING, SENT, SUPPRESSED, DEAD = 0, 1, 2, 3
STATES = ("pending", "sent", "suppressed", "dead")
COLUMNS = "rid, id, client, state, sent, due, lease, holder, attempts, failing, problem, spoke, heartbeat"
ROW = "seq, subscription, state, number, topic, type, focus, rid, patient, version, op, at"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one subscription stands. Instants in microseconds UTC; `heartbeat` in microseconds."""

    rid: int
    id: str
    client: str
    state: str
    sent: int = 0
    due: int | None = None
    lease: int = 0
    holder: str = ""
    attempts: int = 0
    failing: int | None = None
    problem: str = ""
    spoke: int = 0
    heartbeat: int | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """One event for one subscription. `focus` is the id of what it is about, of `type` (a code of the registry)."""

    seq: int
    subscription: int
    state: int
    number: int | None
    topic: str
    type: int
    focus: str
    rid: int
    patient: int
    version: int
    op: int
    at: int

    @property
    def ref(self) -> str:
        return f"{BY_CODE[self.type].name}/{self.focus}"


# Registering -----------------------------------------------------------------------------------------------------


def register(tx: Tx, rid: int, id: str, client: str, state: str, heartbeat: int | None) -> None:
    """A Subscription was written: it begins (again), with what it was sent before still counted."""
    due = tx.at if state == "requested" else None
    tx.many(
        "INSERT INTO subscription (rid, id, client, state, sent, due, lease, holder, attempts, failing, problem, spoke,"
        " heartbeat) VALUES (?, ?, ?, ?, 0, ?, 0, '', 0, NULL, '', ?, ?) ON CONFLICT (rid) DO UPDATE SET"
        " state = excluded.state, client = excluded.client, due = excluded.due, attempts = 0, failing = NULL, problem = '',"
        " heartbeat = excluded.heartbeat",
        [(rid, id, client, state, due, tx.at, heartbeat)],
    )
    bump(tx)


def forget(tx: Tx, rid: int) -> None:
    """A Subscription was deleted: nothing more is sent, and what was queued is gone."""
    tx.many("DELETE FROM subscription WHERE rid = ?", [(rid,)])
    tx.many("DELETE FROM notification WHERE subscription = ?", [(rid,)])
    bump(tx)


def bump(tx: Tx) -> None:
    """Make what matchers remember of the subscriptions stale."""
    tx.many(
        "INSERT INTO epoch (name, number) VALUES ('subscription', 1)"
        " ON CONFLICT (name) DO UPDATE SET number = epoch.number + 1",
        [()],
    )


def epoch(tx: Tx) -> int:
    row = tx.one("SELECT number FROM epoch WHERE name = 'subscription'")
    return int(row[0]) if row else 0


def find(tx: Tx, id: str) -> Standing | None:
    row = tx.one(f"SELECT {COLUMNS} FROM subscription WHERE id = ?", id)
    return Standing(*row) if row else None


def every(tx: Tx, *states: str) -> list[Standing]:
    """All subscriptions, or those in one of `states`, in the order in which they were made."""
    where, params = ("", [])
    if states:
        text, param = tx.in_list("state", states)
        where, params = f" WHERE {text}", [param]
    return [Standing(*row) for row in tx.rows(f"SELECT {COLUMNS} FROM subscription{where} ORDER BY rid", *params)]


# Queueing ------------------------------------------------------------------------------------------------------


def add(tx: Tx, notices: Iterable[tuple[int, str, int, str, int, int, int, int]], at: int) -> None:
    """Queue (subscription, topic, type, focus, rid, patient, version, op) and make the subscriptions due."""
    rows = list(notices)
    tx.told = tx.told or bool(rows)
    tx.many(
        "INSERT INTO notification (subscription, state, topic, type, focus, rid, patient, version, op, at)"
        f" VALUES (?, {PENDING}, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(*row, at) for row in rows],
    )
    # One that is backing off keeps its time.
    tx.many(
        "UPDATE subscription SET due = ? WHERE rid = ? AND state = 'active' AND attempts = 0",
        [(tx.at, rid) for rid in dict.fromkeys(row[0] for row in rows)],
    )


# Sending ---------------------------------------------------------------------------------------------------------


def claim(tx: Tx, holder: str, seconds: int) -> Standing | None:
    """Lease the subscription that has been due the longest; None where none is."""
    if tx.one("SELECT 1 FROM subscription WHERE due <= ? AND lease < ? LIMIT 1", tx.at, tx.at) is None:
        return None
    tx.begin()
    skip = " FOR UPDATE SKIP LOCKED" if tx.postgresql else ""
    row = tx.one(
        f"SELECT {COLUMNS} FROM subscription WHERE due <= ? AND lease < ? AND state IN ('requested', 'active')"
        f" ORDER BY due LIMIT 1{skip}",
        tx.at,
        tx.at,
    )
    if row is None:
        return None
    tx.run("UPDATE subscription SET lease = ?, holder = ? WHERE rid = ?", tx.at + seconds * 1_000_000, holder, row[0])
    return Standing(*row)


def pending(tx: Tx, rid: int, most: int) -> list[Notice]:
    """What a subscription is to be sent next, in order."""
    rows = tx.rows(
        f"SELECT {ROW} FROM notification WHERE subscription = ? AND state = {PENDING} ORDER BY seq LIMIT ?", rid, most
    )
    return [Notice(*row) for row in rows]


def number(tx: Tx, rid: int, numbers: Sequence[tuple[int, int]], sent: int) -> None:
    """Give events (seq, number) their numbers for good, before they are first sent; `sent` is the last."""
    tx.many("UPDATE notification SET number = ? WHERE seq = ?", [(number, seq) for seq, number in numbers])
    tx.many("UPDATE subscription SET sent = ? WHERE rid = ?", [(sent, rid)])


def settle(tx: Tx, seqs: Sequence[int], state: int) -> None:
    """Events have been dealt with."""
    if seqs:
        text, param = tx.in_list("seq", seqs)
        tx.run(f"UPDATE notification SET state = ?, settled = ? WHERE {text}", state, tx.at, param)


def release(
    tx: Tx,
    held: Standing,
    holder: str,
    *,
    state: str,
    due: int | None,
    attempts: int,
    failing: int | None,
    problem: str,
) -> bool:
    """Give the lease back with how it went; False where it was lost meanwhile, and nothing of this may be kept.

    A subscription that has come to rest and has something to send all the same stays due."""
    spoke = tx.at if attempts == 0 else held.spoke
    if state != held.state:
        bump(tx)
    changed = tx.run(
        "UPDATE subscription SET lease = 0, holder = '', state = ?, attempts = ?, failing = ?, problem = ?, spoke = ?,"
        " due = CASE WHEN CAST(? AS INTEGER) = 0 AND EXISTS (SELECT 1 FROM notification n WHERE n.subscription ="
        f" subscription.rid AND n.state = {PENDING}) THEN ? ELSE CAST(? AS BIGINT) END WHERE rid = ? AND holder = ?",
        state,
        attempts,
        failing,
        problem,
        spoke,
        attempts,
        tx.at,
        due,
        held.rid,
        holder,
    )
    return changed == 1


def waiting(tx: Tx) -> dict[str, int]:
    """How many events of all subscriptions are pending, and how many dead."""
    rows = tx.rows(f"SELECT state, count(*) FROM notification WHERE state IN ({PENDING}, {DEAD}) GROUP BY state")
    found = {int(state): int(count) for state, count in rows}
    return {"pending": found.get(PENDING, 0), "dead": found.get(DEAD, 0)}


def bury(tx: Tx, rid: int) -> None:
    """What could not be sent is kept as dead letters, to be replayed."""
    tx.run(
        f"UPDATE notification SET state = {DEAD}, settled = ? WHERE subscription = ? AND state = {PENDING}", tx.at, rid
    )


def replay(tx: Tx, rid: int) -> int:
    """Queue the dead letters again; how many there were."""
    changed = tx.run(
        f"UPDATE notification SET state = {PENDING}, settled = NULL WHERE subscription = ? AND state = {DEAD}", rid
    )
    tx.run(
        "UPDATE subscription SET state = 'requested', due = ?, attempts = 0, failing = NULL, problem = '' WHERE rid = ?",
        tx.at,
        rid,
    )
    return changed


def sent(tx: Tx, rid: int, since: int, until: int, most: int) -> list[Notice]:
    """Events that were given numbers from `since` to `until`, for one who catches up."""
    rows = tx.rows(
        f"SELECT {ROW} FROM notification WHERE subscription = ? AND number >= ? AND number <= ? ORDER BY number LIMIT ?",
        rid,
        since,
        until,
        most,
    )
    return [Notice(*row) for row in rows]


def counts(tx: Tx) -> dict[int, dict[str, int]]:
    """subscription → how many events are in each state."""
    found: dict[int, dict[str, int]] = {}
    for rid, state, number in tx.rows("SELECT subscription, state, count(*) FROM notification GROUP BY 1, 2"):
        found.setdefault(rid, {})[STATES[state]] = number
    return found


def oldest(tx: Tx) -> dict[int, int]:
    """subscription → the instant of the oldest event that is still to be sent."""
    return dict(tx.rows(f"SELECT subscription, min(at) FROM notification WHERE state = {PENDING} GROUP BY 1"))
