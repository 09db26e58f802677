"""Filling a database with a world: the rows are those that the registry's own code makes, laid down in bulk.

Each process takes a range of patients, lets `storage.resources.create` make their rows, and copies them. On PostgreSQL
the secondary indexes are built afterwards, and the tables vacuumed and analysed, as after any large import.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from app.fhir.registry import TYPES
from app.policy.grant import Everything, Grant
from app.storage import resources, schema, tables
from app.storage.engine import Store, Tx
from benchmarks.harness.world import World

TOGETHER = 200  # patients in one transaction
INSERT = re.compile(r"INSERT INTO (\w+) \(([^)]*)\) VALUES \((.*?)\)(?: ON CONFLICT.*)?$")
Progress = Callable[[int, int], None]


def grant(writer: str | None) -> Grant:
    """What lets the filler write: everything, as the region's steward."""
    return Grant(decision="fill", at=0, rows={name: (Everything(),) for name in TYPES}, writer=writer)


class Collecting(Tx):
    """A transaction that keeps what it is to write until the end, and answers from memory what is asked of it.

    What is new has no rows yet, so a question that names it has no answer but its rid; any other question is about the
    directory, which does not change meanwhile, and is asked once.
    """

    __slots__ = ("answers", "fresh", "laid")

    def __init__(self, tx: Tx, answers: dict[Any, Any]) -> None:
        super().__init__(tx.conn, tx.at, tx.zone)
        self.answers = answers
        self.fresh: dict[Any, int] = {}
        self.laid: dict[str, list[Sequence[Any]]] = {}

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        for param in params:
            if isinstance(param, (int, str)) and not isinstance(param, bool) and param in self.fresh:
                return [(self.fresh[param],)] if sql.startswith("SELECT rid FROM identity") else []
        asked = (sql, params)
        if asked not in self.answers:
            self.answers[asked] = super().rows(sql, *params)
        return self.answers[asked]  # type: ignore[no-any-return]

    def run(self, sql: str, *params: Any) -> int:
        self.many(sql, [params])
        return 1

    def many(self, sql: str, params: Sequence[Sequence[Any]]) -> None:
        if params:
            self.laid.setdefault(sql, []).extend(params)
        if sql.startswith("INSERT INTO identity"):
            for _type, id, rid, _patient in params:
                self.fresh[id] = self.fresh[rid] = rid

    def lay_down(self) -> None:
        """Write everything: by COPY on PostgreSQL."""
        for sql, rows in self.laid.items():
            if self.postgresql:
                self._copy(sql, rows)
            else:
                self._driver.executemany(sql, rows)

    def _copy(self, sql: str, rows: list[Sequence[Any]]) -> None:
        found = INSERT.match(sql)
        if found is None:
            raise ValueError(f"not a plain INSERT: {sql}")
        table, columns, values = found.group(1), found.group(2), _parts(found.group(3))
        fixed = {place: self._value(text) for place, text in enumerate(values) if text != "?"}
        with self._driver.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
            for row in rows:
                if fixed:
                    given = iter(row)
                    row = [fixed[place] if place in fixed else next(given) for place in range(len(values))]
                copy.write_row(row)

    def _value(self, text: str) -> Any:
        """What an expression of the database's stands for, such as the transaction's number."""
        return super().rows(f"SELECT {text}")[0][0]


def _parts(values: str) -> list[str]:
    """The values of a VALUES list, each as it is written."""
    found, depth = [""], 0
    for letter in values:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [part.strip() for part in found]


def put_directory(store: Store, world: World) -> int:
    """Organisations and archives, one by one; how many there are."""
    made = list(world.directory())

    def work(tx: Tx) -> None:
        for resource in made:
            resources.create(tx, grant(None), dict(resource), resource["id"], "PUT")

    store.retry(work)
    return len(made)


def put_people(url: str, world: World, first: int, last: int) -> int:
    """The resources of some patients, in transactions of TOGETHER patients; how many there are."""
    store, answers, number, writers = Store(url), {}, 0, grant(None)  # type: ignore[var-annotated]
    try:
        for start in range(first, last, TOGETHER):
            with store.begin() as tx:
                collecting = Collecting(tx, answers)
                for resource in world.people(start, min(start + TOGETHER, last)):
                    resources.create(collecting, writers, resource, resource["id"], "PUT")
                    number += 1
                collecting.lay_down()
    finally:
        store.close()
    return number


def fill(url: str, world: World, progress: Progress = lambda _done, _all: None, processes: int = 2) -> float:
    """Put the world into an empty database, which is migrated first; the seconds that it took."""
    began = time.monotonic()
    store = Store(url)
    schema.upgrade(store)
    done = put_directory(store, world)
    total = world.resources()
    with without_indexes(store):
        if store.dialect == "postgresql" and world.patients > 2 * TOGETHER:
            step = max(TOGETHER, min(5 * TOGETHER, world.patients // processes))
            ranges = [(first, min(first + step, world.patients)) for first in range(0, world.patients, step)]
            with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
                for part in as_completed([pool.submit(put_people, url, world, *one) for one in ranges]):
                    done += part.result()
                    progress(done, total)
        else:
            done += put_people(url, world, 0, world.patients)
            progress(done, total)
    if done != total:
        raise AssertionError(f"{done} resources were made; expected {total}")
    store.close()
    return time.monotonic() - began


@contextmanager
def without_indexes(store: Store) -> Iterator[None]:
    """On PostgreSQL, tables without their secondary indexes, which are made at the end, with the statistics."""
    if store.dialect != "postgresql":
        yield
        with store.engine.connect() as connection:
            connection.exec_driver_sql("ANALYZE")
            connection.commit()
        return
    indexes = [
        index for table in tables.metadata.sorted_tables for index in sorted(table.indexes, key=lambda i: i.name)
    ]
    with store.engine.begin() as connection:
        for index in indexes:
            index.drop(connection, checkfirst=True)
    yield
    with store.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '1GB'")
        for index in indexes:
            index.create(connection, checkfirst=True)
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE, PARALLEL 2)")
