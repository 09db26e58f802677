"""The audit under attack: security.md 4, attacks 72 and 74."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app.interactions import Services
from tests.support.region import NHS, caller, episode, settle

SEARCH = f"/ImagingStudy?patient.identifier={NHS}|9990000018"
PROVENANCE: dict[str, Any] = {
    "resourceType": "Provenance",
    "id": "v1",
    "target": [{"reference": "ImagingStudy/s1"}],
    "recorded": "2026-01-15T10:00:00Z",
    "agent": [{"who": {"reference": "Organization/rxb"}}],
}
ORDINARY = {
    "record system": {"kind": "backend", "ods": "RXB"},
    "archive": {"kind": "archive", "ods": "RXA"},
    "clinician": {"kind": "app", "ods": "RXB", "role": "clinician", "practitioner": "Practitioner/dr-x"},
    "clerk": {"kind": "app", "ods": "RXB", "role": "clerical", "practitioner": "Practitioner/cl-y"},
}


@pytest.mark.attack(72)
@pytest.mark.parametrize("who", ORDINARY)
def test_72_ordinary_users_read_and_write_no_audit_event_and_no_provenance(who: str, app: Flask) -> None:
    steward = settle(app)
    assert steward.put("/Provenance/v1", PROVENANCE).status_code == 201
    user = caller(app, **ORDINARY[who])  # type: ignore[arg-type]
    user.get(SEARCH)
    event = steward.get("/AuditEvent?_count=1").json["entry"][0]["resource"]
    for path in (
        "/AuditEvent", "/AuditEvent?patient=p1", f"/AuditEvent/{event['id']}", f"/AuditEvent/{event['id']}/_history/1",
        "/Patient/p1/AuditEvent", "/Provenance", "/Provenance/v1", "/Provenance/v1/_history", "/Patient/p1/Provenance",
    ):  # fmt: skip
        assert user.get(path).status_code == 403, path
    for include in ("AuditEvent:entity", "AuditEvent:patient", "Provenance:target", "Provenance:patient"):
        answer = user.get(f"/ImagingStudy?patient=p1&_revinclude={include}")
        shown = [entry["resource"]["resourceType"] for entry in (answer.json or {}).get("entry", ())]
        assert not {"AuditEvent", "Provenance"} & set(shown), include
    assert user.post("/Provenance", PROVENANCE).status_code == 403
    assert user.put("/Provenance/v1", PROVENANCE).status_code == 403
    assert user.delete("/Provenance/v1").status_code == 403


@pytest.mark.attack(72)
def test_72_nobody_writes_an_audit_event_by_any_interaction(app: Flask) -> None:
    steward = settle(app)
    event = steward.get("/AuditEvent?_count=1").json["entry"][0]["resource"]
    path = f"/AuditEvent/{event['id']}"
    patch = [{"op": "replace", "path": "/outcome", "value": "0"}]
    answers = [
        steward.post("/AuditEvent", event),
        steward.put(path, event | {"outcome": "8"}),
        steward.put("/AuditEvent?_id=x", event),
        steward.delete(path),
        steward.delete("/AuditEvent?date=lt2099"),
        steward.send("PATCH", path, patch, Content_Type="application/json-patch+json"),
    ]
    assert {answer.status_code for answer in answers} <= {403, 405}
    for method, url in (("POST", "AuditEvent"), ("PUT", path[1:]), ("DELETE", path[1:])):
        entry = {"request": {"method": method, "url": url}} | ({} if method == "DELETE" else {"resource": event})
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
        assert steward.post("", bundle).status_code in (403, 405), method
    assert steward.get(path).json == event


@pytest.fixture
def broken(app: Flask) -> Any:
    """A region whose audit cannot be written, and a way to mend it."""
    settle(app)
    services: Services = app.extensions["services"]
    services.store.retry(lambda tx: tx.run("ALTER TABLE audit RENAME TO audit_away"))
    return lambda: services.store.retry(lambda tx: tx.run("ALTER TABLE audit_away RENAME TO audit"))


READS = (
    "/ImagingStudy/s1", "/ImagingStudy/s1/_history/1", "/ImagingStudy/s1/_history", "/ImagingStudy", "/_history", SEARCH,
    "/Patient/p1/ImagingStudy", "/ImagingStudy?patient=p1&_summary=count", "/Endpoint/archive-rxa", "/EpisodeOfCare/e1",
)  # fmt: skip


@pytest.mark.attack(74)
def test_74_where_the_audit_cannot_be_written_nothing_is_disclosed(app: Flask, broken: Any) -> None:
    treating, stranger = caller(app), caller(app, ods="RXC")
    for user in (treating, stranger):
        for path in READS:
            answer = user.get(path)
            assert answer.status_code >= 500, path
            assert answer.json["resourceType"] == "OperationOutcome"
            assert "1.2.826" not in answer.text and "rxa.example" not in answer.text
    batch = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": "ImagingStudy/s1"}}],
    }
    answer = treating.post("", batch)
    assert answer.status_code >= 500 and "1.2.826" not in answer.text


@pytest.mark.attack(74)
def test_74_where_the_audit_cannot_be_written_nothing_is_changed(app: Flask, broken: Any) -> None:
    treating = caller(app)
    assert treating.put("/EpisodeOfCare/e9", episode("e9")).status_code >= 500
    assert treating.put("/EpisodeOfCare/e1", episode(status="cancelled")).status_code >= 500
    assert treating.delete("/EpisodeOfCare/e1").status_code >= 500
    broken()
    assert treating.get("/EpisodeOfCare/e9").status_code == 404
    assert treating.get("/EpisodeOfCare/e1").json["status"] == "active"


@pytest.mark.attack(74)
def test_74_a_refusal_that_cannot_be_recorded_is_not_given_either(app: Flask, broken: Any) -> None:
    assert app.test_client().get("/fhir/ImagingStudy/s1").status_code >= 500
    assert caller(app).post("/ImagingStudy", {"resourceType": "ImagingStudy"}).status_code >= 500
