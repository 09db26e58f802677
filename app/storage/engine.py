"""Database engines and transactions: SQLite (embedded) and PostgreSQL, one way of speaking to both.

Statements are written once with `?` placeholders. A transaction either commits whole or leaves nothing; a
serialization failure, a deadlock or a busy database is tried again inside `Store.retry`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson
import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from app.fhir.outcome import Fault
from app.storage.links import Group, Link, PostgreSQL, SQLite, array
from app.storage.pooling import Pool
from app.storage.replica import Replica
from app.storage.sending import Queued
from app.storage.waking import Listener, Waker
from app.storage.wire import Row

T = TypeVar("T")

RETRYABLE_STATES = {"40001", "40P01", "55P03"}
ATTEMPTS = 8
READ_ONLY = "25006"  # this server is no primary any more: another is
AWAY = {"connect_timeout": 2, "tcp_user_timeout": 5000}  # a replica is not waited for


def microseconds() -> int:
    """The instant now, in microseconds UTC."""
    return time.time_ns() // 1000


class Tx:
    """One transaction. Rows come back as plain tuples; writes may be queued and sent in one round trip.

    It begins with the first write: what is read before stands for itself, as it does under READ COMMITTED, and a request
    that only reads and leaves its record behind is as many round trips as statements. `memory` holds what was found out
    in this transaction and would be asked again.
    """

    __slots__ = (
        "_ahead",
        "_begun",
        "_link",
        "_queue",
        "at",
        "base_url",
        "dialect",
        "memory",
        "postgresql",
        "told",
        "zone",
    )

    def __init__(self, link: Link, at: int, zone: str, base_url: str = "") -> None:
        self._link = link
        self._queue: list[Queued] = []
        self._ahead: list[tuple[str, Sequence[Any], Callable[[list[Row]], None]]] = []
        self._begun = False
        self.dialect = link.dialect
        self.postgresql = link.dialect == "postgresql"
        self.at = at
        self.zone = zone
        self.base_url = base_url  # a reference that begins with it is one to this server
        self.memory: dict[Any, Any] = {}
        self.told = False  # whether somebody waits for what is written here

    def rows(self, sql: str, *params: Any) -> list[Row]:
        """All rows of a query, in one round trip with everything that was queued before it or is asked ahead."""
        if self._queue or self._ahead:
            return self._trip((sql, params))[0]
        return self._link.rows(sql, params)

    def ahead(self, sql: str, params: Sequence[Any], found: Callable[[list[Row]], None]) -> None:
        """Ask in the round trip of the next statement, whatever that is. `found` is given the rows before anything else
        of that trip is looked at, and before anything is committed; what it raises ends the work."""
        self._ahead.append((sql, params, found))

    def settle(self) -> None:
        """Ask now what was to be asked ahead, if it has not been."""
        if self._ahead:
            self._trip()

    def _trip(self, *asked: tuple[str, Sequence[Any]]) -> list[list[Row]]:
        ahead, self._ahead = self._ahead, []
        queue, self._queue = self._queue, []
        begin = bool(queue) and not self._begun
        self._begun = self._begun or begin
        found = self._link.trip([(sql, params) for sql, params, _ in ahead], queue, asked, begin)
        for (_, _, look), rows in zip(ahead, found, strict=False):
            look(rows)
        return found[len(ahead) :]

    def one(self, sql: str, *params: Any) -> tuple[Any, ...] | None:
        rows = self.rows(sql, *params)
        return rows[0] if rows else None

    def run(self, sql: str, *params: Any) -> int:
        """A statement that changes rows; the number of rows changed."""
        self.begin()
        self.flush()
        return self._link.change(sql, params)

    def many(self, sql: str, params: Sequence[Sequence[Any]]) -> None:
        """Queue a statement for each of `params`; sent with the rest at the next read or at commit."""
        if params:
            self._queue.append((sql, params))

    def begin(self) -> None:
        """Open the transaction now. On SQLite as the one writer, for an upgrade from reading to writing cannot wait."""
        if not self._begun:
            self.settle()
            self._link.begin()
            self._begun = True

    def flush(self) -> None:
        """Send what is queued."""
        if self._queue:
            self._trip()

    def commit(self) -> None:
        """Make durable what was written. One queued write after nothing but reads is a transaction of its own."""
        self.settle()
        queue, self._queue = self._queue, []
        if self._begun:
            self._link.commit(queue)
            self._begun = False
        elif queue:
            self._link.commit_queue(queue)

    def rollback(self) -> None:
        """Undo what was written, whatever state the connection was left in."""
        self._queue, self._ahead = [], []
        self._begun = False
        self._link.rollback()

    def in_list(self, column: str, values: Sequence[Any]) -> tuple[str, Any]:
        """`column` is one of `values` (all text or all whole numbers), as one bound parameter whatever their number."""
        if self.postgresql:
            return f"{column} = ANY(?)", array(values)
        return f"{column} IN (SELECT value FROM json_each(?))", orjson.dumps(list(values)).decode()


class Contention(Exception):
    """Another transaction took or changed the row first: the work is to be done again from the start."""


class Begun:
    """A block that is one transaction on a link of its own."""

    __slots__ = ("_at", "_link", "_pool", "_store", "_tx")

    def __init__(self, store: Store, pool: Pool, at: int) -> None:
        self._store = store
        self._pool = pool
        self._at = at

    def __enter__(self) -> Tx:
        store = self._store
        self._link = self._pool.take()
        self._tx = Tx(self._link, self._at, store.zone, store.base_url)
        return self._tx

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        tx, store = self._tx, self._store
        try:
            if error is None:
                tx.commit()
                if tx.told and store._waker is not None:
                    store._waker.ring()
                self._pool.give(self._link)
                return
        except BaseException as failed:
            self._undone(failed)
            raise
        self._undone(error)

    def _undone(self, error: BaseException) -> None:
        """Nothing was written; a link that is of no use any more is not kept."""
        try:
            self._tx.rollback()
        except BaseException:
            self._link.close()
            raise
        if lost(error):
            self._link.close()
            self._pool.close()  # what waits there has most likely lost the same server
        else:
            self._pool.give(self._link)


class Store:
    """A database, and the transactions on it. `engine` is for schema work; transactions have connections of their own."""

    def __init__(
        self,
        url: str,
        replica_url: str | None = None,
        clock: Callable[[], int] = microseconds,
        zone: str = "Europe/London",
        base_url: str = "",
    ) -> None:
        self.clock = clock
        self.zone = zone
        self.base_url = base_url
        self.engine = _engine(url)
        self.dialect = self.engine.dialect.name
        self._group = Group() if self.dialect == "sqlite" else None
        self._pool = Pool(lambda: self._link(self.engine))
        self._waker = Waker(self.engine) if self.dialect == "postgresql" else None
        self._aside, self._replica = None, None
        if replica_url:
            there = _engine(replica_url)
            self._aside = aside = Pool(lambda: self._link(there, **AWAY))
            self._replica = Replica(lambda tx: Begun(self, aside, tx.at))

    def begin(self, *, reads: bool = False) -> Begun:
        """A transaction that commits at the end of the block and leaves nothing on any exception. `reads` says that it
        only reads."""
        return Begun(self, self._pool, self.clock())

    def tolerant(self, tx: Tx, work: Callable[[Tx], T]) -> T:
        """Read what nobody is kept from: on the replica where it is up to date with the directory, else within `tx`."""
        return work(tx) if self._replica is None else self._replica.run(tx, work)

    def _link(self, engine: Engine, **more: Any) -> Link:
        """A new connection on which nothing begins by itself: see Tx.begin."""
        if engine.dialect.name == "sqlite":
            return SQLite(engine.raw_connection(), self._group or Group())
        arguments, options = engine.dialect.create_connect_args(engine.url)
        connection = psycopg.connect(*arguments, **{**options, **more, "prepare_threshold": None})
        try:
            return PostgreSQL(connection)
        except BaseException:
            connection.close()
            raise

    def retry(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in a transaction, again when the database asks for it. Raises Fault "transient" at the end."""
        for attempt in range(ATTEMPTS):
            try:
                with self.begin() as tx:
                    return work(tx)
            except Exception as error:
                if not retryable(error):
                    raise
                time.sleep(random.uniform(0.5, 1.5) * 0.005 * 2**attempt)
        raise Fault(
            "transient", "the registry is busy; expected to succeed when tried again", headers={"Retry-After": "1"}
        )

    def listener(self) -> Listener:
        """Waits for what others commit; for one thread."""
        return Listener(self.engine)

    def close(self) -> None:
        """Give back every connection; what others still hold goes when they are done."""
        if self._waker is not None:
            self._waker.close()
        self._pool.close()
        self.engine.dispose()
        if self._aside is not None:
            self._aside.close()


