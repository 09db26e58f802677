"""How writes that were queued go out: together, in as few round trips and statements as they can.

Rows for one table become one statement of several rows, and COPY where they are many. Only plain INSERTs are moved
together; the order of everything else is kept.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from psycopg import RawCursor

Queued = tuple[str, Sequence[Sequence[Any]]]

COPY_FROM = 48  # rows
TOGETHER = (16, 4, 2, 1)  # rows of one statement: few sizes, so that few statements are prepared

_PLAIN = re.compile(r"INSERT INTO (\w+) \(([\w, ]+)\) VALUES (\((?:\?, )*\?\))\Z")


@lru_cache(maxsize=8192)
def numbered(sql: str) -> str:
    """`?` as PostgreSQL's own `$1`, `$2`, …"""
    head, *rest = sql.split("?")
    return head + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))


@lru_cache(maxsize=1024)
def _plain(sql: str) -> re.Match[str] | None:
    return _PLAIN.match(sql)


@lru_cache(maxsize=1024)
def _together(sql: str, count: int) -> str:
    found = _plain(sql)
    return numbered(sql if found is None else sql[: found.start(3)] + ", ".join([found[3]] * count))


def array(values: Sequence[Any]) -> str:
    """Values, all text or all whole numbers, as the literal of a PostgreSQL array: much cheaper than a list."""
    if values and isinstance(values[0], str):
        quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
        return '{"' + '","'.join(quoted) + '"}'
    return "{" + ",".join(map(str, values)) + "}"


def send(driver: Any, queue: Sequence[Queued], *, postgresql: bool) -> None:
    """Send everything, in an open transaction."""
    gathered = list(_gathered(queue))
    if not postgresql:
        cursor = driver.cursor()
        for sql, rows in gathered:
            cursor.executemany(sql, rows)
        return
    if all(_plain(sql) for sql, _ in gathered):
        for sql, rows in gathered:
            if len(rows) >= COPY_FROM:
                _copy(driver, sql, rows)
        gathered = [(sql, rows) for sql, rows in gathered if len(rows) < COPY_FROM]
    if gathered:
        with driver.pipeline():
            _send_each(RawCursor(driver), gathered)


def commit_queue(driver: Any, queue: Sequence[Queued]) -> None:
    """On PostgreSQL: begin, send and commit in one round trip. One statement is a transaction by itself."""
    cursor = RawCursor(driver)
    if len(queue) == 1 and len(queue[0][1]) == 1:
        cursor.execute(numbered(queue[0][0]), queue[0][1][0])
        return
    with driver.pipeline():
        cursor.execute("BEGIN")
        _send_each(cursor, _gathered(queue))
        cursor.execute("COMMIT")


def _gathered(queue: Sequence[Queued]) -> Iterator[Queued]:
    """The queue with the rows of equal plain INSERTs together, as far as no other statement stands between them."""
    plain: dict[str, list[Sequence[Any]]] = {}
    for sql, rows in queue:
        if _plain(sql):
            plain.setdefault(sql, []).extend(rows)
        else:
            yield from plain.items()
            plain = {}
            yield sql, rows
    yield from plain.items()


def _send_each(cursor: Any, gathered: Iterable[Queued]) -> None:
    for sql, rows in gathered:
        at = 0
        for size in TOGETHER if _plain(sql) else (1,):
            while len(rows) - at >= size:
                some = rows[at : at + size]
                cursor.execute(_together(sql, size), [value for row in some for value in row])
                at += size


def _copy(driver: Any, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    found = _plain(sql)
    assert found is not None
    with driver.cursor().copy(f"COPY {found[1]} ({found[2]}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


class Group:
    """Commits of several requests in one, on SQLite, where each costs a write to the disk. Nobody returns before what
    it wrote is durable."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._turn = threading.Lock()

    def write(self, driver: Any, queue: Sequence[Queued]) -> None:
        """Make the writes durable. Whoever has the turn commits for all who wait for it."""
        mine = _Waiting(queue)
        self._waiting.append(mine)
        with self._turn:
            if not mine.done:
                together = [self._waiting.popleft() for _ in range(len(self._waiting))]
                if not _committed(driver, together):
                    for one in together:
                        _committed(driver, [one])
        if mine.error is not None:
            raise mine.error


@dataclass(slots=True)
class _Waiting:
    queue: Sequence[Queued]
    done: bool = False
    error: Exception | None = None


def _committed(driver: Any, together: list[_Waiting]) -> bool:
    """Whether the writes of all are in, in one transaction; if not, each knows why."""
    failed: Exception | None = None
    try:
        driver.execute("BEGIN IMMEDIATE")
        for one in together:
            send(driver, one.queue, postgresql=False)
        driver.execute("COMMIT")
    except Exception as error:
        failed = error
        driver.rollback()
    for one in together:
        one.done, one.error = True, failed
    return failed is None
