"""What happens to a study after it was read first, in a real Orthanc: late images, rejection notes (IHE IOCM), manifests;
and harvesters as processes of their own, that end in the middle, start again, or meet one another."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from app import create_app
from app.config import Settings
from app.demo.cli import STEWARD
from app.demo.load import load
from app.ingest.configured import Configured
from app.interactions import Services
from app.storage import schema
from tests.e2e.ingest_between import Between, between
from tests.e2e.ingest_orthanc import Running, running
from tests.e2e.ingest_region import studies
from tests.e2e.test_ingest_harvest import ENDPOINT, feed, harvested, qido
from tests.support.dicom import REJECTED, TEST_FILES, key_objects
from tests.support.parts import requires
from tests.support.server import FLASK, ROOT

pytestmark = requires("orthanc", "orthanc-dicomweb")

DICOMDIRTESTS = TEST_FILES / "dicomdirtests"
UID = "1.3.6.1.4.1.5962.1.1.0.0.0.1196533885.18148.0.1"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Running]:
    folder = tmp_path / "orthanc"
    folder.mkdir()
    with running(folder) as made:
        yield made


def images() -> list[Path]:
    """The files of one study, which has several series."""
    found = [path for path in sorted(DICOMDIRTESTS.rglob("*")) if path.is_file() and path.name.isdigit()]
    return [path for path in found if dcmread(path, stop_before_pixels=True).StudyInstanceUID == UID]


def heads(paths: list[Path]) -> list[Dataset]:
    return [dcmread(path, stop_before_pixels=True) for path in paths]


def held(services: Services) -> dict[str, Any]:
    return studies(services)[UID]


def test_images_that_come_late_are_added_by_the_change_feed(archive: Running, services: Services) -> None:
    early, late = images()[:2], images()[2:]
    archive.store(*early)
    harvested(services, feed(archive))
    assert held(services)["numberOfInstances"] == 2
    archive.store(*late)
    report = harvested(services, feed(archive))
    assert (report.created, report.updated) == ([], [UID])
    assert held(services)["numberOfInstances"] == len(images())
    assert harvested(services, feed(archive)).files == 0


@pytest.mark.parametrize("kind", [feed, qido])
@pytest.mark.parametrize("title", sorted(REJECTED))
def test_a_rejection_note_in_the_archive_takes_the_images_away(
    archive: Running, services: Services, tmp_path: Path, title: str, kind: Any
) -> None:
    """113001 and 113039 say that an image is not to be used; 113037 and 113038 that it never was right."""
    archive.store(*images())
    configured: Configured = kind(archive)
    assert harvested(services, configured, reconcile=True).created == [UID]
    archive.store(key_objects(tmp_path / "first", heads(images()[:1]), title))
    assert harvested(services, configured, reconcile=True).ok
    assert (held(services)["status"], held(services)["numberOfInstances"]) == ("available", len(images()) - 1)
    archive.store(key_objects(tmp_path / "all", heads(images()), title))
    report = harvested(services, configured, reconcile=True)
    assert report.withdrawn == [UID]
    wrong = title in ("113037", "113038")
    assert held(services)["status"] == ("entered-in-error" if wrong else "cancelled")
    assert "endpoint" not in held(services)
    # The archive keeps the images; they stay away all the same.
    again = harvested(services, configured, reconcile=True)
    assert (again.created, again.updated, held(services).get("endpoint")) == ([], [], None)


def test_a_rejection_note_comes_by_the_feed_too(archive: Running, services: Services, tmp_path: Path) -> None:
    archive.store(*images())
    harvested(services, feed(archive))
    archive.store(key_objects(tmp_path / "note", heads(images()), "113001"))
    assert harvested(services, feed(archive)).withdrawn == [UID]


def test_a_manifest_in_an_archive_announces_the_images_that_it_lists(
    archive: Running, services: Services, tmp_path: Path
) -> None:
    archive.store(key_objects(tmp_path / "manifest", heads(images()), "113030"))
    assert harvested(services, feed(archive)).created == [UID]
    listed = {one["uid"] for series in held(services)["series"] for one in series["instance"]}
    assert {one.SOPInstanceUID for one in heads(images())} < listed


# Processes ------------------------------------------------------------------------------------------------------------


class Harvesters:
    """`flask harvest` as processes, on a registry with the demo region, of an archive behind a server that can wait."""

    def __init__(self, folder: Path, url: str) -> None:
        self.database = f"sqlite:///{folder}/region.db"
        sources = folder / "sources.toml"
        sources.write_text(f'[[source]]\nname = "feed"\nkind = "orthanc"\nurl = "{url}"\nendpoint = "{ENDPOINT}"\n')
        self.environment = os.environ | {
            "REGISTRY_DATABASE_URL": self.database,
            "REGISTRY_KEYS_DIR": f"{folder}/keys",
            "REGISTRY_SOURCES_FILE": str(sources),
        }
        app = create_app(Settings(database_url=self.database, keys_dir=f"{folder}/keys", log_level="error"))
        self.services: Services = app.extensions["services"]
        schema.upgrade(self.services.store)
        load(self.services, STEWARD)

    def start(self) -> subprocess.Popen[str]:
        command = [FLASK, "--app", "wsgi", "harvest", "--once", "--json"]
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True)

    def report(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        said, _ = process.communicate(timeout=120)
        found: dict[str, Any] = json.loads(said)
        return found

    def forget_the_lease(self) -> None:
        """As if its time had passed."""
        with self.services.store.begin() as tx:
            tx.run("UPDATE source_state SET lease = 1")


class Waiting:
    """Answers that are held back at the third study until they are let go."""

    def __init__(self) -> None:
        self.asked = 0
        self.reached, self.go = threading.Event(), threading.Event()

    def __call__(self, address: str, status: int, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if "instances-tags" in address:
            self.asked += 1
            if self.asked == 3:
                self.reached.set()
                self.go.wait(60)
        return status, body, {}


@pytest.fixture
def slow(archive: Running) -> Iterator[Between]:
    archive.store(
        *(path for path in sorted(DICOMDIRTESTS.rglob("*")) if not path.is_dir() and path.name[0] in "I0123456789")
    )
    waiting = Waiting()
    with between(archive.url, waiting) as made:
        yield made
        waiting.go.set()


def test_of_two_harvesters_of_one_source_one_reads_and_the_other_leaves_it_alone(slow: Between, tmp_path: Path) -> None:
    both = Harvesters(tmp_path, slow.url)
    one = both.start()
    assert slow.change.reached.wait(60)
    asked = len(slow.asked)
    other = both.report(both.start())
    assert (other["elsewhere"], other["files"], len(slow.asked)) == (True, 0, asked)
    slow.change.go.set()
    first = both.report(one)
    assert (first["elsewhere"], first["studies"], first["failed"]) == (False, 7, [])
    assert not both.report(both.start())["elsewhere"]
    both.services.store.close()


def test_a_harvester_that_was_killed_is_followed_by_one_that_reads_on(slow: Between, tmp_path: Path) -> None:
    both = Harvesters(tmp_path, slow.url)
    one = both.start()
    assert slow.change.reached.wait(60)
    one.kill()
    one.communicate()
    slow.change.go.set()
    assert both.report(both.start())["elsewhere"]
    both.forget_the_lease()
    before = len(slow.asked)
    second = both.report(both.start())
    assert (second["studies"], second["failed"], second["elsewhere"]) == (7, [], False)
    since = [address for address in slow.asked[before:] if "since=" in address]
    assert since and "since=0&" not in since[0]  # the first page of changes had been read, and is not asked for again
    before = len(slow.asked)
    third = both.report(both.start())
    assert third["files"] == 0 and not any("instances-tags" in address for address in slow.asked[before:])
    both.services.store.close()


def test_a_harvester_that_was_taken_for_dead_moves_no_position_when_it_goes_on(slow: Between, tmp_path: Path) -> None:
    both = Harvesters(tmp_path, slow.url)
    one = both.start()
    assert slow.change.reached.wait(60)
    both.forget_the_lease()
    successor = both.report(both.start())
    assert (successor["studies"], successor["elsewhere"]) == (7, False)
    slow.change.go.set()
    late = both.report(one)
    assert (late["elsewhere"], late["failed"]) == (True, [])
    assert not both.report(both.start())["elsewhere"]
    both.services.store.close()
