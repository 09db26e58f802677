"""Validation alone, in one process: a study of 1, 10 and 100 series against its JSON Schema, and against everything.

The schema tells right from wrong; beside it the whole (invariants, constraints, identifiers), and the second library.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jsonschema

from app.fhir import schemas
from app.fhir.elements import resource_type
from app.published import profiles, validator
from benchmarks.harness.table import Bench, Row, at_most, judged, measured, percentiles

DCM = {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}
UID = "1.2.826.0.1.3680043.8.498"
TARGETS = {1: 0.05, 10: 0.1, 100: 0.5}  # ms in the median for the schema, by series
TURN = 20


def study(series: int) -> dict[str, Any]:
    """A study with so many series of one image each."""
    return {
        "resourceType": "ImagingStudy",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{UID}"}],
        "status": "available",
        "modality": [DCM],
        "subject": {"reference": "Patient/p1"},
        "started": "2026-02-01T09:30:00Z",
        "endpoint": [{"reference": "Endpoint/archive"}],
        "numberOfSeries": series,
        "numberOfInstances": series,
        "series": [
            {
                "uid": f"{UID}.{number}",
                "number": number,
                "modality": DCM,
                "description": "axial",
                "numberOfInstances": 1,
                "bodySite": {"system": "http://snomed.info/sct", "code": "51185008"},
                "instance": [
                    {
                        "uid": f"{UID}.{number}.1",
                        "sopClass": {"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.840.10008.5.1.4.1.1.2"},
                    }
                ],
            }
            for number in range(1, series + 1)
        ],
    }


def timed(what: str, work: Callable[[], Any], seconds: float) -> Row:
    """Milliseconds in the median, by turns."""
    times, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 5:
        began = time.perf_counter()
        for _ in range(TURN):
            work()
        times.append((time.perf_counter() - began) / TURN * 1e3)
    p50, p95, _ = percentiles(times)
    number = len(times) * TURN
    return Row("validation", what, value=round(p50, 4), unit="ms", number=number, notes={"p95": round(p95, 4)})


@measured("validation", "milliseconds for a study, in the median")
def validation(bench: Bench) -> list[Row]:
    rows = []
    share = bench.seconds / (3 * len(TARGETS))
    checked = validator()
    first = checked.schema("ImagingStudy")
    kind = resource_type("ImagingStudy")
    assert kind is not None
    second = jsonschema.Draft202012Validator(schemas.schema(kind, profiles().everywhere["ImagingStudy"][-1:]))
    for series, most in TARGETS.items():
        one = study(series)
        assert checked.validate(one) == []
        row = timed(f"schema, {series} series", lambda one=one: first.is_valid(one), share)  # type: ignore[misc]
        rows.append(judged(row, at_most(most, "ms")))
        rows.append(timed(f"everything, {series} series", lambda one=one: checked.validate(one), share))  # type: ignore[misc]
    rows.append(timed("schema by the second library, 1 series", lambda: second.is_valid(study(1)), share))
    for row in rows:
        row.target = row.target or "–"
    return rows
