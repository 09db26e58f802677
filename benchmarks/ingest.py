"""How fast files become studies: reading and mapping alone, and with the registry behind it.

    python -m benchmarks.ingest [--studies N] [--dburl URL] [--json FILE]

Prints a table and, with --json, writes the figures. The files are real ones that come with pydicom, given fresh UIDs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom.data

from app.access.enforcement import Enforcement
from app.config import Settings
from app.demo.cli import STEWARD
from app.demo.load import load
from app.demo.organisations import CEDARHOLME
from app.demo.people import BY_ID
from app.demo.studies import datasets, given_to
from app.ingest import archive, files, mapping, sync
from app.ingest.files import Read
from app.interactions import Services
from app.policy.switches import Switches
from app.storage import reviews, sources, tables  # noqa: F401  (reviews, sources: their tables)
from app.storage.engine import Store

FILES = Path(pydicom.data.__file__).parent / "test_files"
PATTERN = ("test_files/CT_small.dcm",)
INSTANCES = 20  # to a study


def fresh(studies: int) -> Iterator[Read]:
    """`studies` studies of INSTANCES images each, of one patient."""
    for study in range(studies):
        for number in range(INSTANCES):
            (source,) = datasets(PATTERN)
            made = given_to(BY_ID["aspen"], CEDARHOLME, source)
            made.StudyInstanceUID, made.SeriesInstanceUID = f"2.25.8.{study}", f"2.25.8.{study}.1"
            made.SOPInstanceUID, made.InstanceNumber = f"2.25.8.{study}.1.{number}", number
            yield Read(f"{study}/{number}", made)


def measured(work: Callable[[], int]) -> tuple[int, float]:
    """What `work` counted, and for how long it ran."""
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def read_files() -> int:
    return sum(1 for one in files.read_all([FILES]) if isinstance(one, Read))


def map_instances(studies: int) -> int:
    return sum(1 for one in fresh(studies) if mapping.instance(one.dataset, CEDARHOLME.source))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--dburl", help="database URL; a new SQLite file without one")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(given.dburl or f"sqlite:///{folder}/bench.db")
        tables.metadata.create_all(store.engine)
        services = Services(store, Enforcement(Switches()), Settings(), bytes.hex, bytes.fromhex)
        figures = [("files read (headers)", *measured(read_files))]
        figures.append(("instances mapped", *measured(lambda: map_instances(given.studies))))
        figures.append(("demo region loaded", *measured(lambda: load(services, STEWARD).created)))
        found = archive.archive(services, "cedarholme-archive")
        for name in ("studies ingested", "studies ingested again, unchanged"):
            work = lambda: sync.ingest(fresh(given.studies), found.source, found.registry).studies  # noqa: E731
            figures.append((name, *measured(work)))
        store.close()
    rows = [
        {"what": name, "number": number, "seconds": round(seconds, 3), "rate": round(number / seconds, 1)}
        for name, number, seconds in figures
    ]
    for row in rows:
        print(f"{row['what']:<36} {row['number']:>7}  {row['seconds']:>8.3f} s  {row['rate']:>10.1f}/s")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
