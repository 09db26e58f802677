"""What the decision costs a search of one patient: the same searches, alone in this process, with it and without.

Without it means by the region's steward in demo mode, who reads everything: no facts are gathered, no rules are asked, and the
rest is as ever, with its record in the audit. Processor time and elapsed time, each the median of turns that alternate.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from app import create_app
from app.config import Settings
from benchmarks.figures.profile import asking
from benchmarks.figures.search import path
from benchmarks.harness.load import Request, request
from benchmarks.harness.table import Bench, Row, at_most, measured

TURNS = 12
MOST = 60  # searches of one turn


@measured("overhead", "µs that the decision adds to a search of one patient", at_most(1000, "µs"))
def overhead(bench: Bench) -> Row:
    keys = str(Path(bench.site.server.environment["REGISTRY_KEYS_DIR"]))
    base = f"{bench.site.address}/fhir"
    app = create_app(Settings(database_url=bench.site.url, keys_dir=keys, base_url=base, log_level="error"))
    app.extensions["services"].enforcement.reads_all = True
    number = max(5, min(MOST, int(bench.seconds * 10)))
    asks = {
        name: asking(app.wsgi_app, searches(bench, token))
        for name, token in (("with", "asker"), ("without", "steward"))
    }
    for ask in asks.values():
        ask(number)  # so that caches are filled and statements prepared
    spent: dict[str, list[float]] = {name: [] for name in asks}
    times: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(TURNS):
        for name, ask in asks.items():
            began = time.thread_time()
            times[name] += ask(number)
            spent[name].append((time.thread_time() - began) / number * 1e6)
    app.extensions["services"].store.close()
    took = {name: statistics.median(found) for name, found in times.items()}
    processor = {name: statistics.median(found) for name, found in spent.items()}
    return Row(
        "overhead",
        "one patient's studies, with the decision less without",
        value=round(took["with"] - took["without"], 1),
        unit="µs",
        number=2 * TURNS * number,
        notes={
            "p50 µs": {name: round(value, 1) for name, value in took.items()},
            "processor µs": {name: round(value, 1) for name, value in processor.items()},
            "processor µs added": round(processor["with"] - processor["without"], 1),
        },
    )


def searches(bench: Bench, token: str) -> Iterator[Request]:
    """Of the same patients in the same order: those who share, so that both find what is there."""
    pick, world = random.Random(2), bench.world
    sharing = [patient for patient in islice(world.read, 5_000) if world.shared(patient)]
    while True:
        yield request("GET", f"/fhir{path(world, pick.choice(sharing))}", token=bench.site.tokens[token])
