"""Harvesting a real Orthanc: its change feed, QIDO-RS, deletions, restarts and silence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from app.ingest import archive as ingest_archive
from app.ingest import files, harvest, sync
from app.ingest.configured import Configured
from app.ingest.report import Report
from app.interactions import Services
from app.storage import sources
from tests.e2e.ingest_orthanc import DICOMWEB, INSTALL, ORTHANC, Running, running
from tests.e2e.ingest_region import SYSTEM, in_sqlite, opened, people, put, studies

FILES = Path(pydicom.data.__file__).parent
DICOMDIRTESTS = FILES / "test_files" / "dicomdirtests"
MORE = (FILES / "charset_files" / "chrJapMulti.dcm", FILES / "charset_files" / "chrH31.dcm")
ENDPOINT = "Endpoint/cedarholme-archive"
MISSING = ORTHANC is None or not DICOMWEB.exists()

pytestmark = pytest.mark.skipif(MISSING and os.environ.get("CI") != "true", reason=INSTALL)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as orthanc:
        orthanc.store(*(path for path in sorted(DICOMDIRTESTS.rglob("*")) if is_image(path)), *MORE)
        yield orthanc


def is_image(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(("README", "DICOMDIR"))


@pytest.fixture
def expected(tmp_path: Path, services: Services) -> dict[str, dict[str, Any]]:
    """What the same files give when they are read from the disk."""
    made = opened(in_sqlite(tmp_path, "expected"), people())
    found = ingest_archive.archive(made, ENDPOINT)
    sync.ingest(files.read_all([DICOMDIRTESTS, *MORE]), found.source, found.registry)
    result = studies(made)
    made.store.close()
    return result


def harvested(services: Services, configured: Configured, **options: bool) -> Report:
    found = ingest_archive.archive(services, ENDPOINT, configured)
    return harvest.run(configured, found.source, found.registry, services.store, **options)


def feed(archive: Running) -> Configured:
    return Configured("feed", "orthanc", archive.url, ENDPOINT)


def qido(archive: Running) -> Configured:
    return Configured("qido", "qido", archive.dicomweb, ENDPOINT, from_day="1995-01-01")


def state(services: Services, name: str) -> sources.State:
    with services.store.begin() as tx:
        found = sources.load(tx, name)
    assert found is not None
    return found


def test_the_change_feed_gives_what_the_files_give_and_nothing_the_second_time(
    archive: Running, services: Services, expected: dict[str, dict[str, Any]]
) -> None:
    first = harvested(services, feed(archive))
    assert (first.studies, first.series, first.instances) == (9, 16, 83)
    assert studies(services) == expected
    assert state(services, "feed").lag == 0
    again = harvested(services, feed(archive))
    assert (again.files, len(again.updated)) == (0, 0)


def test_a_study_whose_patient_becomes_known_is_taken_in_by_the_next_round(
    archive: Running, services: Services
) -> None:
    everyone = {one["id"]: one for one in people()}
    stranger = everyone["elder"] | {"identifier": [{"system": SYSTEM, "value": "nobody"}]}
    put(services, stranger)
    assert [one["code"] for one in harvested(services, feed(archive)).held] == ["unknown-patient"] * 2
    put(services, everyone["elder"])
    assert len(harvested(services, feed(archive)).created) == 2


def test_the_feed_goes_on_from_where_it_was(archive: Running, services: Services) -> None:
    harvested(services, feed(archive))
    archive.store(FILES / "test_files" / "MR_small.dcm")
    report = harvested(services, feed(archive))
    assert (len(report.created), report.files) == (1, 1)


def test_a_deleted_study_is_withdrawn_by_a_reconcile_and_comes_back_when_it_is_sent_again(
    archive: Running, services: Services
) -> None:
    harvested(services, feed(archive))
    uid = next(uid for uid in studies(services) if uid.endswith("71766333999874882472"))
    archive.delete(uid)
    assert harvested(services, feed(archive)).withdrawn == []
    assert harvested(services, feed(archive), reconcile=True).withdrawn == [uid]
    assert studies(services)[uid]["status"] == "cancelled" and "endpoint" not in studies(services)[uid]
    archive.store(*(path for path in sorted((DICOMDIRTESTS / "TINY_ALPHA").rglob("IM*"))))
    harvested(services, feed(archive))
    assert studies(services)[uid]["status"] == "available"


def test_an_archive_that_lost_nearly_everything_is_not_believed_without_a_person(
    archive: Running, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harvest, "FEW", 2)
    harvested(services, feed(archive))
    for uid in list(studies(services))[:6]:
        archive.delete(uid)
    report = harvested(services, feed(archive), reconcile=True)
    assert (report.withdrawn, len(report.failed)) == ([], 1)
    report = harvested(services, feed(archive), reconcile=True, force=True)
    assert len(report.withdrawn) == 6


def test_another_database_behind_the_same_address_is_read_from_its_beginning(
    archive: Running, services: Services
) -> None:
    with services.store.begin() as tx:
        sources.save(tx, sources.State("feed", "orthanc", ENDPOINT, position=10_000_000))
    assert len(harvested(services, feed(archive)).created) == 9


def test_qido_gives_what_the_files_give_but_for_studies_without_a_date(
    archive: Running, services: Services, expected: dict[str, dict[str, Any]]
) -> None:
    harvested(services, qido(archive))
    undated = {uid for uid, study in expected.items() if "started" not in study}
    assert studies(services) == {uid: one for uid, one in expected.items() if uid not in undated}
    harvested(services, qido(archive), reconcile=True)
    assert studies(services) == expected


def test_qido_fetches_only_what_changed_and_withdraws_what_is_gone(archive: Running, services: Services) -> None:
    harvested(services, qido(archive), reconcile=True)
    report = harvested(services, qido(archive), reconcile=True)
    assert (report.files, len(report.unchanged), len(report.updated)) == (0, 9, 0)
    uid = next(iter(studies(services)))
    archive.delete(uid)
    assert harvested(services, qido(archive), reconcile=True).withdrawn == [uid]


def test_a_silent_archive_is_a_failure_that_is_counted_and_then_forgotten(archive: Running, services: Services) -> None:
    silent = Configured("feed", "orthanc", "http://127.0.0.1:9", ENDPOINT, timeout=1)
    for failures in (1, 2):
        report = harvested(services, silent)
        assert not report.ok
        assert state(services, "feed").failures == failures
    assert "could not be reached" in state(services, "feed").problem
    harvested(services, feed(archive))
    assert (state(services, "feed").failures, state(services, "feed").problem) == (0, "")


@pytest.mark.parametrize("kind", ["orthanc", "qido"])
def test_an_address_that_is_something_else_is_a_failure_and_not_an_empty_archive(
    archive: Running, services: Services, kind: str
) -> None:
    harvested(services, feed(archive))
    wrong = Configured("feed", kind, f"{archive.url}/nothing", ENDPOINT)
    report: Report = harvested(services, wrong, reconcile=True)
    assert (report.withdrawn, report.ok) == ([], False)
