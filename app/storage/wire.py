"""Prepared statements on PostgreSQL's own protocol library, with nothing in between.

psycopg makes the connection, its errors and its values; what is left out is its cursor, which took more time than the
server did. A statement is prepared when it is asked for the second time, for each set of types of its values.

Behind a pooler that lends a server for one transaction, as pgbouncer does, nothing is prepared, for the next transaction
may be another server's. It is told by itself: the process that answers is not the one that greeted.
"""

from __future__ import annotations

import select
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import errors
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, ExecStatus

MOST_PREPARED = 400

# Python type → (type for the server, 0 where it finds out by itself; whether sent as it is; how it is written)
_BINARY, _TEXT = 1, 0
_WRITTEN: dict[type, tuple[int, int, Any]] = {
    int: (20, _TEXT, lambda value: b"%d" % value),
    str: (0, _TEXT, lambda value: _text(value)),
    bytes: (17, _BINARY, lambda value: value),
    bool: (16, _TEXT, lambda value: b"t" if value else b"f"),
    float: (701, _TEXT, lambda value: repr(value).encode()),
    type(None): (0, _TEXT, lambda value: None),
}

Row = tuple[Any, ...]
Key = tuple[Any, ...]  # the statement, then the types of its values


def _text(value: str) -> bytes:
    encoded = value.encode()
    if b"\0" in encoded:
        raise psycopg.DataError("text with a zero byte; expected text that PostgreSQL can hold")
    return encoded


class Wire:
    """One connection. Results come back as rows, or as the number of rows changed."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._pg = connection.pgconn
        self._values = Transformer(connection)
        self._prepared: OrderedDict[Key, bytes] = OrderedDict()
        self._seen: OrderedDict[Key, None] = OrderedDict()
        self._number = 0
        self._poll = select.poll()
        self._poll.register(self._pg.socket, select.POLLIN)
        answers = self._good(self._pg.exec_(b"SELECT pg_backend_pid()")).get_value(0, 0)
        self.lent = int(answers) != self._pg.backend_pid

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """The rows of one statement with `$1` placeholders. Raises psycopg's errors."""
        return self._loaded(self._run(sql, params))

    def _loaded(self, result: Any) -> list[Row]:
        self._values.set_pgresult(result)
        rows = self._values.load_rows(0, result.ntuples, tuple)
        self._values.set_pgresult(None)
        return rows

    def change(self, sql: str, params: Sequence[Any] = ()) -> int:
        """The number of rows that one statement changed."""
        return self._run(sql, params).command_tuples or 0

    def say(self, word: bytes) -> None:
        """BEGIN, COMMIT or ROLLBACK."""
        self._good(self._pg.exec_(word))

    def pipeline(self, statements: Iterable[tuple[str, Sequence[Any]]]) -> list[list[Row]]:
        """The rows of each statement, in one round trip once they are prepared; raises the first error."""
        self._make_room()
        ready = [self._ready(sql, params) for sql, params in statements]
        pg, results = self._pg, list[Any]()
        pg.enter_pipeline_mode()
        try:
            for name, key, values, formats in ready:
                if name is not None:
                    pg.send_query_prepared(name, values, formats, _BINARY)
                else:
                    pg.send_query_params(key[0].encode(), values, key[1:], formats, _BINARY)
            pg.pipeline_sync()
            pg.flush()
            failed = self._drained(results)
        finally:
            if pg.status != ConnStatus.BAD:
                pg.exit_pipeline_mode()
        if failed is not None:
            raise failed
        return [self._loaded(result) if result.ntuples else [] for result in results]

    def _run(self, sql: str, params: Sequence[Any]) -> Any:
        self._make_room()
        name, key, values, formats = self._ready(sql, params)
        if name is None:
            return self._good(self._pg.exec_params(sql.encode(), values, key[1:], formats, _BINARY))
        return self._good(self._pg.exec_prepared(name, values, formats, _BINARY))

    def _ready(self, sql: str, params: Sequence[Any]) -> tuple[bytes | None, Key, Any, Any]:
        """A statement as it is to be sent: with its name, if it is prepared or is asked for the second time."""
        key, values, formats = _bound(sql, params)
        name = self._prepared.get(key)
        if name is not None:
            self._prepared.move_to_end(key)
        elif key in self._seen and not self.lent:
            name = self._prepare(key)
        else:
            self._seen[key] = None
            if len(self._seen) > MOST_PREPARED:
                self._seen.popitem(last=False)
        return name, key, values, formats

    def _make_room(self) -> None:
        """Those that were used least lately go; never between making ready and sending."""
        while len(self._prepared) > MOST_PREPARED:
            _, old = self._prepared.popitem(last=False)
            self._good(self._pg.exec_(b"DEALLOCATE " + old))

    def _prepare(self, key: Key) -> bytes:
        """A new prepared statement's name."""
        self._number += 1
        name = b"s%d" % self._number
        self._good(self._pg.prepare(name, key[0].encode(), key[1:]))
        self._prepared[key] = name
        return name

    def _drained(self, results: list[Any]) -> Exception | None:
        """Every result up to the end of the pipeline, awaited without holding up other threads; the first error."""
        pg, failed = self._pg, None
        while True:
            while pg.is_busy():
                self._poll.poll()
                pg.consume_input()
            result = pg.get_result()
            if result is None:
                if pg.status == ConnStatus.BAD:
                    return failed or psycopg.OperationalError("the connection is lost")
                continue
            status = result.status
            if status == ExecStatus.PIPELINE_SYNC:
                return failed
            if status in _GOOD:
                results.append(result)
            elif status == ExecStatus.FATAL_ERROR and failed is None:
                failed = self._error(result)

    def _good(self, result: Any) -> Any:
        if result.status not in _GOOD:
            raise self._error(result)
        return result

    def _error(self, result: Any) -> Exception:
        if self._pg.status == ConnStatus.BAD:
            return psycopg.OperationalError("the connection is lost")
        return errors.error_from_result(result)


_GOOD = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


def _written(value: Any) -> tuple[int, int, Any]:
    """How a value of a subclass is written: as its base is."""
    return next(_WRITTEN[base] for base in type(value).__mro__ if base in _WRITTEN)


def _bound(sql: str, params: Sequence[Any]) -> tuple[Key, Any, list[int] | None]:
    """(statement and types, values, formats) as the server wants them."""
    if not params:
        return (sql,), None, None
    written = [_WRITTEN.get(type(value)) or _written(value) for value in params]
    values = [write(value) for (_, _, write), value in zip(written, params, strict=True)]
    return (sql, *[kind for kind, _, _ in written]), values, [format for _, format, _ in written]
