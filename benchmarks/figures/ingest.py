"""How fast DICOM files become studies: reading and mapping alone, and with the registry behind it, in one process.

The files are real ones that come with pydicom, given fresh UIDs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom.data

from app.demo.cli import STEWARD
from app.demo.load import load
from app.demo.organisations import CEDARHOLME
from app.demo.people import BY_ID
from app.demo.studies import datasets, given_to
from app.ingest import archive, files, mapping, sync
from app.ingest.files import Read
from benchmarks.harness.site import services_on
from benchmarks.harness.table import Bench, Row, measured

FILES = Path(pydicom.data.__file__).parent / "test_files"
PATTERN = ("test_files/CT_small.dcm",)
INSTANCES = 20  # to a study
STUDIES_A_SECOND = 20  # of the time given for a figure


def fresh(studies: int) -> Iterator[Read]:
    """`studies` studies of INSTANCES images each, of one patient."""
    for study in range(studies):
        for number in range(INSTANCES):
            (source,) = datasets(PATTERN)
            made = given_to(BY_ID["aspen"], CEDARHOLME, source)
            made.StudyInstanceUID, made.SeriesInstanceUID = f"2.25.8.{study}", f"2.25.8.{study}.1"
            made.SOPInstanceUID, made.InstanceNumber = f"2.25.8.{study}.1.{number}", number
            yield Read(f"{study}/{number}", made)


def timed(what: str, work: Callable[[], int]) -> Row:
    began = time.perf_counter()
    number = work()
    return Row("ingest", what, rate=round(number / (time.perf_counter() - began), 1), number=number)


@measured("ingest", "DICOM files and studies a second, one process")
def ingest(bench: Bench) -> list[Row]:
    studies = max(2, int(bench.seconds * STUDIES_A_SECOND))
    with services_on(bench.empty_database(), bench.folder) as services:
        rows = [
            timed("files read (headers)", lambda: sum(isinstance(one, Read) for one in files.read_all([FILES]))),
            timed(
                "instances mapped",
                lambda: sum(1 for one in fresh(studies) if mapping.instance(one.dataset, CEDARHOLME.source)),
            ),
            timed("resources of the demo region", lambda: load(services, STEWARD).created),
        ]
        found = archive.archive(services, "cedarholme-archive")
        for what in ("studies of 20 images", "the same again, unchanged"):
            rows.append(timed(what, lambda: sync.ingest(fresh(studies), found.source, found.registry).studies))
    return rows
