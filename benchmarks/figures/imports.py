"""The import into an empty database by as many processes as there are cores: checked, permitted, indexed, recorded."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from app.access.subject import Subject
from app.interactions import Asked
from app.interactions.loading import load
from benchmarks.harness.site import services_on
from benchmarks.harness.table import Bench, Row, at_least, measured
from benchmarks.harness.world import REGION, World

A_SECOND = 3_000  # resources prepared for each second of the time given
STEWARD = Subject("bench-steward", "steward", f"ods:{REGION}", scopes=("system/*.cruds",))


def bring_in(url: str, folder: Path, world: World, people: range | None) -> tuple[int, float]:
    """Import the directory, or some people; how many resources, and the seconds from the first to the last."""
    given = list(world.directory() if people is None else world.people(people.start, people.stop))
    with services_on(url, folder) as services:
        began = time.perf_counter()
        report = load(services, Asked(STEWARD), given)
        seconds = time.perf_counter() - began
    if report.refused or report.created != len(given):
        raise AssertionError(f"not everything was new and right: {report.refused[:1]}")
    return len(given), seconds


@measured("import", "resources a second, by all cores", at_least(5000))
def imported(bench: Bench) -> Row:
    url = bench.empty_database()
    processes = 1 if url.startswith("sqlite") else max(2, os.cpu_count() or 1)
    world = World(max(processes, int(bench.seconds * A_SECOND) // 7))
    bring_in(url, bench.folder, world, None)
    each = world.patients // processes
    parts = [range(number * each, (number + 1) * each) for number in range(processes)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        found = [
            future.result() for future in [pool.submit(bring_in, url, bench.folder, world, part) for part in parts]
        ]
    number, seconds = sum(one[0] for one in found), max(one[1] for one in found)
    return Row(
        "import",
        "resources a second, by all cores",
        rate=round(number / seconds, 1),
        number=number,
        notes={"processes": processes},
    )
