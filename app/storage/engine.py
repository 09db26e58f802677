"""Database engines and transactions: SQLite (embedded) and PostgreSQL, one way of speaking to both.

Statements are written once with `?` placeholders. A transaction either commits whole or leaves nothing; a
serialization failure, a deadlock or a busy database is tried again inside `Store.retry`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from app.fhir.outcome import Fault

T = TypeVar("T")

RETRYABLE_STATES = {"40001", "40P01", "55P03"}
ATTEMPTS = 8


def microseconds() -> int:
    """The instant now, in microseconds UTC."""
    return time.time_ns() // 1000


@lru_cache(maxsize=4096)
def _for_psycopg(sql: str) -> str:
    return sql.replace("?", "%s")


class Tx:
    """One open transaction. Rows come back as plain tuples; writes may be queued and sent in one round trip."""

    __slots__ = ("_driver", "_queue", "at", "conn", "dialect", "memory", "zone")

    def __init__(self, conn: Connection, at: int, zone: str) -> None:
        self.conn = conn
        self.dialect = conn.dialect.name
        self.at = at
        self._driver: Any = conn.connection.driver_connection
        self._queue: list[tuple[str, list[Sequence[Any]]]] = []
        self.zone = zone
        self.memory: dict[str, str | None] = {}  # what references were found to stand for in this transaction

    @property
    def postgresql(self) -> bool:
        return self.dialect == "postgresql"

    def _cursor(self) -> Any:
        if self._queue:
            self.flush()
        return self._driver.cursor()

    def _text(self, sql: str) -> str:
        return _for_psycopg(sql) if self.postgresql else sql

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """All rows of a query, after everything queued has been sent."""
        cursor = self._cursor()
        cursor.execute(self._text(sql), params)
        return cursor.fetchall()  # type: ignore[no-any-return]

    def one(self, sql: str, *params: Any) -> tuple[Any, ...] | None:
        rows = self.rows(sql, *params)
        return rows[0] if rows else None

    def run(self, sql: str, *params: Any) -> int:
        """A statement that changes rows; the number of rows changed."""
        cursor = self._cursor()
        cursor.execute(self._text(sql), params)
        return cursor.rowcount  # type: ignore[no-any-return]

    def many(self, sql: str, params: Sequence[Sequence[Any]]) -> None:
        """Queue a statement for each of `params`; sent with the rest at the next read or at commit."""
        if params:
            self._queue.append((sql, list(params)))

    def flush(self) -> None:
        """Send what is queued: one pipeline on PostgreSQL."""
        queue, self._queue = self._queue, []
        if not queue:
            return
        if self.postgresql:
            with self._driver.pipeline(), self._driver.cursor() as cursor:
                for sql, params in queue:
                    text = _for_psycopg(sql)
                    for row in params:
                        cursor.execute(text, row)
        else:
            cursor = self._driver.cursor()
            for sql, params in queue:
                cursor.executemany(sql, params)

    def in_list(self, column: str, values: Sequence[Any]) -> tuple[str, Any]:
        """`column` is one of `values`, as one bound parameter whatever their number."""
        if self.postgresql:
            return f"{column} = ANY(?)", list(values)
        return f"{column} IN (SELECT value FROM json_each(?))", orjson.dumps(list(values)).decode()


class Contention(Exception):
    """Another transaction took or changed the row first: the work is to be done again from the start."""


class Store:
    """A database, and the transactions on it."""

    def __init__(
        self,
        url: str,
        replica_url: str | None = None,
        clock: Callable[[], int] = microseconds,
        zone: str = "Europe/London",
    ) -> None:
        self.clock = clock
        self.zone = zone
        self.engine = _engine(url)
        self.replica = _engine(replica_url) if replica_url else self.engine

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    @contextmanager
    def begin(self, *, reads: bool = False) -> Iterator[Tx]:
        """A transaction that commits at the end of the block and rolls back on any exception. With `reads` it only
        reads, and waits for no writer."""
        with self.engine.connect().execution_options(reads=reads) as conn, conn.begin():
            tx = Tx(conn, self.clock(), self.zone)
            yield tx
            tx.flush()

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

    def close(self) -> None:
        self.engine.dispose()
        if self.replica is not self.engine:
            self.replica.dispose()


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


def unavailable(error: BaseException) -> bool:
    """The database cannot be reached at all."""
    original = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(original, "sqlstate", None) or ""
    connection_lost = type(original).__name__ in {"OperationalError", "AdminShutdown", "CannotConnectNow"}
    return isinstance(error, OperationalError) or connection_lost or state.startswith(("08", "57P"))


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(url, parsed.database)
    engine = create_engine(url, pool_size=8, max_overflow=8, pool_pre_ping=False, pool_recycle=1800, pool_timeout=10)

    @event.listens_for(engine, "connect")
    def prepare_early(connection: Any, _record: Any) -> None:
        connection.prepare_threshold = 2

    return engine


def _sqlite(url: str, path: str | None) -> Engine:
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": 20}, pool_size=8, max_overflow=8)

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
        conn.exec_driver_sql("BEGIN" if conn.get_execution_options().get("reads") else "BEGIN IMMEDIATE")

    return engine


__all__ = ["Contention", "Store", "Tx", "microseconds", "retryable", "unavailable"]
