"""What the hash chain over the audit costs: the search with its rows being linked behind it, against the same search while
nobody links, in turns on the same server.

A linker that does not get the chain's lock goes away again; so the turns without it hold that lock. What has piled
up meanwhile is linked before the next turn with it. SQLite has no such lock: there the two are not told apart.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from app.storage import chain
from app.storage.engine import Store
from benchmarks.figures.search import search
from benchmarks.harness.load import Job, Took
from benchmarks.harness.table import Bench, Row, Target, measured

TURNS = 3
SAYS = "searches/s with the audit linked behind them, as a share of those without"
TARGET = Target("≥ 0.95", lambda row: row.value is None or row.value >= 0.95)


@contextmanager
def unlinked(url: str) -> Iterator[None]:
    """Nobody links while this lasts."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as held:
        held.execute("SELECT pg_advisory_lock(%s)", (chain.LOCK,))
        yield


def turn(bench: Bench) -> float:
    took: Took = bench.generator.run(
        Job(bench.site.address, search, (bench.world, bench.site.tokens), 8, bench.seconds / TURNS, 0.5)
    )
    assert not took.faults, took.faults[0]
    return len(took.times) / took.seconds


@measured("chain", SAYS, TARGET)
def linking(bench: Bench) -> Row:
    if not bench.site.url.startswith("postgresql"):
        return Row("chain", SAYS, notes={"told apart": "on PostgreSQL alone"})
    store = Store(bench.site.url)
    chain.link_all(store)
    pairs = []
    for _ in range(TURNS):
        with unlinked(bench.site.url):
            without = turn(bench)
        chain.link_all(store)
        pairs.append((turn(bench), without))
    with store.begin(reads=True) as tx:
        rows, linked = (tx.rows(f"SELECT count(*) FROM {table}")[0][0] for table in ("audit", "audit_link"))
    store.close()
    return Row(
        "chain",
        SAYS,
        value=round(statistics.median(with_it / without for with_it, without in pairs), 3),
        number=TURNS,
        notes={
            "with, 1/s": round(statistics.median(one for one, _ in pairs)),
            "without, 1/s": round(statistics.median(one for _, one in pairs)),
            "rows": rows,
            "not linked yet": rows - linked,
        },
    )
