"""Filling a database with a world: the rows that the registry's own storage makes for what its import has checked, laid
down by several processes. On PostgreSQL the secondary indexes are built afterwards, and the tables vacuumed and analysed,
as after any large import. How fast the import itself is, checks and records included, is a figure of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context

from app.demo.naming import Resource
from app.fhir.registry import TYPES
from app.policy.grant import Everything, Grant
from app.storage import bulk, resources, schema, tables
from app.storage.engine import Store, Tx
from benchmarks.harness.world import World

TOGETHER = 150  # patients in one transaction
PART = 6 * TOGETHER  # that a process takes at once
WRITER = Grant(decision="fill", at=0, rows={name: (Everything(),) for name in TYPES})
EVERY_SECONDS = 5


def put(tx: Tx, given: Iterable[Resource], known: Iterable[str], *, alone: bool) -> int:
    """Store new resources under their ids; how many there were. `known` are references to what is there already."""
    found = list(given)
    bulk.begin(tx, {*known, *(f"{one['resourceType']}/{one['id']}" for one in found)})
    for one in found:
        resources.create(tx, WRITER, one, one["id"], "PUT", alone=alone)
    return len(found)


def put_people(url: str, world: World, first: int, last: int) -> int:
    """The resources of some patients, in transactions of TOGETHER patients; how many there are."""
    store, number = Store(url), 0
    directory = [f"{one['resourceType']}/{one['id']}" for one in world.directory()]
    for start in range(first, last, TOGETHER):
        people = world.people(start, min(start + TOGETHER, last))
        number += store.retry(lambda tx, people=people: put(tx, people, directory, alone=True))
    store.close()
    return number


def fill(url: str, world: World, say: Callable[[str], None] = lambda _text: None, processes: int = 2) -> float:
    """Put the world into an empty database, which is migrated first; the seconds that it took."""
    began = last = time.monotonic()
    store = Store(url)
    schema.upgrade(store)
    done, total = store.retry(lambda tx: put(tx, world.directory(), (), alone=False)), world.resources()
    ranges = [(first, min(first + PART, world.patients)) for first in range(0, world.patients, PART)]
    with without_indexes(store):
        if store.dialect == "postgresql" and len(ranges) > 1:
            with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
                for part in as_completed([pool.submit(put_people, url, world, *one) for one in ranges]):
                    done += part.result()
                    if time.monotonic() - last > EVERY_SECONDS:
                        last = time.monotonic()
                        say(f"filling: {done:,} of {total:,} resources, {done / (last - began):,.0f}/s")
        else:
            for first, end in ranges:
                done += put_people(url, world, first, end)
        say("filling: indexes and statistics")
    if done != total:
        raise AssertionError(f"{done} resources were made; expected {total}")
    settle(store)
    store.close()
    return time.monotonic() - began


@contextmanager
def without_indexes(store: Store) -> Iterator[None]:
    """On PostgreSQL, tables without their secondary indexes, which are made at the end."""
    if store.dialect != "postgresql":
        yield
        return
    indexes = [index for table in tables.metadata.sorted_tables for index in table.indexes]
    with store.engine.begin() as connection:
        for index in indexes:
            index.drop(connection, checkfirst=True)
    yield
    with store.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '1GB'")
        for index in indexes:
            index.create(connection, checkfirst=True)


def settle(store: Store) -> None:
    """What a database does by itself some time after an import: statistics, and on PostgreSQL the visibility map."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE)" if store.dialect == "postgresql" else "ANALYZE")
        if store.dialect == "postgresql":
            connection.exec_driver_sql("CHECKPOINT")
