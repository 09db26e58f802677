"""Archives that die, lie, hang or answer for a part only: what was said is reported, nothing is lost, the rest goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom.data
import pytest

from app.ingest import archive as ingest_archive
from app.ingest import harvest, http, orthanc
from app.ingest.configured import Configured
from app.ingest.report import Report
from app.interactions import Services
from tests.e2e.ingest_between import between
from tests.e2e.ingest_orthanc import DICOMWEB, INSTALL, ORTHANC, Running, running
from tests.e2e.ingest_region import studies
from tests.e2e.test_ingest_harvest import ENDPOINT, harvested, is_image, state

DICOMDIRTESTS = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"
MISSING = ORTHANC is None or not DICOMWEB.exists()

pytestmark = pytest.mark.skipif(MISSING and os.environ.get("CI") != "true", reason=INSTALL)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Seven studies, which no test here changes."""
    with running(tmp_path_factory.mktemp("orthanc")) as made:
        made.store(*(path for path in sorted(DICOMDIRTESTS.rglob("*")) if is_image(path)))
        yield made


def feed(url: str) -> Configured:
    return Configured("feed", "orthanc", url, ENDPOINT, timeout=5)


def qido(url: str) -> Configured:
    return Configured("feed", "qido", f"{url}/dicom-web", ENDPOINT, from_day="1995-01-01", timeout=5)


@pytest.mark.parametrize("kind", [feed, qido])
def test_an_archive_that_dies_in_the_middle_of_a_round_is_read_on_when_it_is_back(
    archive: Running, services: Services, kind: type
) -> None:
    given = 0

    def dying(address: str, status: int, body: bytes) -> tuple[int, bytes, dict[str, str]] | None:
        nonlocal given
        if "instances-tags" in address or address.endswith("/metadata"):
            given += 1
        return (status, body, {}) if given <= 3 else None

    with between(archive.url, dying) as troubled:
        report = harvested(services, kind(troubled.url))
        assert (len(report.created), report.ok) == (3, False)
        assert "could not be reached" in report.failed[0]["reason"]
        assert (state(services, "feed").failures, len(studies(services))) == (1, 3)
        assert harvested(services, kind(troubled.url), reconcile=True).withdrawn == []
        given = -1000
        assert harvested(services, kind(troubled.url)).ok
    assert (len(studies(services)), state(services, "feed").failures) == (7, 0)


