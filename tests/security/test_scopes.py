"""Attacks 16 to 22: scopes are a ceiling, whole and granular, at every way to a row; and they never widen policy.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app.access import scopes
from app.access.subject import Subject
from tests.support.region import Caller, caller, endpoint, episode, patient, settle, study

MR = {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"}
OTHER_UID = "1.2.826.0.1.3680043.8.498.2"
THIRD_UID = "1.2.826.0.1.3680043.8.498.3"
ACSN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}


@pytest.fixture
def steward(app: Flask) -> Caller:
    """p1 has a CT (s1) and an MR (s2), p2 a CT (s3); both are in the care of B, the studies are of A."""
    steward = settle(app)
    accession = {"type": ACSN, "system": "https://rxa.example/accession", "value": "ACC-3"}
    second = study("s2", OTHER_UID, modality=[MR])
    second["series"][0]["modality"] = MR
    third = study("s3", THIRD_UID, subject="p2")
    third["identifier"].append(accession)
    more: list[dict[str, Any]] = [
        patient("p2", "9990000026"),
        episode("e2", subject="p2"),
        second,
        third,
    ]
    for resource in more:
        answer = steward.put(f"/{resource['resourceType']}/{resource['id']}", resource)
        assert answer.status_code == 201, answer.text
    return steward


def app_of_b(app: Flask, scope: str, patient: str | None = "Patient/p1") -> Caller:
    """An app used by a clinician of B."""
    return caller(app, "app", scope=scope, role="clinician", practitioner="Practitioner/dr", patient=patient)


def bundle(*addresses: str) -> dict[str, Any]:
    entries = [{"request": {"method": "GET", "url": address}} for address in addresses]
    return {"resourceType": "Bundle", "type": "batch", "entry": entries}


def statuses(answer: Any) -> list[str]:
    return [entry["response"]["status"][:3] for entry in answer.json["entry"]]


# 16 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(16)
@pytest.mark.parametrize("path", ["/ImagingStudy", "/ImagingStudy/s1", "/ImagingStudy?patient=p1", "/Patient/p1"])
def test_attack_16_a_patient_scope_without_a_patient_in_context_opens_nothing(
    app: Flask, steward: Caller, path: str
) -> None:
    alone = app_of_b(app, "patient/*.cruds", patient=None)
    answer = alone.get(path)
    assert answer.status_code == 403
    assert [issue["code"] for issue in answer.json["issue"]] == ["forbidden"]


@pytest.mark.attack(16)
def test_attack_16_beside_a_system_scope_it_adds_nothing(app: Flask, steward: Caller) -> None:
    mixed = app_of_b(app, "patient/*.rs system/Organization.rs", patient=None)
    assert mixed.get("/ImagingStudy?patient=p1").status_code == 403
    assert mixed.get("/Organization/rxa").status_code == 200
    with_patient = app_of_b(app, "patient/ImagingStudy.rs system/Organization.rs")
    assert sorted(with_patient.ids("/ImagingStudy")) == ["s1", "s2"]


def test_a_patient_scope_of_a_patient_nobody_knows_opens_nothing(app: Flask, steward: Caller) -> None:
    nobody = app_of_b(app, "patient/*.rs", patient="Patient/unknown")
    assert nobody.ids("/ImagingStudy") == []
    assert nobody.get("/ImagingStudy/s1").status_code == 404


# 17 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(17)
@pytest.mark.parametrize(
    "text",
    [
        "patient/ImagingStudy.dus",
        "patient/ImagingStudy.sr",
        "patient/ImagingStudy.rr",
        "patient/ImagingStudy.",
        "patient/ImagingStudy",
        "*/*.cruds",
        "patient%2fImagingStudy.rs",
        "patient/Imaging%2fStudy.rs",
        "patient/imagingstudy.rs",
        "patient/Nothing.rs",
        "PATIENT/ImagingStudy.rs",
        " patient/ImagingStudy.rs",
        "patient/ImagingStudy.rs\n",
        "patient/ImagingStudy.rs\u00a0",
        'patient/ImagingStudy.rs"',
        "patient/ImagingStudy.readwrite",
        "patient/../system/*.rs",
        "",
    ],
)
@pytest.mark.requirement("SMART 129")
def test_attack_17_what_is_no_scope_grants_nothing(app: Flask, steward: Caller, text: str) -> None:
    assert scopes.parse(text) is None
    assert text == "" or scopes.faults(text)
    assert not scopes.allows(
        Subject("c", "app", "ods:RXB", scopes=(text,), patient="Patient/p1"), "ImagingStudy", "read"
    )


@pytest.mark.attack(17)
def test_attack_17_a_scope_given_twice_counts_once(app: Flask, steward: Caller) -> None:
    twice = "patient/ImagingStudy.rs patient/ImagingStudy.rs"
    assert scopes.within(twice, "patient/*.rs") == "patient/ImagingStudy.rs"
    assert sorted(app_of_b(app, twice).ids("/ImagingStudy")) == ["s1", "s2"]


@pytest.mark.parametrize(
    ("asked", "registered", "given"),
    [
        ("patient/*.rs", "patient/ImagingStudy.rs patient/Patient.r", "patient/ImagingStudy.rs patient/Patient.r"),
        ("patient/*.read", "patient/*.rs", "patient/*.read"),
        ("patient/ImagingStudy.cruds", "patient/*.rs", "patient/ImagingStudy.rs"),
        ("user/ImagingStudy.rs", "patient/*.rs", ""),
        ("system/*.rs", "patient/*.rs", ""),
        ("patient/ImagingStudy.rs", "patient/ImagingStudy.rs?modality=CT", "patient/ImagingStudy.rs?modality=CT"),
        ("patient/ImagingStudy.rs?modality=CT", "patient/ImagingStudy.rs", "patient/ImagingStudy.rs?modality=CT"),
        (
            "patient/ImagingStudy.rs?modality=CT",
            "patient/ImagingStudy.rs?status=available",
            "patient/ImagingStudy.rs?modality=CT&status=available",
        ),
        ("launch openid", "launch", "launch"),
        ("patient/ImagingStudy.rs", "patient/ImagingStudy.r patient/ImagingStudy.s", "patient/ImagingStudy.rs"),
    ],
)
@pytest.mark.requirement("SMART 127", "SMART 128", "SMART 369")
def test_what_is_granted_is_what_was_both_asked_and_registered(asked: str, registered: str, given: str) -> None:
    assert scopes.within(asked, registered) == given
    assert scopes.covered(given, registered)


# 18 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(18)
@pytest.mark.parametrize(
    "query",
    [
        "modality:not=CT",
        "modality:missing=true",
        "patient.identifier=x",
        "_has:DiagnosticReport:study:status=final",
        "_include=ImagingStudy:endpoint",
        "_revinclude=DiagnosticReport:study",
        "_sort=started",
        "_count=1",
        "_summary=true",
        "_elements=id",
        "_cursor=x",
        "nothing=1",
        "modality",
        "?",
        "modality=CT&",
        "started=yesterday",
        "modality=CT&_id:not=x",
    ],
)
def test_attack_18_a_granular_scope_with_a_modifier_a_chain_or_a_control_is_no_scope(query: str) -> None:
    assert scopes.parse(f"patient/ImagingStudy.rs?{query}") is None


@pytest.mark.attack(18)
@pytest.mark.parametrize("type_name", ["*", "AuditEvent"])
def test_attack_18_what_has_no_index_is_not_narrowed_by_search_parameters(type_name: str) -> None:
    assert scopes.parse(f"patient/{type_name}.rs?_id=1") is None


# 19 -----------------------------------------------------------------------------------------------------------------


CT_ONLY = "patient/Patient.rs patient/Endpoint.rs patient/ImagingStudy.rs?modality=CT"


@pytest.mark.attack(19)
def test_attack_19_a_scope_for_ct_shows_no_mr_by_id_by_search_or_by_default(app: Flask, steward: Caller) -> None:
    granular = app_of_b(app, CT_ONLY)
    assert granular.ids("/ImagingStudy") == ["s1"]
    assert granular.ids("/ImagingStudy?modality=MR") == []
    assert granular.ids(f"/ImagingStudy?identifier=urn:dicom:uid%7Curn:oid:{OTHER_UID}") == []
    assert granular.ids("/ImagingStudy?_id=s1,s2") == ["s1"]
    assert granular.get("/ImagingStudy?_total=accurate").json["total"] == 1
    assert granular.get("/ImagingStudy?_summary=count").json["total"] == 1
    assert granular.get("/ImagingStudy/s1").status_code == 200
    hidden, never = granular.get("/ImagingStudy/s2"), granular.get("/ImagingStudy/never")
    assert hidden.status_code == never.status_code == 404
    assert hidden.json["issue"] == never.json["issue"]


@pytest.mark.attack(19)
def test_attack_19_nor_by_include_history_version_or_count_of_pages(app: Flask, steward: Caller) -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "id": "d2",
        "status": "final",
        "code": {"text": "report"},
        "subject": {"reference": "Patient/p1"},
        "imagingStudy": [{"reference": "ImagingStudy/s2"}],
    }
    assert steward.put("/DiagnosticReport/d2", report).status_code == 201
    granular = app_of_b(app, CT_ONLY + " patient/DiagnosticReport.rs")
    found = granular.get("/DiagnosticReport?_include=DiagnosticReport:study").json["entry"]
    assert [entry["resource"]["id"] for entry in found] == ["d2"]
    found = granular.get("/Patient?_id=p1&_revinclude=ImagingStudy:patient").json["entry"]
    assert [entry["resource"]["id"] for entry in found] == ["p1", "s1"]
    assert granular.ids("/DiagnosticReport?study.modality=MR") == []
    assert granular.ids("/Patient?_has:ImagingStudy:patient:modality=MR") == []
    assert granular.ids("/Patient?_has:ImagingStudy:patient:modality=CT") == ["p1"]
    assert granular.get("/ImagingStudy/s2/_history").status_code == 404
    assert granular.get("/ImagingStudy/s2/_history/1").status_code == 404
    pages = granular.get("/ImagingStudy?_count=1").json
    assert [link["relation"] for link in pages["link"]] == ["self"]


@pytest.mark.attack(19)
def test_attack_19_a_version_that_was_mr_is_not_shown_because_it_is_ct_now(app: Flask, steward: Caller) -> None:
    assert steward.put("/ImagingStudy/s2", study("s2", OTHER_UID)).status_code == 200  # corrected: it is a CT
    granular = app_of_b(app, CT_ONLY)
    assert granular.get("/ImagingStudy/s2/_history/2").status_code == 200
    assert granular.get("/ImagingStudy/s2/_history/1").status_code == 404
    history = granular.get("/ImagingStudy/s2/_history").json["entry"]
    assert [entry["resource"]["meta"]["versionId"] for entry in history] == ["2"]
    feed = granular.get("/ImagingStudy/_history").json["entry"]
    assert {(e["resource"]["id"], e["resource"]["meta"]["versionId"]) for e in feed} == {("s1", "1"), ("s2", "2")}


@pytest.mark.requirement("SMART 370")
def test_several_granular_scopes_add_up(app: Flask, steward: Caller) -> None:
    both = app_of_b(app, "patient/ImagingStudy.rs?modality=CT patient/ImagingStudy.rs?modality=MR")
    assert sorted(both.ids("/ImagingStudy")) == ["s1", "s2"]
    none = app_of_b(app, "patient/ImagingStudy.rs?modality=CT&status=cancelled")
    assert none.ids("/ImagingStudy") == []
    letters = app_of_b(app, "patient/ImagingStudy.s?modality=CT patient/ImagingStudy.r?modality=MR")
    assert letters.ids("/ImagingStudy") == ["s1"]
    assert [letters.get(f"/ImagingStudy/{id}").status_code for id in ("s1", "s2")] == [404, 200]


# 20 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(20)
@pytest.mark.requirement("SMART 95", "SMART 243", "SMART 266")
def test_attack_20_to_read_is_not_to_search_and_to_search_is_not_to_read(app: Flask, steward: Caller) -> None:
    reads, searches = app_of_b(app, "patient/ImagingStudy.r"), app_of_b(app, "patient/ImagingStudy.s")
    assert [reads.get(path).status_code for path in ("/ImagingStudy/s1", "/ImagingStudy/s1/_history/1")] == [200, 200]
    assert reads.get("/ImagingStudy/s1/_history").status_code == 200
    for path in (
        "/ImagingStudy",
        "/ImagingStudy?_id=s1",
        "/ImagingStudy/_history",
        "/_history",
        "/Patient/p1/ImagingStudy",
    ):
        assert reads.get(path).status_code == 403, path
    assert (
        reads.send("POST", "/ImagingStudy/_search", b"", Content_Type="application/x-www-form-urlencoded").status_code
        == 403
    )
    assert sorted(searches.ids("/ImagingStudy")) == ["s1", "s2"]
    assert searches.get("/ImagingStudy/_history").status_code == 200
    for path in ("/ImagingStudy/s1", "/ImagingStudy/s1/_history/1", "/ImagingStudy/s1/_history"):
        assert searches.get(path).status_code == 403, path


@pytest.mark.attack(20)
def test_attack_20_history_of_everything_tells_only_of_types_within_the_scopes(app: Flask, steward: Caller) -> None:
    of_patients = app_of_b(app, "patient/Patient.rs")
    feed = of_patients.get("/_history?_count=100").json["entry"]
    assert {entry["fullUrl"].split("/")[-2] for entry in feed} == {"Patient"}
    assert {entry["resource"]["id"] for entry in feed} == {"p1"}


def test_an_include_gives_nothing_of_a_type_beyond_the_scopes(app: Flask, steward: Caller) -> None:
    studies = app_of_b(app, "patient/ImagingStudy.rs")
    entries = studies.get("/ImagingStudy?_include=ImagingStudy:endpoint&_include=ImagingStudy:patient").json["entry"]
    assert {entry["resource"]["resourceType"] for entry in entries} == {"ImagingStudy"}
    also = app_of_b(app, "patient/ImagingStudy.rs patient/Endpoint.r")
    entries = also.get("/ImagingStudy?_include=ImagingStudy:endpoint&_include=ImagingStudy:patient").json["entry"]
    assert {entry["resource"]["resourceType"] for entry in entries} == {"ImagingStudy", "Endpoint"}


def test_to_name_the_patient_of_a_search_needs_no_scope_for_patients_but_to_ask_about_one_does(
    app: Flask, steward: Caller
) -> None:
    studies = caller(app, scope="system/ImagingStudy.rs")
    number = "https://fhir.nhs.uk/Id/nhs-number%7C9990000018"
    assert sorted(studies.ids(f"/ImagingStudy?patient.identifier={number}")) == ["s1", "s2"]
    assert studies.ids("/ImagingStudy?patient.birthdate=1970-02-03") == []
    both = caller(app, scope="system/ImagingStudy.rs system/Patient.s")
    assert sorted(both.ids("/ImagingStudy?patient.birthdate=1970-02-03")) == ["s1", "s2", "s3"]


# 21 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(21)
@pytest.mark.parametrize(
    "path",
    [
        "/ImagingStudy?_id=s3",
        "/ImagingStudy?patient=p2",
        "/ImagingStudy?patient=Patient/p2",
        "/ImagingStudy?patient.identifier=https://fhir.nhs.uk/Id/nhs-number%7C9990000026",
        f"/ImagingStudy?identifier=urn:dicom:uid%7Curn:oid:{THIRD_UID}",
        "/ImagingStudy?identifier=https://rxa.example/accession%7CACC-3",
        f"/ImagingStudy?series={THIRD_UID}.1",
        "/Patient/p2/ImagingStudy",
        "/Patient?_id=p2",
        "/EpisodeOfCare?patient=p2",
    ],
)
@pytest.mark.requirement("SMART 136", "SMART 367")
def test_attack_21_with_one_patient_in_context_another_is_not_found_by_any_name(
    app: Flask, steward: Caller, path: str
) -> None:
    with_p1 = app_of_b(app, "patient/*.rs")
    if ("ImagingStudy" in path and "p2" in path) or "9990000026" in path:
        # A search for studies that names another patient: an empty answer would be taken for "no imaging".
        refused, nobody = with_p1.get(path), with_p1.get("/ImagingStudy?patient=nobody")
        assert refused.status_code == nobody.status_code == 403
        assert refused.json["issue"] == nobody.json["issue"]
    else:
        assert with_p1.ids(path) == []
    assert app_of_b(app, "user/*.rs").ids(path), "the clinician may see it: only the scope forbids"


@pytest.mark.attack(21)
@pytest.mark.parametrize("path", ["/ImagingStudy/s3", "/Patient/p2", "/EpisodeOfCare/e2", "/ImagingStudy/s3/_history"])
def test_attack_21_nor_read(app: Flask, steward: Caller, path: str) -> None:
    assert app_of_b(app, "patient/*.rs").get(path).status_code == 404
    assert app_of_b(app, "user/*.rs").get(path).status_code == 200


@pytest.mark.attack(21)
def test_attack_21_the_archive_of_another_patients_study_is_not_given(app: Flask, steward: Caller) -> None:
    elsewhere = endpoint("RXC")
    assert steward.put(f"/Endpoint/{elsewhere['id']}", elsewhere).status_code == 201
    moved = study("s3", THIRD_UID, subject="p2", ods="RXC")
    assert steward.put("/ImagingStudy/s3", moved).status_code == 200
    assert app_of_b(app, "patient/*.rs").ids("/Endpoint") == ["archive-rxa"]
    assert sorted(app_of_b(app, "user/*.rs").ids("/Endpoint")) == ["archive-rxa", "archive-rxc"]


def test_records_that_were_merged_are_one_patient_in_context(app: Flask, steward: Caller) -> None:
    former = patient("p2", "9990000026") | {
        "link": [{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}],
        "active": False,
    }
    assert steward.put("/Patient/p2", former).status_code == 200
    merged = app_of_b(app, "patient/*.rs")
    assert sorted(merged.ids("/ImagingStudy")) == ["s1", "s2", "s3"]
    assert merged.get("/ImagingStudy/s3").status_code == 200


# 22 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(22)
@pytest.mark.requirement("SMART 130")
def test_attack_22_an_entry_of_a_bundle_goes_no_further_than_the_scopes(app: Flask, steward: Caller) -> None:
    granular = app_of_b(app, CT_ONLY)
    answer = granular.post(
        "", bundle("ImagingStudy/s1", "ImagingStudy/s2", "ImagingStudy?modality=MR", "EpisodeOfCare", "ImagingStudy/s3")
    )
    assert statuses(answer) == ["200", "404", "200", "403", "404"]
    assert answer.json["entry"][2]["resource"].get("entry", []) == []
    whole = bundle("ImagingStudy/s1", "EpisodeOfCare") | {"type": "transaction"}
    assert granular.post("", whole).status_code == 403


def test_a_scope_narrows_what_is_written_too(app: Flask, steward: Caller) -> None:
    narrow = "system/EpisodeOfCare.cruds?status=planned system/Patient.rs"
    epr = caller(app, scope=narrow)
    planned = episode("e9", status="planned") | {"period": {"start": "2099-01-01"}}
    assert epr.put("/EpisodeOfCare/e9", planned).status_code == 201
    assert epr.put("/EpisodeOfCare/e9", planned | {"status": "active"}).status_code == 403
    assert epr.put("/EpisodeOfCare/e1", episode(status="planned")).status_code in (403, 404)
    assert epr.delete("/EpisodeOfCare/e1").status_code in (204, 404)
    assert steward.get("/EpisodeOfCare/e1").json["status"] == "active"
    bound = caller(app, "steward", "ZZZ", "patient/EpisodeOfCare.cruds", patient="Patient/p1")
    assert bound.post("/EpisodeOfCare", episode()).status_code == 201
    assert bound.post("/EpisodeOfCare", episode(subject="p2")).status_code == 403


# Never wider ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["system/*.cruds", "user/*.cruds", "patient/*.cruds", "user/*.cruds system/*.cruds"])
@pytest.mark.requirement("SMART 119", "SMART 245")
def test_no_scope_opens_what_policy_refuses(app: Flask, steward: Caller, scope: str) -> None:
    stranger = caller(app, "app", "RXC", scope, role="clinician", practitioner="Practitioner/dr", patient="Patient/p1")
    assert stranger.get("/ImagingStudy/s1").status_code == 404
    assert stranger.ids("/ImagingStudy") == []


def test_who_logs_in_as_a_patient_sees_nobody_else_whatever_the_scopes(app: Flask, steward: Caller) -> None:
    own = caller(app, "app", scope="user/*.rs system/*.rs patient/*.rs", role="patient", patient="Patient/p1")
    assert set(own.ids("/Patient")) <= {"p1"}
    assert own.get("/Patient/p2").status_code == 404
    assert own.ids("/EpisodeOfCare?patient=p2") == []
    nobody = caller(app, "app", scope="user/*.rs", role="patient")
    assert nobody.get("/Patient/p1").status_code == 404
    assert nobody.ids("/Patient") == []