def retryable(error: BaseException) -> bool:
    """The database refused for a reason that trying again may mend: contention or a lost race for a new key."""
    if isinstance(error, Contention):
        return True
    original = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(original, "sqlstate", None)
    if state in RETRYABLE_STATES or state == "23505":
        return True
    text = type(original).__name__ + " " + str(original)
    return "database is locked" in text or "UNIQUE constraint failed" in text


TOO_COMPLEX = ("parser stack overflow", "Expression tree is too large", "too many SQL variables")


def too_complex(error: BaseException) -> bool:
    """The database understands the statement, and will not take one of its size or depth."""
    original = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(original, "sqlstate", None) or ""
    return state in ("54000", "54001") or any(text in str(original) for text in TOO_COMPLEX)


def unavailable(error: BaseException) -> bool:
    """The database cannot be reached at all."""
    if too_complex(error):
        return False
    original = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(original, "sqlstate", None) or ""
    connection_lost = type(original).__name__ in {"OperationalError", "AdminShutdown", "CannotConnectNow"}
    if state == READ_ONLY:
        return True
    return isinstance(error, OperationalError) or connection_lost or state.startswith(("08", "57P"))


def lost(error: BaseException) -> bool:
    """The connection is of no use any more."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if getattr(original, "sqlstate", None) == READ_ONLY:
        return True
    return isinstance(original, psycopg.OperationalError | psycopg.InterfaceError) and not retryable(error)


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(url, parsed.database)
    unprepared = {"prepare_threshold": None}  # what is prepared is prepared by `wire`
    return create_engine(url, pool_size=1, max_overflow=8, pool_recycle=1800, pool_timeout=10, connect_args=unprepared)


def _sqlite(url: str, path: str | None) -> Engine:
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": 20}, pool_size=8, max_overflow=-1)

    @event.listens_for(engine, "connect")
    def pragmas(connection: Any, _record: Any) -> None:
        # The driver's own BEGIN is deferred, and an upgrade from reading to writing cannot wait: begin as a writer.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=OFF",
            "cache_size=-20000",
            "mmap_size=268435456",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin_immediate(conn: Connection) -> None:
        conn.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


__all__ = ["Contention", "Store", "Tx", "microseconds", "retryable", "unavailable"]
