"""How writes that were queued go out: together, in as few round trips and statements as they can.

Rows for one table become one statement of several rows, and COPY where they are many. Only plain INSERTs are moved
together; the order of everything else is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

Queued = tuple[str, Sequence[Sequence[Any]]]

COPY_FROM = 48  # rows
TOGETHER = (16, 4, 2, 1)  # rows of one statement: few sizes, so that few statements are prepared

_PLAIN = re.compile(r"INSERT INTO (\w+) \(([\w, ]+)\) VALUES (\((?:\?, )*\?\))\Z")


@lru_cache(maxsize=8192)
def numbered(sql: str) -> str:
    """`?` as PostgreSQL's own `$1`, `$2`, …"""
    head, *rest = sql.split("?")
    return head + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))


MANY = 1_000  # values of one statement


def shared(sql: str, params: Sequence[Any], mark: str) -> tuple[str, list[Any]]:
    """A statement of very many values with each value once, under its number: a database takes some thousands, and the
    same condition stands in several places. `mark` is what goes before the number."""
    places: dict[Any, int] = {}
    values: list[Any] = []
    head, *rest = sql.split("?")
    said = [head]
    for value, text in zip(params, rest, strict=True):
        key = (type(value), value if isinstance(value, (str, int, bytes)) else id(value))
        if key not in places:
            values.append(value)
            places[key] = len(values)
        said.append(f"{mark}{places[key]}{text}")
    return "".join(said), values


@lru_cache(maxsize=1024)
def plain(sql: str) -> re.Match[str] | None:
    return _PLAIN.match(sql)


@lru_cache(maxsize=1024)
def _together(sql: str, count: int) -> str:
    found = plain(sql)
    return numbered(sql if found is None else sql[: found.start(3)] + ", ".join([found[3]] * count))


def gathered(queue: Sequence[Queued]) -> Iterator[Queued]:
    """The queue with the rows of equal plain INSERTs together, as far as no other statement stands between them."""
    rows_of: dict[str, list[Sequence[Any]]] = {}
    for sql, rows in queue:
        if plain(sql):
            rows_of.setdefault(sql, []).extend(rows)
        else:
            yield from rows_of.items()
            rows_of = {}
            yield sql, rows
    yield from rows_of.items()


def statements(queue: Iterable[Queued]) -> Iterator[tuple[str, Sequence[Any]]]:
    """One by one what a queue says, for PostgreSQL: rows that go together in one statement."""
    for sql, rows in queue:
        at = 0
        for size in TOGETHER if len(rows) > 1 and plain(sql) else (1,):
            while len(rows) - at >= size:
                some = rows[at : at + size]
                yield _together(sql, size), [value for row in some for value in row]
                at += size
