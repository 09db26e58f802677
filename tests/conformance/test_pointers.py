"""Each study as a DocumentReference, and its manifest: derived, read-only, decided and counted as the study is.

https://hl7.org/fhir/R4/documentreference.html · https://hl7.org/fhir/R4/documents.html
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask

from app.published import validator
from tests.support.region import NHS, STUDY_UID, Caller, caller, consent, patient, study

LOINC = "http://loinc.org"


@pytest.fixture
def region(steward: Caller) -> Caller:
    """Three studies of p1, one of p2, in whose care nobody is."""
    assert steward.put("/Patient/p2", patient("p2", "9990000026")).status_code == 201
    for number, more in ((2, {"started": "2024-05-06"}), (3, {"status": "cancelled"}), (4, {"subject": "p2"})):
        sent = study(f"s{number}", f"{STUDY_UID}.9{number}", **more)  # type: ignore[arg-type]
        assert steward.put(f"/ImagingStudy/s{number}", sent).status_code == 201
    return steward


def total(who: Caller, search: str) -> int:
    answer = who.get(f"/DocumentReference?{search}&_total=accurate")
    assert answer.status_code == 200, answer.text
    assert answer.json["total"] == len(answer.json.get("entry", ()))
    return int(answer.json["total"])


def test_a_study_is_pointed_to_and_the_pointer_is_valid(region: Caller, treating: Caller) -> None:
    answer = treating.get("/DocumentReference/s1")
    shown = answer.json
    assert [one for one in validator().validate(shown) if one.severity in ("error", "fatal")] == []
    source = treating.get("/ImagingStudy/s1")
    assert (answer.headers["ETag"], answer.headers["Last-Modified"]) == (
        source.headers["ETag"], source.headers["Last-Modified"],
    )  # fmt: skip
    assert shown == {
        "resourceType": "DocumentReference",
        "id": "s1",
        "meta": source.json["meta"],
        "masterIdentifier": source.json["identifier"][0],
        "status": "current",
        "type": {"coding": [{"system": LOINC, "code": "18748-4", "display": "Diagnostic imaging study"}]},
        "category": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD", "display": "Radiology"}
                ]
            }
        ],
        "subject": {"reference": "Patient/p1"},
        "date": source.json["meta"]["lastUpdated"],
        "custodian": {
            "type": "Organization",
            "identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "RXA"},
        },
        "content": [
            {
                "attachment": {
                    "contentType": "application/fhir+json",
                    "url": "http://127.0.0.1:8080/fhir/ImagingStudy/s1/$manifest",
                    "title": "What the study is made of, and where it is",
                    "creation": "2026-02-01T09:30:00Z",
                }
            }
        ],
        "context": {
            "related": [{"reference": "ImagingStudy/s1", "type": "ImagingStudy"}],
            "period": {"start": "2026-02-01T09:30:00Z"},
            "event": [{"coding": source.json["modality"]}],
        },
    }


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("subject=p1", ["s1", "s2", "s3"]),
        ("subject=Patient/p1", ["s1", "s2", "s3"]),
        ("patient=p1", ["s1", "s2", "s3"]),
        (f"subject:Patient.identifier={NHS}|9990000018", ["s1", "s2", "s3"]),
        (f"subject.identifier={NHS}|9990000018&type={LOINC}|18748-4", ["s1", "s2", "s3"]),
        ("subject=p1&type=18748-4", ["s1", "s2", "s3"]),
        (f"subject=p1&type=x,{LOINC}|", ["s1", "s2", "s3"]),
        ("subject=p1&type=http://snomed.info/sct|736253002", []),
        (f"patient=p1&identifier=urn:dicom:uid|urn:oid:{STUDY_UID}", ["s1"]),
        ("patient=p1&period=lt2025", ["s2"]),
        ("patient=p1&_id=s3", ["s3"]),
        ("_id=s1,s4", ["s1"]),
        ("patient=p1&_lastUpdated=gt2199-01-01", []),
    ],
)
def test_every_parameter_stated_finds_what_it_means(
    region: Caller, treating: Caller, search: str, found: list[str]
) -> None:
    assert sorted(treating.ids(f"/DocumentReference?{search}")) == found
    assert total(treating, search) == len(found)


def test_the_statement_says_so_and_each_parameter_stated_is_taken(region: Caller, treating: Caller) -> None:
    rows = {row["type"]: row for row in treating.http.get("/fhir/metadata").json["rest"][0]["resource"]}
    row = rows["DocumentReference"]
    assert [one["code"] for one in row["interaction"]] == ["read", "search-type"]
    samples = {"token": "x", "reference": "Patient/p1", "date": "ge2020"}
    for param in row["searchParam"]:
        answer = treating.get(f"/DocumentReference?patient=p1&{param['name']}={samples[param['type']]}")
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "wrong", ["status=current", "type:not=x", "_sort=date", "_include=DocumentReference:subject", "x=1"]
)
def test_what_it_has_not_is_refused_and_dropped_where_that_is_asked(treating: Caller, wrong: str) -> None:
    answer = treating.get(f"/DocumentReference?patient=p1&{wrong}")
    assert (answer.status_code, answer.json["issue"][0]["code"]) == (400, "invalid")
    lenient = treating.get(f"/DocumentReference?patient=p1&{wrong}", Prefer="handling=lenient")
    assert lenient.status_code == 200
    assert "not supported for DocumentReference" in lenient.json["entry"][-1]["resource"]["issue"][0]["details"]["text"]


def test_pages_lead_through_all_of_them_once(region: Caller, treating: Caller) -> None:
    seen, path = [], "/DocumentReference?patient=p1&_count=1"
    while path:
        answer = treating.get(path)
        assert answer.status_code == 200, answer.text
        seen += [one["resource"]["id"] for one in answer.json["entry"]]
        links = {one["relation"]: one["url"] for one in answer.json["link"]}
        path = links.get("next", "").removeprefix("http://127.0.0.1:8080/fhir")
        assert not path or path.startswith("/DocumentReference?")
    assert sorted(seen) == ["s1", "s2", "s3"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_nobody_writes_one(steward: Caller, method: str) -> None:
    answer = steward.send(
        method, "/DocumentReference/s1", {"resourceType": "DocumentReference"} if method == "PUT" else None
    )
    assert answer.status_code in (404, 405)
    assert steward.post("/DocumentReference", {"resourceType": "DocumentReference"}).status_code in (404, 405)
    assert steward.get("/DocumentReference/s1").status_code == 200


def test_it_is_withheld_as_the_study_is(region: Caller, treating: Caller, stranger: Caller) -> None:
    assert stranger.get("/DocumentReference?patient=p1").status_code == 403
    assert treating.get("/DocumentReference?patient=p2").status_code == 403
    for id in ("s4", "never"):
        gone = treating.get(f"/DocumentReference/{id}")
        assert (gone.status_code, gone.json["issue"][0]["details"]["text"]) == (
            404, "no DocumentReference with this id; expected the id of one",
        )  # fmt: skip
    assert region.put("/Consent/c1", consent()).status_code == 201
    assert total(treating, "patient=p1") == 0
    assert treating.get("/DocumentReference/s1").status_code == 404
    assert treating.get("/ImagingStudy/s1/$manifest").status_code == 404


def test_a_role_to_which_uids_are_not_shown_gets_none_by_either_way(app: Flask, region: Caller) -> None:
    clerk = caller(app, role="clerical")
    shown = clerk.get("/DocumentReference/s1")
    assert shown.status_code == 200 and STUDY_UID not in shown.text
    assert shown.json["content"][0]["attachment"]["url"].endswith("/ImagingStudy/s1")
    refused = clerk.get("/ImagingStudy/s1/$manifest")
    assert refused.status_code == 403 and STUDY_UID not in refused.text
    assert clerk.get("/ImagingStudy/s4/$manifest").status_code == 404


def test_a_look_is_on_record_as_one_at_the_study(app: Flask, region: Caller, treating: Caller) -> None:
    for path in ("/DocumentReference/s1", "/DocumentReference?patient=p1&_id=s1", "/ImagingStudy/s1/$manifest"):
        assert treating.get(path).status_code == 200
    with app.extensions["services"].store.begin() as tx:
        rows = tx.rows("SELECT patient, body FROM audit WHERE client LIKE 'backend%' ORDER BY seq")
    assert [patient for patient, _ in rows] == ["Patient/p1"] * 3
    for _, body in rows:
        said = json.loads(body)
        assert "ImagingStudy/s1/_history/1" in said["entities"] and said["effect"] in ("PERMIT", "PARTIAL")
    for one in region.get("/AuditEvent?_count=5").json["entry"]:
        assert region.get(f"/AuditEvent/{one['resource']['id']}").status_code == 200


# The manifest ---------------------------------------------------------------------------------------------------


def parts(answer: Any) -> dict[str, dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return {one["resource"]["resourceType"]: one["resource"] for one in answer.json["entry"]}


def test_a_manifest_is_a_document_of_the_study_its_patient_and_where_it_is(region: Caller, treating: Caller) -> None:
    answer = treating.get("/ImagingStudy/s1/$manifest")
    found = parts(answer)
    assert (answer.json["type"], list(found)) == ("document", ["Composition", "ImagingStudy", "Patient", "Endpoint"])
    assert [one for one in validator().validate(answer.json) if one.severity in ("error", "fatal")] == []
    assert answer.json["identifier"]["value"].startswith("urn:uuid:") and answer.json["timestamp"]
    assert found["ImagingStudy"] == treating.get("/ImagingStudy/s1").json
    head = found["Composition"]
    assert head["type"]["coding"][0]["code"] == "113030"
    assert [one["entry"] for one in head["section"]] == [
        [{"reference": "ImagingStudy/s1"}], [{"reference": "Endpoint/archive-rxa"}],
    ]  # fmt: skip
    full = {one["fullUrl"] for one in answer.json["entry"]}
    assert "http://127.0.0.1:8080/fhir/Endpoint/archive-rxa" in full


def test_a_study_that_was_given_up_has_a_manifest_without_a_place(region: Caller, treating: Caller) -> None:
    withdrawn = study("s3", f"{STUDY_UID}.93", status="cancelled")
    del withdrawn["endpoint"]
    assert region.put("/ImagingStudy/s3", withdrawn).status_code == 200
    found = parts(treating.get("/ImagingStudy/s3/$manifest"))
    assert list(found) == ["Composition", "ImagingStudy", "Patient"]
    assert treating.get("/DocumentReference/s3").json["status"] == "superseded"


def test_a_token_that_does_not_reach_studies_gets_neither(app: Flask, region: Caller) -> None:
    narrow = caller(app, scope="system/Patient.rs system/DocumentReference.rs")
    for path in ("/DocumentReference/s1", "/DocumentReference?patient=p1", "/ImagingStudy/s1/$manifest"):
        assert narrow.get(path).status_code == 403
