"""`demo load`, `ingest` and `harvest` as an operator runs them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from click.testing import Result
from flask import Flask

from app import create_app
from app.config import Settings
from app.demo.cli import demo
from app.ingest import cli
from app.storage import schema
from tests.e2e.ingest_orthanc import DICOMWEB, INSTALL, ORTHANC, running

DICOMDIRTESTS = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"
ARCHIVE = "cedarholme-archive"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    path = tmp_path / "sources.toml"
    path.write_text("")
    return path


@pytest.fixture
def app(tmp_path: Path, sources: Path) -> Iterator[Flask]:
    settings = Settings(
        database_url=f"sqlite:///{tmp_path}/registry.db", keys_dir=str(tmp_path / "keys"), sources_file=str(sources)
    )
    made = create_app(settings)
    schema.upgrade(made.extensions["services"].store)
    yield made
    made.extensions["services"].store.close()


def run(app: Flask, command: Any, *arguments: str | Path) -> Result:
    return app.test_cli_runner().invoke(command, [str(argument) for argument in arguments])


def test_the_demo_region_loads_once(app: Flask) -> None:
    first = json.loads(run(app, demo, "load", "--json").stdout)
    assert first["created"] > 90 and first["unchanged"] == 0
    again = json.loads(run(app, demo, "load", "--json").stdout)
    assert again == {"created": 0, "unchanged": first["created"]}
    more = run(app, demo, "load", "--patients", "5")
    assert more.exit_code == 0 and "were there already" in more.stdout


def test_ingest_reports_what_it_did_and_the_second_time_that_nothing_changed(app: Flask) -> None:
    run(app, demo, "load")
    reports = []
    for _ in range(2):
        result = run(app, cli.ingest, DICOMDIRTESTS, "--archive", ARCHIVE, "--json")
        assert result.exit_code == 0
        reports.append(json.loads(result.stdout))
    for report in reports:
        assert [report[name] for name in ("patients", "studies", "series", "instances")] == [3, 7, 14, 81]
        assert all(one["reason"] for one in report["skipped"])
    assert reports[1]["unchanged"] == 7


def test_a_dry_run_changes_nothing(app: Flask) -> None:
    run(app, demo, "load")
    dry = run(app, cli.ingest, DICOMDIRTESTS, "--archive", f"Endpoint/{ARCHIVE}", "--dry-run")
    assert dry.exit_code == 0 and "nothing was written" in dry.stdout
    again = json.loads(run(app, cli.ingest, DICOMDIRTESTS, "--archive", ARCHIVE, "--dry-run", "--json").stdout)
    assert again["updated"] == 2  # two of the demo studies are Birchwater's


def test_an_unknown_archive_is_an_error_in_words(app: Flask) -> None:
    result = run(app, cli.ingest, DICOMDIRTESTS, "--archive", "nothing")
    assert result.exit_code != 0
    assert "expected the id of an archive's Endpoint" in result.output


def test_a_path_that_is_not_there_is_reported(app: Flask, tmp_path: Path) -> None:
    run(app, demo, "load")
    result = run(app, cli.ingest, tmp_path / "missing", "--archive", ARCHIVE, "--json")
    assert json.loads(result.stdout)["skipped"] == [{"path": f"{tmp_path}/missing", "reason": "does not exist"}]


def test_harvest_without_a_source_says_what_is_missing(app: Flask) -> None:
    result = run(app, cli.harvest, "--once")
    assert result.exit_code != 0
    assert "REGISTRY_SOURCES_FILE" in result.output


@pytest.mark.skipif((ORTHANC is None or not DICOMWEB.exists()) and os.environ.get("CI") != "true", reason=INSTALL)
def test_harvest_reads_a_configured_archive_once(app: Flask, sources: Path, tmp_path: Path) -> None:
    run(app, demo, "load")
    folder = tmp_path / "orthanc"
    folder.mkdir()
    with running(folder) as orthanc:
        orthanc.store(*sorted((DICOMDIRTESTS / "TINY_ALPHA").rglob("IM*")))
        sources.write_text(
            f'[[source]]\nname = "c"\nkind = "orthanc"\nurl = "{orthanc.url}"\nendpoint = "Endpoint/{ARCHIVE}"\n'
        )
        result = run(app, cli.harvest, "--once", "--source", "c", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["studies"], report["instances"]) == (1, 50)
