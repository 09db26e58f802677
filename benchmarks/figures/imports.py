"""The import into an empty database by as many processes as there are cores: checked, permitted, indexed, recorded."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from app.access.enforcement import Enforcement
from app.access.subject import Subject
from app.config import Settings
from app.interactions import Asked, Services
from app.interactions.loading import load
from app.policy.switches import Switches
from app.storage import schema
from app.storage.engine import Store
from benchmarks.harness.table import Bench, Row, at_least, measured
from benchmarks.harness.world import REGION, World

A_SECOND = 3_000  # resources prepared for each second of the time given
STEWARD = Subject("bench-steward", "steward", f"ods:{REGION}", scopes=("system/*.cruds",))


def bring_in(url: str, world: World, people: range | None) -> tuple[int, float]:
    """Import the directory, or some people; how many resources, and the seconds from the first to the last."""
    store = Store(url)
    services = Services(store, Enforcement(Switches()), Settings(database_url=url), bytes.hex, bytes.fromhex)
    given = list(world.directory() if people is None else world.people(people.start, people.stop))
    began = time.perf_counter()
    report = load(services, Asked(STEWARD), given)
    seconds = time.perf_counter() - began
    store.close()
    if report.refused or report.created != len(given):
        raise AssertionError(f"not everything was new and right: {report.refused[:1]}")
    return len(given), seconds


@measured("import", "resources a second, by all cores", at_least(5000))
def imported(bench: Bench) -> Row:
    url = bench.empty_database()
    store = Store(url)
    schema.upgrade(store)
    processes = max(2, os.cpu_count() or 1) if store.dialect == "postgresql" else 1
    store.close()
    world = World(max(processes, int(bench.seconds * A_SECOND) // 7))
    bring_in(url, world, None)
    each = world.patients // processes
    parts = [range(number * each, (number + 1) * each) for number in range(processes)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        found = [future.result() for future in [pool.submit(bring_in, url, world, part) for part in parts]]
    number, seconds = sum(one[0] for one in found), max(one[1] for one in found)
    return Row(
        "import",
        "resources a second, by all cores",
        rate=round(number / seconds, 1),
        number=number,
        notes={"processes": processes},
    )
