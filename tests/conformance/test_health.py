"""/health/live, /health/ready and /metrics: interface.md section 3. They are open, and tell of nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from app import create_app
from app.config import Settings
from tests.support import postgres
from tests.support.region import STUDY_UID, Caller


def test_it_is_alive_and_ready_on_a_migrated_database(app: Flask) -> None:
    http = app.test_client()
    assert (http.get("/health/live").status_code, http.get("/health/live").json) == (200, {"status": "alive"})
    ready = http.get("/health/ready")
    assert (ready.status_code, ready.headers["Cache-Control"]) == (200, "no-store")
    assert ready.json == {"status": "ready", "database": True, "migrations": True}


def test_it_is_not_ready_before_the_schema_is_there(tmp_path: Path) -> None:
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path}/empty.db", keys_dir=f"{tmp_path}/keys"))
    ready = app.test_client().get("/health/ready")
    app.extensions["services"].store.close()
    assert ready.status_code == 503
    assert ready.json == {"status": "not ready", "database": True, "migrations": False}


def test_while_the_database_is_gone_it_is_alive_and_not_ready_and_recovers_by_itself(
    fresh_database: Callable[[str], str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = fresh_database("postgresql")
    base, template = request.getfixturevalue("postgresql").split("|")
    app = create_app(Settings(database_url=url, keys_dir=f"{tmp_path}/keys", log_level="error"))
    http = app.test_client()
    assert http.get("/health/ready").status_code == 200
    postgres.drop_database(base, url)
    assert http.get("/health/live").status_code == 200
    for _ in range(2):
        ready = http.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json == {"status": "not ready", "database": False, "migrations": False}
    assert "registry_ready 0.0" in http.get("/metrics").text
    postgres.create_database(base, template, name=url.removeprefix(base))
    assert http.get("/health/ready").status_code == 200
    assert "registry_ready 1.0" in http.get("/metrics").text
    app.extensions["services"].store.close()


@pytest.mark.requirement("security 4.73: metric labels name no person and no study")
def test_metrics_count_by_route_and_name_nobody(app: Flask, treating: Caller) -> None:
    number = "9990000018"
    assert treating.get(f"/ImagingStudy?patient.identifier={number}").status_code == 200
    assert treating.get("/Patient/p1").status_code == 200
    treating.get(f"/ImagingStudy?identifier=urn:dicom:uid|urn:oid:{STUDY_UID}")
    app.test_client().get(f"/no/such/{number}")
    answer = app.test_client().get("/metrics")
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/plain")
    assert 'route="/fhir/<type_name>"' in answer.text and 'route="unknown"' in answer.text
    for secret in (number, STUDY_UID, "p1", "RXB", treating.token):
        assert secret not in answer.text
