"""The two ways of speaking to a database that a transaction knows: over PostgreSQL's wire, and to a SQLite file."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from sqlalchemy.pool import PoolProxiedConnection

from app.storage.sending import COPY_FROM, MANY, Queued, gathered, numbered, plain, shared, statements
from app.storage.wire import Row, Wire

Statement = tuple[str, Sequence[Any]]
BEGIN: Statement = ("BEGIN", ())
COMMIT: Statement = ("COMMIT", ())


class Link(Protocol):
    """One connection. Statements have `?` placeholders."""

    dialect: str
    until: float  # the monotonic time from which it is not to be used again

    def rows(self, sql: str, params: Sequence[Any]) -> list[Row]: ...

    def trip(
        self, ahead: Sequence[Statement], queue: Sequence[Queued], asked: Sequence[Statement], begin: bool
    ) -> list[list[Row]]:
        """The rows of what is asked `ahead`, then, after the writes of the queue, in a transaction that is to `begin` with
        them, those of what is `asked`: in one round trip where that is possible."""

    def change(self, sql: str, params: Sequence[Any]) -> int: ...

    def begin(self) -> None: ...

    def commit(self, queue: Sequence[Queued]) -> None:
        """End the transaction with the writes of the queue."""

    def commit_queue(self, queue: Sequence[Queued]) -> None:
        """Make a queue durable in a transaction that nothing was read in."""

    def rollback(self) -> None: ...

    def close(self) -> None: ...


def array(values: Sequence[Any]) -> str:
    """Values, all text or all whole numbers, as the literal of a PostgreSQL array: much cheaper than a list."""
    if values and isinstance(values[0], str):
        quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
        return '{"' + '","'.join(quoted) + '"}'
    return "{" + ",".join(map(str, values)) + "}"


class PostgreSQL:
    """A connection in autocommit: a statement outside a transaction is one."""

    dialect = "postgresql"
    until = 0.0

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        connection.autocommit = True
        self._connection = connection
        self._wire = Wire(connection)
        # What is asked here takes milliseconds at most; to compile a plan that looks dear takes fifty.
        self._wire.say(b"SET jit = off")

    def rows(self, sql: str, params: Sequence[Any]) -> list[Row]:
        if len(params) > MANY:
            return self._wire.rows(*shared(sql, params, "$"))
        return self._wire.rows(numbered(sql), params)

    def trip(
        self, ahead: Sequence[Statement], queue: Sequence[Queued], asked: Sequence[Statement], begin: bool
    ) -> list[list[Row]]:
        first = [(numbered(sql), params) for sql, params in ahead]
        written = self._written(queue, begin)
        last = [(numbered(sql), params) for sql, params in asked]
        found = self._wire.pipeline([*first, *written, *last])
        return [*found[: len(first)], *found[len(first) + len(written) :]]

    def change(self, sql: str, params: Sequence[Any]) -> int:
        return self._wire.change(numbered(sql), params)

    def begin(self) -> None:
        self._wire.say(b"BEGIN")

    def commit(self, queue: Sequence[Queued]) -> None:
        written = self._written(queue, False)
        if written:
            self._wire.pipeline([*written, COMMIT])
        else:
            self._wire.say(b"COMMIT")

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()

    def _written(self, queue: Sequence[Queued], begin: bool) -> list[Statement]:
        """The queue as statements that are still to be sent; many rows for one table are copied there at once."""
        together = list(gathered(queue))
        if all(plain(sql) for sql, _ in together) and any(len(rows) >= COPY_FROM for _, rows in together):
            if begin:
                self._wire.say(b"BEGIN")
                begin = False
            for sql, rows in together:
                if len(rows) >= COPY_FROM:
                    self._copy(sql, rows)
            together = [(sql, rows) for sql, rows in together if len(rows) < COPY_FROM]
        return [*([BEGIN] if begin else ()), *statements(together)]

    def commit_queue(self, queue: Sequence[Queued]) -> None:
        if len(queue) == 1 and len(queue[0][1]) == 1:
            self._wire.change(numbered(queue[0][0]), queue[0][1][0])
            return
        self._wire.pipeline([*self._written(queue, True), COMMIT])

    def _copy(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        found = plain(sql)
        assert found is not None
        with self._connection.cursor().copy(f"COPY {found[1]} ({found[2]}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


class SQLite:
    """A connection on which nothing begins by itself."""

    dialect = "sqlite"
    until = 0.0

    def __init__(self, lent: PoolProxiedConnection, group: Group) -> None:
        driver: Any = lent.driver_connection
        self._lent = lent
        self._connection = driver
        self._cursor = self._connection.cursor()
        self._group = group
        self._writing = False

    def rows(self, sql: str, params: Sequence[Any]) -> list[Row]:
        if len(params) > MANY:
            sql, params = shared(sql, params, "?")
        return self._cursor.execute(sql, params).fetchall()  # type: ignore[no-any-return]

    def trip(
        self, ahead: Sequence[Statement], queue: Sequence[Queued], asked: Sequence[Statement], begin: bool
    ) -> list[list[Row]]:
        found = [self.rows(sql, params) for sql, params in ahead]
        if begin:
            self.begin()
        self.send(queue)
        return [*found, *(self.rows(sql, params) for sql, params in asked)]

    def change(self, sql: str, params: Sequence[Any]) -> int:
        return self._cursor.execute(sql, params).rowcount  # type: ignore[no-any-return]

    def begin(self) -> None:
        """Writers of one process take turns here: those who wait for each other in the database only poll."""
        self._group.turn.acquire()
        self._writing = True
        self._cursor.execute("BEGIN IMMEDIATE")

    def commit(self, queue: Sequence[Queued]) -> None:
        self.send(queue)
        self._cursor.execute("COMMIT")
        self._over()

    def rollback(self) -> None:
        self._connection.rollback()
        self._over()

    def close(self) -> None:
        self._lent.invalidate()
        self._lent.close()

    def _over(self) -> None:
        if self._writing:
            self._writing = False
            self._group.turn.release()

    def send(self, queue: Sequence[Queued]) -> None:
        """Carry out the writes of the queue, in the transaction that is open."""
        for sql, rows in gathered(queue):
            self._cursor.executemany(sql, rows)

    def commit_queue(self, queue: Sequence[Queued]) -> None:
        self._group.write(self, queue)


class Group:
    """Commits of several requests in one, on SQLite, where each costs a write to the disk. Nobody returns before what
    it wrote is durable."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self.turn = threading.RLock()

    def write(self, link: SQLite, queue: Sequence[Queued]) -> None:
        """Make the writes durable. Whoever has the turn commits for all who wait for it."""
        mine = _Waiting(queue)
        self._waiting.append(mine)
        with self.turn:
            if not mine.done:
                together = [self._waiting.popleft() for _ in range(len(self._waiting))]
                if not _committed(link, together):
                    for one in together:
                        _committed(link, [one])
        if mine.error is not None:
            raise mine.error


@dataclass(slots=True)
class _Waiting:
    queue: Sequence[Queued]
    done: bool = False
    error: Exception | None = None


def _committed(link: SQLite, together: list[_Waiting]) -> bool:
    """Whether the writes of all are in, in one transaction; if not, each knows why."""
    failed: Exception | None = None
    try:
        link.begin()
        for one in together:
            link.send(one.queue)
        link.commit(())
    except Exception as error:
        failed = error
        link.rollback()
    for one in together:
        one.done, one.error = True, failed
    return failed is None
