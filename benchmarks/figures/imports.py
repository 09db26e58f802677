"""The import into an empty database as the command does it, by as many processes as there are cores: read from a file,
checked, permitted, indexed, recorded."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from app import services_of
from app.access.subject import Subject
from app.interactions import Asked
from app.transfer.importing import imported as imported_files
from benchmarks.harness.site import services_on
from benchmarks.harness.table import Bench, Row, at_least, measured
from benchmarks.harness.world import REGION, World

A_SECOND = 5_000  # resources prepared for each second of the time given
STEWARD = Subject("bench-steward", "steward", f"ods:{REGION}", scopes=("system/*.cruds",))


def bring_in(url: str, folder: Path, file: Path, processes: int) -> tuple[int, float]:
    """Import a file; how many resources, and the seconds from its first line to its last."""
    with services_on(url, folder) as services:
        report = imported_files(services, Asked(STEWARD), [file], processes=processes, anew=services_of)
    if report.refused or report.updated or report.unchanged:
        raise AssertionError(f"not everything was new and right: {report.refused[:1]}")
    return report.created, report.seconds


@measured("import", "resources a second, by all cores", at_least(5000))
def imported(bench: Bench) -> Row:
    url = bench.empty_database()
    processes = 1 if url.startswith("sqlite") else max(2, os.cpu_count() or 1)
    world = World(max(processes, int(bench.seconds * A_SECOND) // 7))
    directory, people = bench.folder / "directory.ndjson", bench.folder / "people.ndjson"
    directory.write_bytes(b"\n".join(map(orjson.dumps, world.directory())))
    with people.open("wb") as file:
        file.writelines(orjson.dumps(one) + b"\n" for one in world.people(0, world.patients))
    bring_in(url, bench.folder, directory, 1)
    number, seconds = bring_in(url, bench.folder, people, processes)
    return Row(
        "import",
        "resources a second, by all cores",
        rate=round(number / seconds, 1),
        number=number,
        notes={"processes": processes},
    )
