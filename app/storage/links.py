"""The two ways of speaking to a database that a transaction knows: over PostgreSQL's wire, and to a SQLite file."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg

from app.storage.sending import COPY_FROM, MANY, Queued, gathered, numbered, plain, shared, statements
from app.storage.wire import Row, Wire


class Link(Protocol):
    """One connection. Statements have `?` placeholders."""

    dialect: str

    def rows(self, sql: str, params: Sequence[Any]) -> list[Row]: ...

    def change(self, sql: str, params: Sequence[Any]) -> int: ...

    def begin(self) -> None: ...

    def send(self, queue: Sequence[Queued]) -> None: ...

    def commit(self) -> None: ...

    def commit_queue(self, queue: Sequence[Queued]) -> None:
        """Make a queue durable in a transaction that nothing was read in."""

    def rollback(self) -> None: ...


def array(values: Sequence[Any]) -> str:
    """Values, all text or all whole numbers, as the literal of a PostgreSQL array: much cheaper than a list."""
    if values and isinstance(values[0], str):
        quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
        return '{"' + '","'.join(quoted) + '"}'
    return "{" + ",".join(map(str, values)) + "}"


class PostgreSQL:
    """A connection in autocommit: a statement outside a transaction is one."""

    dialect = "postgresql"

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._wire = Wire(connection)

    def rows(self, sql: str, params: Sequence[Any]) -> list[Row]:
        if len(params) > MANY:
            return self._wire.rows(*shared(sql, params, "$"))
        return self._wire.rows(numbered(sql), params)

    def change(self, sql: str, params: Sequence[Any]) -> int:
        return self._wire.change(numbered(sql), params)

    def begin(self) -> None:
        self._wire.say(b"BEGIN")

    def commit(self) -> None:
        self._wire.say(b"COMMIT")

    def rollback(self) -> None:
        self._connection.rollback()

    def send(self, queue: Sequence[Queued]) -> None:
        together = list(gathered(queue))
        if all(plain(sql) for sql, _ in together):
            for sql, rows in together:
                if len(rows) >= COPY_FROM:
                    self._copy(sql, rows)
            together = [(sql, rows) for sql, rows in together if len(rows) < COPY_FROM]
        if together:
            self._wire.pipeline(statements(together))

    def commit_queue(self, queue: Sequence[Queued]) -> None:
        if len(queue) == 1 and len(queue[0][1]) == 1:
            self._wire.change(numbered(queue[0][0]), queue[0][1][0])
            return
        self._wire.pipeline([("BEGIN", ()), *statements(gathered(queue)), ("COMMIT", ())])

    def _copy(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        found = plain(sql)
        assert found is not None
        with self._connection.cursor().copy(f"COPY {found[1]} ({found[2]}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


class SQLite:
    """A connection on which nothing begins by itself."""

    dialect = "sqlite"

    def __init__(self, connection: Any, group: Group) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._group = group
        self._writing = False

    def rows(self, sql: str, params: Sequence[Any]) -> list[Row]:
        if len(params) > MANY:
            sql, params = shared(sql, params, "?")
        return self._cursor.execute(sql, params).fetchall()  # type: ignore[no-any-return]

    def change(self, sql: str, params: Sequence[Any]) -> int:
        return self._cursor.execute(sql, params).rowcount  # type: ignore[no-any-return]

    def begin(self) -> None:
        """Writers of one process take turns here: those who wait for each other in the database only poll."""
        self._group.turn.acquire()
        self._writing = True
        self._cursor.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._cursor.execute("COMMIT")
        self._over()

    def rollback(self) -> None:
        self._connection.rollback()
        self._over()

    def _over(self) -> None:
        if self._writing:
            self._writing = False
            self._group.turn.release()

    def send(self, queue: Sequence[Queued]) -> None:
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
        link.commit()
    except Exception as error:
        failed = error
        link.rollback()
    for one in together:
        one.done, one.error = True, failed
    return failed is None
