"""Database engines and transactions: SQLite (embedded) and PostgreSQL, one way of speaking to both.

Statements are written once with `?` placeholders. A transaction either commits whole or leaves nothing; a
serialization failure, a deadlock or a busy database is tried again inside `Store.retry`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson
import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import Pool, PoolProxiedConnection

from app.fhir.outcome import Fault
from app.storage.links import Group, Link, PostgreSQL, SQLite, array
from app.storage.sending import Queued
from app.storage.waking import Listener, Waker

T = TypeVar("T")

RETRYABLE_STATES = {"40001", "40P01", "55P03"}
ATTEMPTS = 8


def microseconds() -> int:
    """The instant now, in microseconds UTC."""
    return time.time_ns() // 1000


class Tx:
    """One transaction. Rows come back as plain tuples; writes may be queued and sent in one round trip.

    It begins with the first write: what is read before stands for itself, as it does under READ COMMITTED, and a request
    that only reads and leaves its record behind is as many round trips as statements. `memory` holds what was found out
    in this transaction and would be asked again.
    """

    __slots__ = ("_begun", "_link", "_queue", "at", "base_url", "dialect", "memory", "postgresql", "told", "zone")

    def __init__(self, link: Link, at: int, zone: str, base_url: str = "") -> None:
        self._link = link
        self._queue: list[Queued] = []
        self._begun = False
        self.dialect = link.dialect
        self.postgresql = link.dialect == "postgresql"
        self.at = at
        self.zone = zone
        self.base_url = base_url  # a reference that begins with it is one to this server
        self.memory: dict[Any, Any] = {}
        self.told = False  # whether somebody waits for what is written here

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """All rows of a query, after everything queued has been sent."""
        if self._queue:
            self.flush()
        return self._link.rows(sql, params)

    def one(self, sql: str, *params: Any) -> tuple[Any, ...] | None:
        rows = self.rows(sql, *params)
        return rows[0] if rows else None

    def run(self, sql: str, *params: Any) -> int:
        """A statement that changes rows; the number of rows changed."""
        self.begin()
        if self._queue:
            self.flush()
        return self._link.change(sql, params)

    def many(self, sql: str, params: Sequence[Sequence[Any]]) -> None:
        """Queue a statement for each of `params`; sent with the rest at the next read or at commit."""
        if params:
            self._queue.append((sql, params))

    def begin(self) -> None:
        """Open the transaction now. On SQLite as the one writer, for an upgrade from reading to writing cannot wait."""
        if not self._begun:
            self._link.begin()
            self._begun = True

    def flush(self) -> None:
        """Send what is queued."""
        if queue := self._queue:
            self.begin()
            self._queue = []
            self._link.send(queue)

    def commit(self) -> None:
        """Make durable what was written. One queued write after nothing but reads is a transaction of its own."""
        if not self._begun and self._queue:
            queue, self._queue = self._queue, []
            self._link.commit_queue(queue)
        elif self._begun:
            if self._queue:
                queue, self._queue = self._queue, []
                self._link.send(queue)
            self._link.commit()
            self._begun = False

    def rollback(self) -> None:
        """Undo what was written, whatever state the connection was left in."""
        self._queue = []
        self._begun = False
        self._link.rollback()

    def in_list(self, column: str, values: Sequence[Any]) -> tuple[str, Any]:
        """`column` is one of `values` (all text or all whole numbers), as one bound parameter whatever their number."""
        if self.postgresql:
            return f"{column} = ANY(?)", array(values)
        return f"{column} IN (SELECT value FROM json_each(?))", orjson.dumps(list(values)).decode()


class Contention(Exception):
    """Another transaction took or changed the row first: the work is to be done again from the start."""


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
        self._pool = _transactions(self.engine)
        self._group = Group() if self.dialect == "sqlite" else None
        self._waker = Waker(self.engine) if self.dialect == "postgresql" else None

    @contextmanager
    def begin(self, *, reads: bool = False) -> Iterator[Tx]:
        """A transaction that commits at the end of the block and leaves nothing on any exception. `reads` says that it
        only reads."""
        connection = self._pool.connect()
        try:
            tx = Tx(self._link(connection), self.clock(), self.zone, self.base_url)
            try:
                yield tx
                tx.commit()
                if tx.told and self._waker is not None:
                    self._waker.ring()
            except BaseException:
                tx.rollback()
                raise
        except BaseException as error:
            if lost(error):
                connection.invalidate()
            raise
        finally:
            connection.close()

    def _link(self, connection: PoolProxiedConnection) -> Link:
        link = connection.info.get("link")
        if link is None:
            driver: Any = connection.driver_connection
            link = PostgreSQL(driver) if self._group is None else SQLite(driver, self._group)
            connection.info["link"] = link
        return link

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
        self._pool.dispose()
        self.engine.dispose()


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
    return isinstance(error, OperationalError) or connection_lost or state.startswith(("08", "57P"))


def lost(error: BaseException) -> bool:
    """The connection is of no use any more."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(original, psycopg.OperationalError | psycopg.InterfaceError) and not retryable(error)


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(url, parsed.database)
    return create_engine(url, pool_size=1, max_overflow=8, pool_recycle=1800, pool_timeout=10)


def _transactions(engine: Engine) -> Pool:
    """Connections on which nothing begins by itself: see Tx.begin."""
    if engine.dialect.name == "sqlite":
        return engine.pool  # its connections are such
    hot = create_engine(
        engine.url,
        pool_size=8,
        max_overflow=-1,
        pool_recycle=1800,
        pool_timeout=10,
        pool_use_lifo=True,
        pool_reset_on_return=None,
    )

    @event.listens_for(hot, "connect")
    def autocommit(connection: Any, _record: Any) -> None:
        connection.autocommit = True

    return hot.pool


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
