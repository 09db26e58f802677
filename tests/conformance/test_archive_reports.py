"""Documents of reports come from their source through the proxy, to whoever may read the DiagnosticReport, and to nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.config import Settings
from tests.support.archive import PASSWORD, served
from tests.support.region import Caller, consent, settle, study

BASE = "/archive/proxy/archive-rxa/reports"


@pytest.fixture(scope="module")
def pacs() -> Iterator[str]:
    with served() as address:
        yield f"{address}/cedarholme-archive"


@pytest.fixture
def app(database_url: str, tmp_path: Path, pacs: str) -> Iterator[Flask]:
    password, archives = tmp_path / "password", tmp_path / "archives.toml"
    password.write_text(PASSWORD)
    archives.write_text(
        f'[[archive]]\nendpoint = "archive-rxa"\naddress = "{pacs}"\n'
        f'username = "registry"\npassword_file = "{password}"\n'
    )
    keys = str(tmp_path / "keys")
    made = create_app(
        Settings(database_url=database_url, keys_dir=keys, log_level="error", archives_file=str(archives))
    )
    yield made
    made.extensions["services"].store.close()


@pytest.fixture
def steward(app: Flask) -> Caller:
    made = settle(app)
    assert made.put("/ImagingStudy/s2", study("s2", "1.2.2")).status_code == 201
    return made


def report(id: str, *addresses: str, studies: tuple[str, ...] = ("s1",)) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": id,
        "status": "final",
        "code": {"text": "CT head report"},
        "subject": {"reference": "Patient/p1"},
        "imagingStudy": [{"reference": f"ImagingStudy/{one}"} for one in studies],
        "presentedForm": [{"contentType": "text/plain", "url": address} for address in addresses],
    }


def fetched(who: Caller, path: str) -> tuple[int, str, str]:
    answer = who.http.get(f"{BASE}/{path}", headers={"Authorization": f"Bearer {who.token}"} if who.token else {})
    return answer.status_code, answer.mimetype, answer.text


@pytest.fixture
def written(steward: Caller, pacs: str) -> Caller:
    """Reports at the source's own address, at the proxy's, at both, and where nothing is to be fetched."""
    own = f"http://127.0.0.1:8080{BASE}"
    for one in (
        report("at-source", f"{pacs}/reports/hazel-head-report"),
        report("at-proxy", f"{own}/hazel-head-report"),
        report("two", f"{pacs}/reports/none", f"{pacs}/reports/hazel-head-report", studies=("s1", "s2")),
        report("elsewhere", "http://127.0.0.1:9/reports/hazel-head-report"),
        report("above", f"{pacs}/reports/../secret"),
        report("beside", f"{pacs}-other/reports/hazel-head-report"),
    ):
        answer = steward.put(f"/DiagnosticReport/{one['id']}", one)
        assert answer.status_code == 201, answer.text
    return steward


def test_a_document_comes_from_its_source_as_it_is(written: Caller, treating: Caller) -> None:
    for path in ("at-source", "at-proxy", "at-source/1", "two/2"):
        status, kind, text = fetched(treating, path)
        assert (status, kind) == (200, "text/plain"), (path, text)
        assert "No acute intracranial abnormality." in text


def test_nothing_is_fetched_that_is_not_below_the_configured_archive(written: Caller, treating: Caller) -> None:
    for path in ("elsewhere", "above", "beside", "two/1", "two/3", "at-source/0", "never"):
        assert fetched(treating, path)[0] == 404, path


def test_who_may_not_read_the_report_is_answered_as_if_there_were_none(
    written: Caller, treating: Caller, stranger: Caller
) -> None:
    never = fetched(stranger, "never")
    assert never[0] == 404 and fetched(stranger, "at-source") == never
    assert fetched(Caller(stranger.http, ""), "at-source")[0] == 401
    opted = written.put("/Consent/c1", consent())
    assert opted.status_code == 201, opted.text
    assert fetched(treating, "at-source") == fetched(treating, "never")


def test_each_document_leaves_a_record_of_the_report(written: Caller, treating: Caller) -> None:
    before = _records(written)
    assert fetched(treating, "at-source")[0] == 200
    assert _records(written) == before + 1


def _records(steward: Caller) -> int:
    found = steward.get("/AuditEvent?patient=p1&type=rest&subtype=read&_count=100").json
    assert found is not None
    entities = [entity for one in found.get("entry", ()) for entity in one["resource"].get("entity", ())]
    return sum(one.get("what", {}).get("reference", "").startswith("DiagnosticReport/at-source") for one in entities)
