"""Ingest into a real registry: real files, real interactions, real database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from app.demo.region import region
from app.ingest import archive, files, sync
from app.ingest.report import Report
from app.interactions import Services
from app.storage import reviews
from tests.e2e.ingest_region import in_sqlite, opened, put, studies, version_of

DICOMDIRTESTS = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    made = opened(in_sqlite(tmp_path))
    yield made
    made.store.close()


def run(services: Services, endpoint: str, *paths: Path, dry_run: bool = False) -> Report:
    found = archive.archive(services, endpoint)
    return sync.ingest(files.read_all(paths), found.source, found.registry, dry_run=dry_run)


def test_the_dicomdir_test_files_give_their_studies_and_a_second_run_changes_nothing(services: Services) -> None:
    for created in (7, 0):
        report = run(services, "cedarholme-archive", DICOMDIRTESTS)
        assert (report.patients, report.studies, report.series, report.instances) == (3, 7, 14, 81)
        assert (len(report.created), len(report.unchanged)) == (created, 7 - created)
        assert report.ok and not report.held
    assert len(studies(services)) == 7


def test_a_dry_run_writes_nothing(services: Services) -> None:
    assert len(run(services, "cedarholme-archive", DICOMDIRTESTS, dry_run=True).created) == 7
    assert studies(services) == {}


def test_late_files_are_a_new_version_of_the_same_study(services: Services) -> None:
    run(services, "cedarholme-archive", DICOMDIRTESTS / "98892003" / "MR1")
    report = run(services, "cedarholme-archive", DICOMDIRTESTS / "98892003")
    assert (len(report.created), len(report.updated)) == (0, 3)
    assert sum(one["numberOfInstances"] for one in studies(services).values()) == 17


def test_files_of_nobody_known_wait_at_the_desk_and_are_settled_once_they_fit(services: Services) -> None:
    report = run(services, "alderbrook-archive", DICOMDIRTESTS / "TINY_ALPHA")
    assert [one["code"] for one in report.held] == ["unknown-patient"]
    with services.store.begin() as tx:
        (waiting,) = reviews.waiting(tx, ("ods:ZA1",))
        assert reviews.waiting(tx, ("ods:ZB1",)) == []
    assert waiting.endpoint == "Endpoint/alderbrook-archive"
    (patient,) = [one for one in region(services.store.clock()) if one["id"] == "birch"]
    system = archive.archive(services, "alderbrook-archive").source.patient_system
    patient["identifier"].append({"system": system, "value": "12345678"})
    put(services, patient)
    assert len(run(services, "alderbrook-archive", DICOMDIRTESTS / "TINY_ALPHA").created) == 1
    with services.store.begin() as tx:
        assert reviews.waiting(tx) == []


def test_a_second_archive_with_the_same_study_adds_its_endpoint_and_takes_nothing_over(services: Services) -> None:
    run(services, "birchwater-archive", DICOMDIRTESTS / "77654033")
    before = {uid: accessions(one) for uid, one in studies(services).items()}
    report = run(services, "cedarholme-archive", DICOMDIRTESTS / "77654033")
    assert (len(report.updated), report.failed) == (2, [])
    for uid, one in studies(services).items():
        named = [endpoint["reference"] for endpoint in one["endpoint"]]
        assert named == ["Endpoint/birchwater-archive", "Endpoint/cedarholme-archive"]
        assert accessions(one) == before[uid] != []


def accessions(study: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in study["identifier"] if "type" in one]


def test_the_same_files_from_many_sides_at_once_make_each_study_once(services: Services) -> None:
    reports: list[Report] = []
    sides = [
        threading.Thread(target=lambda name=name: reports.append(run(services, name, DICOMDIRTESTS / "77654033")))
        for name in ("birchwater-archive", "cedarholme-archive") * 3
    ]
    for side in sides:
        side.start()
    for side in sides:
        side.join()
    assert [report.failed for report in reports] == [[]] * 6
    found = studies(services)
    assert len(found) == 2
    assert sum(len(report.created) for report in reports) == 2
    for one in found.values():
        assert len(one["endpoint"]) == 2


def test_every_write_is_the_archive_s_and_is_recorded(services: Services) -> None:
    run(services, "cedarholme-archive", DICOMDIRTESTS / "TINY_ALPHA")
    with services.store.begin() as tx:
        rows = tx.rows("SELECT client, org FROM audit WHERE client LIKE ?", "ingest-%")
    assert set(rows) == {("ingest-cedarholme-archive", "ods:ZC1")}


def test_the_accession_number_says_whose_study_it_is(services: Services) -> None:
    run(services, "cedarholme-archive", DICOMDIRTESTS / "TINY_ALPHA")
    (study,) = studies(services).values()
    accession = study["identifier"][1]
    assert accession["assigner"]["identifier"]["value"] == "ZC1"
    assert accession["type"]["coding"][0]["code"] == "ACSN"


@pytest.mark.parametrize(
    ("endpoint", "said"), [("nothing", "no Endpoint with this id"), ("Endpoint/", "no Endpoint with this id")]
)
def test_an_endpoint_that_is_not_there_is_refused_in_words(services: Services, endpoint: str, said: str) -> None:
    with pytest.raises(archive.Unknown, match=said):
        archive.archive(services, endpoint)


def test_nothing_but_studies_is_written(services: Services) -> None:
    before = version_of(services, "Patient/hazel")
    run(services, "cedarholme-archive", DICOMDIRTESTS)
    assert version_of(services, "Patient/hazel") == before
