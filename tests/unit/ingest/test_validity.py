"""What ingest makes passes the same validation as what anyone sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom.data

from app.demo.region import region
from app.fhir.outcome import Issue
from app.fhir.study import STUDY_ORDER, in_order
from app.ingest import files, sync
from app.ingest.report import Report
from app.ingest.source import Source
from app.published import validator


def errors(resource: dict[str, Any]) -> list[Issue]:
    return [issue for issue in validator().validate(resource) if issue.severity == "error"]


AT = 1_773_136_800_000_000  # 2026-03-10T10:00:00Z


def test_a_study_from_any_real_file_is_valid(source: Source) -> None:
    batch = sync.Batch(source, Report())
    for found in files.read_all([Path(pydicom.data.__file__).parent]):
        batch.take(found)
    studies = batch.assembled()
    assert len(studies) > 40
    for study in studies:
        resource = {**study.resource, "subject": {"reference": "Patient/1"}}
        assert errors(in_order(resource, STUDY_ORDER)) == []


def test_a_study_without_its_subject_is_not_valid_so_the_test_above_says_something(source: Source) -> None:
    assert errors({"resourceType": "ImagingStudy", "status": "available"}) != []


def test_everything_in_the_demo_region_is_valid() -> None:
    for resource in region(AT, 10):
        assert errors(resource) == [], resource["id"]
