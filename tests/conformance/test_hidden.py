"""Ways in which what is withheld could be told from what never was; each was open once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.policy.switches import load
from tests.support.region import STUDY_UID, Caller, caller, consent, endpoint, study

UID = "urn:dicom:uid"


def report(*named: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "final",
        "code": {"text": "report"},
        "subject": {"reference": "Patient/p1"},
        "imagingStudy": list(named),
    } | more


def told(answer: TestResponse) -> tuple[int, bytes]:
    """What an answer says, but for the time of day."""
    return answer.status_code, re.sub(rb'"meta":{"lastUpdated":"[^"]+"},', b"", answer.data)


@pytest.mark.attack(26)
def test_a_reference_to_a_withheld_study_is_refused_like_one_to_nothing(app: Flask, steward: Caller) -> None:
    """Referential integrity must not say which ids are taken."""
    steward.put("/Consent/c1", consent())
    archive = caller(app, "archive", "RXC")
    assert archive.get("/ImagingStudy/s1").status_code == 404
    made = {name: value for name, value in report().items() if name != "id"}
    hidden = archive.post("/DiagnosticReport", made | {"imagingStudy": [{"reference": "ImagingStudy/s1"}]})
    never = archive.post("/DiagnosticReport", made | {"imagingStudy": [{"reference": "ImagingStudy/none"}]})
    assert told(hidden) == told(never)
    assert hidden.status_code == 422


def test_a_record_system_does_not_name_a_withheld_study_of_its_own_organisation(app: Flask, steward: Caller) -> None:
    """Where an opt-out binds the trust that made the study (P1), only who keeps the study still knows of it."""
    app.extensions["services"].enforcement.switches = load("opt_out_binds_origin = true")
    steward.put("/Consent/c1", consent())
    order = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p1"},
        "supportingInfo": [{"reference": "ImagingStudy/s1"}],
    }
    assert caller(app, "backend", "RXA").post("/ServiceRequest", order).status_code == 422


@pytest.mark.attack(71)
def test_an_explanation_does_not_tell_no_study_from_a_withheld_one(steward: Caller, treating: Caller) -> None:
    steward.put("/Consent/c1", consent())
    hidden = treating.get("/ImagingStudy/$explain-access?patient=p1")
    assert steward.delete("/ImagingStudy/s1").status_code == 204
    assert told(treating.get("/ImagingStudy/$explain-access?patient=p1")) == told(hidden)


def test_an_archive_names_the_studies_that_are_its_own(app: Flask, steward: Caller) -> None:
    archive = caller(app, "archive", "RXA", "system/*.cud")
    made = {name: value for name, value in report({"reference": "ImagingStudy/s1"}).items() if name != "id"}
    assert archive.post("/DiagnosticReport", made).status_code == 201


@pytest.mark.attack(48)
@pytest.mark.parametrize("asks", ["/ImagingStudy?patient=p1", "/Patient/p1", "/EpisodeOfCare?patient=p1"])
def test_a_study_of_ones_own_that_may_not_be_seen_makes_its_patient_no_acquaintance(
    app: Flask, steward: Caller, asks: str
) -> None:
    """For another purpose than care, and where the region lets an opt-out bind the trust that made the study (P1)."""
    other = caller(app, "backend", "RXA", purpose="HRESCH")
    with_study = told(other.get(asks))
    enforcement = app.extensions["services"].enforcement
    enforcement.switches = load("opt_out_binds_origin = true")
    steward.put("/Consent/c1", consent())
    own = caller(app, "backend", "RXA")
    bound = told(own.get(asks))
    assert steward.delete("/ImagingStudy/s1").status_code == 204
    assert told(other.get(asks)) == with_study
    assert told(own.get(asks)) == bound


def test_a_report_of_a_withheld_study_stays_unknown_when_it_is_deleted(steward: Caller, treating: Caller) -> None:
    """What it named is forgotten by the search index, and not by the decision."""
    steward.put("/DiagnosticReport/r1", report({"reference": "ImagingStudy/s1"}))
    assert treating.get("/DiagnosticReport/r1").status_code == 200
    steward.put("/Consent/c1", consent(provision={"type": "permit", "provision": [one_study_refused()]}))
    never = treating.get("/DiagnosticReport/none")
    assert told(treating.get("/DiagnosticReport/r1")) == told(never)
    steward.delete("/DiagnosticReport/r1")
    assert told(treating.get("/DiagnosticReport/r1")) == told(never)
    assert treating.get("/DiagnosticReport/_history").json.get("entry", []) == []


def one_study_refused() -> dict[str, Any]:
    return {"type": "deny", "data": [{"meaning": "instance", "reference": {"reference": "ImagingStudy/s1"}}]}


def test_a_report_that_once_named_a_withheld_study_does_not_say_so_in_its_history(
    steward: Caller, treating: Caller
) -> None:
    steward.put("/ImagingStudy/s2", study("s2", f"{STUDY_UID}.2"))
    steward.put("/DiagnosticReport/r1", report({"reference": "ImagingStudy/s1"}))
    steward.put("/DiagnosticReport/r1", report({"reference": "ImagingStudy/s2"}))
    assert treating.get("/DiagnosticReport/r1/_history/1").status_code == 200
    steward.put("/Consent/c1", consent(provision={"type": "permit", "provision": [one_study_refused()]}))
    assert treating.get("/DiagnosticReport/r1/_history/1").status_code == 404
    assert b"ImagingStudy/s1" not in treating.get("/DiagnosticReport/_history").data


@pytest.mark.parametrize("named", [{"identifier": {"system": UID, "value": f"urn:oid:{STUDY_UID}"}},
                                   {"identifier": {"system": UID, "value": "urn:oid:2.9.9"}},
                                   {"reference": "https://elsewhere.example/ImagingStudy/1"}, {"display": "a study"}])  # fmt: skip
def test_a_report_that_names_its_study_in_another_way_shows_only_with_it(
    steward: Caller, treating: Caller, named: dict[str, Any]
) -> None:
    assert steward.put("/DiagnosticReport/r1", report(named)).status_code == 201
    there = named.get("identifier", {}).get("value") == f"urn:oid:{STUDY_UID}"
    assert treating.get("/DiagnosticReport/r1").status_code == (200 if there else 404)
    steward.put("/Consent/c1", consent(provision={"type": "permit", "provision": [one_study_refused()]}))
    assert treating.get("/DiagnosticReport/r1").status_code == 404


@pytest.mark.attack(53)
def test_the_choice_of_a_patient_named_with_the_servers_own_address_binds(steward: Caller, treating: Caller) -> None:
    made = consent(patient={"reference": "http://127.0.0.1:8080/fhir/Patient/p1"})
    assert steward.put("/Consent/c1", made).status_code == 201
    assert treating.ids("/ImagingStudy?patient=p1") == []


def test_someone_whose_whereabouts_are_protected_is_answered_for_like_someone_unknown(
    app: Flask, steward: Caller, treating: Caller
) -> None:
    protected = steward.get("/Patient/p1").json | {
        "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]}
    }
    steward.put("/Patient/p1", protected)
    for path in ("/ImagingStudy?patient={}", "/Patient/{}", "/Patient/{}/ImagingStudy"):
        assert told(treating.get(path.format("p1"))) == told(treating.get(path.format("nobody")))
    steward.put("/Endpoint/archive-rxa", endpoint())
    assert caller(app, "backend", "RXA").ids("/ImagingStudy?patient=p1") == ["s1"]