@pytest.mark.parametrize("kind", [feed, qido])
@pytest.mark.parametrize("answer", [(500, b"oops"), (200, b'{"half": '), (200, b"[1, 2]"), (200, b"")])
def test_a_study_that_the_archive_does_not_give_is_asked_for_again_and_holds_up_no_other(
    archive: Running, services: Services, kind: type, answer: tuple[int, bytes]
) -> None:
    broken: list[str] = []

    def breaking(address: str, status: int, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if "instances-tags" in address or address.endswith("/metadata"):
            if not broken:
                broken.append(address)
            if address == broken[0]:
                return (*answer, {})
        return status, body, {}

    with between(archive.url, breaking) as troubled:
        report = harvested(services, kind(troubled.url))
        assert len(report.created) == 6
        assert "asked for again" in report.failed[0]["reason"]
        assert (state(services, "feed").lag, len(state(services, "feed").pending.split())) == (1, 1)
        broken[0] = ""
        harvested(services, kind(troubled.url))
    assert (len(studies(services)), state(services, "feed").pending) == (7, "")
    assert {one["status"] for one in studies(services).values()} == {"available"}


def test_a_study_whose_instances_are_not_described_is_announced_until_they_are(
    archive: Running, services: Services
) -> None:
    def silent(address: str, status: int, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        return (404, b"", {}) if address.endswith("/metadata") else (status, body, {})

    with between(archive.url, silent) as troubled:
        assert harvested(services, qido(troubled.url)).ok
        told = studies(services).values()
        assert {(one["status"], "series" in one) for one in told} == {("registered", False)}
        assert sum(one["numberOfInstances"] for one in told) == 81
    harvested(services, qido(archive.url), reconcile=True)
    assert {(one["status"], "series" in one) for one in studies(services).values()} == {("available", True)}


def test_a_part_of_a_study_that_makes_no_sense_loses_nothing_else(archive: Running, services: Services) -> None:
    def maiming(address: str, status: int, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if "instances-tags" not in address:
            return status, body, {}
        found = json.loads(body)
        found[min(found)] = ["not", "tags"]
        return status, json.dumps(found).encode(), {}

    with between(archive.url, maiming) as troubled:
        report = harvested(services, feed(troubled.url))
    assert (report.studies, report.instances, len(report.skipped)) == (7, 74, 7)


def test_an_archive_that_says_it_is_elsewhere_is_read_where_it_is_configured(
    archive: Running, services: Services
) -> None:
    """Its RetrieveURL and its redirects lead to another host, which nobody asks."""
    with between(archive.url) as elsewhere:

        def lying(address: str, status: int, body: bytes) -> tuple[int, bytes, dict[str, str]]:
            found = json.loads(body) if body else []
            for one in found if isinstance(found, list) else []:
                one["00081190"] = {"vr": "UR", "Value": [f"{elsewhere.url}/dicom-web/studies/1.2"]}
                one["00080054"] = {"vr": "AE", "Value": ["ELSEWHERE"]}
            return status, json.dumps(found).encode(), {"Content-Location": f"{elsewhere.url}/"}

        def redirecting(_address: str, _status: int, _body: bytes) -> tuple[int, bytes, dict[str, str]]:
            return 302, b"", {"Location": f"{elsewhere.url}/dicom-web/studies"}

        with between(archive.url, lying) as troubled:
            assert harvested(services, qido(troubled.url)).ok
            troubled.change = redirecting
            for kind in (qido, feed):
                assert not harvested(services, kind(troubled.url), reconcile=True).ok
        assert elsewhere.asked == []
    found = studies(services)
    assert len(found) == 7
    assert all(one["endpoint"] == [{"reference": ENDPOINT}] for one in found.values())
    assert elsewhere.url not in json.dumps(list(found.values()))


@pytest.mark.parametrize("way", ["changes", "studies", "qido"])
def test_an_archive_that_gives_the_same_page_for_ever_ends_the_round(
    archive: Running, services: Services, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(orthanc, "PAGE", 3)
    first: dict[str, bytes] = {}

    def repeating(address: str, status: int, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        path = address.split("?")[0]
        if "?" in address and "last" not in address and path in ("/changes", "/studies"):
            return status, first.setdefault(path, body), {}
        return status, body, {}

    with between(archive.url, repeating) as troubled:
        if way == "qido":
            troubled.change = lambda address, status, body: (
                status, first.setdefault(address.split("?")[0], body), {},
            )  # fmt: skip
            report = harvested(services, qido(troubled.url), reconcile=True)
            assert (report.ok, len(studies(services))) == (True, 7)  # it knows no offset, and has given all
            return
        report = harvested(services, feed(troubled.url), reconcile=way == "studies")
    assert not report.ok
    assert "next page was expected" in report.failed[-1]["reason"]
    assert report.withdrawn == []


def test_an_archive_that_gives_fewer_than_are_asked_for_is_read_to_its_end(
    archive: Running, services: Services
) -> None:
    def frugal(address: str, status: int, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if "/dicom-web/studies?" in address:
            return status, json.dumps(json.loads(body)[:2]).encode() if body else body, {}
        return status, body, {}

    with between(archive.url, frugal) as troubled:
        assert harvested(services, qido(troubled.url), reconcile=True).ok
    assert len(studies(services)) == 7


def test_an_answer_larger_than_is_read_is_left_and_the_others_taken(
    archive: Running, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "ANSWER_MAX", 200_000)
    big: list[str] = []

    def swollen(address: str, status: int, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if "instances-tags" in address and address in (big or [address]):
            big[:] = [address]
            return status, body + b" " * 300_000, {}
        return status, body, {}

    with between(archive.url, swollen) as troubled:
        report = harvested(services, feed(troubled.url))
    assert "larger than is read" in report.failed[0]["reason"]
    assert len(report.created) >= 1 and state(services, "feed").pending


def test_several_sources_at_once_are_each_read_and_one_that_is_dead_holds_up_none(
    archive: Running, services: Services
) -> None:
    def round_of(name: str, kind: str, url: str, endpoint: str) -> Report:
        one = Configured(name, kind, url, endpoint, from_day="1995-01-01", timeout=5)
        found = ingest_archive.archive(services, endpoint, one)
        source = replace(found.source, patient_system=ingest_archive.archive(services, ENDPOINT).source.patient_system)
        return harvest.run(one, source, found.registry, services.store)

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(3) as each:
        dead = each.submit(round_of, "dead", "orthanc", "http://127.0.0.1:9", "Endpoint/alderbrook-archive")
        one = each.submit(round_of, "one", "orthanc", archive.url, ENDPOINT)
        other = each.submit(round_of, "other", "qido", archive.dicomweb, "Endpoint/birchwater-archive")
        reports = [one.result(), other.result()]
        assert not dead.result().ok
    assert [report.failed for report in reports] == [[], []]
    found = studies(services)
    assert len(found) == 7
    for uid, study in found.items():
        named = {endpoint["reference"] for endpoint in study["endpoint"]}
        assert named == {ENDPOINT, "Endpoint/birchwater-archive"}, uid
    assert [state(services, name).failures for name in ("dead", "one", "other")] == [1, 0, 0]
